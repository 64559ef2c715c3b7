#if !defined(__APPLE__)

#include "backend/cpu/int8_product.h"
#include "backend/cpu/library_product.h"
#include "base/status.h"

#include <algorithm>
#include <array>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>

namespace anet::backend::cpu {

namespace {

// oneDNN would start an OpenMP team of its own. The setting belongs to the calling thread, so it
// is put back: the thread may be the application's.
class SingleThreadedOpenMp {
public:
  SingleThreadedOpenMp() : threads_(omp_get_max_threads()) {
    if (threads_ != 1) omp_set_num_threads(1);
  }
  ~SingleThreadedOpenMp() {
    if (threads_ != 1) omp_set_num_threads(threads_);
  }
  SingleThreadedOpenMp(const SingleThreadedOpenMp&) = delete;
  SingleThreadedOpenMp& operator=(const SingleThreadedOpenMp&) = delete;

private:
  int threads_;
};

using Memory = dnnl::memory;
using Type = Memory::data_type;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

int64_t rounded_bytes(const Memory::desc& desc) {
  return (static_cast<int64_t>(desc.get_size()) + 63) / 64 * 64;
}

// A primitive for one thread, and the memory of its arguments.
class OneDnnMatmul {
public:
  explicit OneDnnMatmul(const dnnl::matmul::primitive_desc& description)
      : primitive_(description), stream_(cpu_engine()),
        scratch_bytes_(rounded_bytes(description.scratchpad_desc())) {
    set(x, DNNL_ARG_SRC, Memory(description.src_desc(), cpu_engine(), nullptr));
    set(weights, DNNL_ARG_WEIGHTS, Memory(description.weights_desc(), cpu_engine(), nullptr));
    set(y, DNNL_ARG_DST, Memory(description.dst_desc(), cpu_engine(), nullptr));
    set(scratch, DNNL_ARG_SCRATCHPAD, Memory(description.scratchpad_desc(), cpu_engine(), nullptr));
  }

  enum Argument : size_t { x, weights, y, scratch, bias, argument_count };
  void set(Argument argument, int name, Memory memory) {
    memory_[argument] = std::move(memory);
    arguments_[argument] = {name, memory_[argument].get()};
    used_ = std::max<int>(used_, argument + 1);
  }
  void point(Argument argument, const void* data) const {
    memory_[argument].set_data_handle(const_cast<void*>(data));
  }
  const dnnl::stream& stream() const { return stream_; }
  int64_t scratch_bytes() const { return std::max<int64_t>(scratch_bytes_, 64); }

  // The C call: the C++ one would make a map of the arguments.
  void run() const {
    const SingleThreadedOpenMp scope;
    const dnnl_status_t status =
        dnnl_primitive_execute(primitive_.get(), stream_.get(), used_, arguments_.data());
    if (status != dnnl_success)
      fail(Status::internal, "oneDNN failed in a product with status ", static_cast<int>(status));
  }

private:
  dnnl::matmul primitive_;
  dnnl::stream stream_;
  std::array<Memory, argument_count> memory_;
  std::array<dnnl_exec_arg_t, argument_count> arguments_{};
  int used_ = 0;
  int64_t scratch_bytes_ = 0;
};

dnnl::matmul::primitive_desc describe(const Memory::desc& x, const Memory::desc& weights,
                                      const Memory::desc& y,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR == 2
  return {{x, weights, y}, attributes, cpu_engine()};
#else
  return {cpu_engine(), x, weights, y, attributes};
#endif
}

Type onednn_type(DataType dtype) { return dtype == DataType::bf16 ? Type::bf16 : Type::f32; }

Memory::desc matrix(DataType dtype, int64_t rows, int64_t columns, const MatrixLayout& layout) {
  const Memory::dims strides =
      layout.transposed ? Memory::dims{1, layout.leading} : Memory::dims{layout.leading, 1};
  return {{rows, columns}, onednn_type(dtype), strides};
}

class OneDnnProduct final : public LibraryProduct {
public:
  explicit OneDnnProduct(const dnnl::matmul::primitive_desc& description) : matmul_(description) {}
  int64_t scratch_bytes() const override { return matmul_.scratch_bytes(); }
  void run(const std::byte* a, const std::byte* b, std::byte* c,
           std::byte* scratch) const override {
    matmul_.point(OneDnnMatmul::x, a);
    matmul_.point(OneDnnMatmul::weights, b);
    matmul_.point(OneDnnMatmul::y, c);
    matmul_.point(OneDnnMatmul::scratch, scratch);
    matmul_.run();
  }

private:
  OneDnnMatmul matmul_;
};

bool has_instructions(unsigned isa) {
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & isa) == isa;
}

#if DNNL_VERSION_MAJOR == 2

// One primitive and its memory a share.
class OneDnnInt8Product final : public Int8Product {
public:
  OneDnnInt8Product(const Int8ProductShape& shape, const int8_t* weights,
                    const Int8Epilogue& epilogue) {
    for (const int64_t rows : shape.shares) add_share(shape, rows, weights, epilogue);
  }

  int64_t scratch_bytes() const override { return scratch_bytes_; }
  int64_t weight_bytes() const override { return weight_bytes_; }
  void run(size_t share, const int8_t* x, std::byte* y, std::byte* scratch) const override {
    const OneDnnMatmul& matmul = shares_[share];
    matmul.point(OneDnnMatmul::x, x);
    matmul.point(OneDnnMatmul::y, y);
    matmul.point(OneDnnMatmul::scratch, scratch);
    matmul.run();
  }

private:
  void add_share(const Int8ProductShape& shape, int64_t rows, const int8_t* weights,
                 const Int8Epilogue& epilogue) {
    const SingleThreadedOpenMp scope;
    const Memory::desc x({rows, shape.depth}, Type::s8, Memory::dims{shape.leading, 1});
    const Memory::desc plain({shape.depth, shape.outputs}, Type::s8, Memory::dims{1, shape.depth});
    const Memory::desc any({shape.depth, shape.outputs}, Type::s8, Memory::format_tag::any);
    const Memory::desc bias({1, shape.outputs}, Type::f32, Memory::format_tag::ab);
    const Memory::desc y({rows, shape.outputs}, epilogue.to_int8 ? Type::s8 : Type::f32,
                         Memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_output_scales(1 << 1, epilogue.scale);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc description({x, any, bias, y}, attributes, cpu_engine());
    OneDnnMatmul matmul(description);
    Memory packed(description.weights_desc(), cpu_engine());
    Memory given(plain, cpu_engine(), const_cast<int8_t*>(weights));
    dnnl::reorder(given, packed).execute(matmul.stream(), given, packed);
    dnnl::stream(matmul.stream()).wait();
    matmul.set(OneDnnMatmul::weights, DNNL_ARG_WEIGHTS, std::move(packed));
    // It is added before the scales.
    Memory scaled_bias(bias, cpu_engine());
    auto* values = static_cast<float*>(scaled_bias.get_data_handle());
    for (size_t i = 0; i < epilogue.bias.size(); ++i)
      values[i] = epilogue.bias[i] / epilogue.scale[i];
    matmul.set(OneDnnMatmul::bias, DNNL_ARG_BIAS, std::move(scaled_bias));
    scratch_bytes_ = std::max(scratch_bytes_, matmul.scratch_bytes());
    weight_bytes_ += static_cast<int64_t>(description.weights_desc().get_size());
    shares_.push_back(std::move(matmul));
  }

  std::vector<OneDnnMatmul> shares_;
  int64_t scratch_bytes_ = 64;
  int64_t weight_bytes_ = 0;
};

#endif

// Null for a shape that it has none for, or only its reference loops: fp32 products of widened
// operands are faster than those.
std::unique_ptr<LibraryProduct> make_onednn_product(const LibraryProductShape& shape) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (shape.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const SingleThreadedOpenMp scope;
  try {
    const auto description = describe(
        matrix(shape.operands, shape.rows, shape.depth, shape.a),
        matrix(shape.operands, shape.depth, shape.columns, shape.b),
        matrix(shape.result, shape.rows, shape.columns, {shape.leading_c, false}), attributes);
    if (std::string_view(description.impl_info_str()).starts_with("ref")) return nullptr;
    return std::make_unique<OneDnnProduct>(description);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) fail(Status::out_of_memory, error.what());
    return nullptr;
  }
}

bool multiplies_bf16() {
#if defined(__x86_64__)
  return has_instructions(dnnl_cpu_isa_avx512_core_bf16); // AVX-512 without them emulates them
#else
  LibraryProductShape shape;
  shape.rows = shape.columns = shape.depth = shape.leading_c = 64;
  shape.a = shape.b = {64, false};
  static const bool has_product = make_onednn_product(shape) != nullptr;
  return has_product;
#endif
}

} // namespace

std::unique_ptr<Int8Product> make_library_int8_product(const Int8ProductShape& shape,
                                                       const int8_t* weights,
                                                       const Int8Epilogue& epilogue,
                                                       Int8Exactness exactness) {
#if DNNL_VERSION_MAJOR == 2
  if (exactness == Int8Exactness::required && !why_no_int8_products().empty()) return nullptr;
  // A bias is added before the scale.
  if (std::count(epilogue.scale.begin(), epilogue.scale.end(), 0.0f) != 0) return nullptr;
  try {
    return std::make_unique<OneDnnInt8Product>(shape, weights, epilogue);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) fail(Status::out_of_memory, error.what());
    return nullptr; // it has none for this shape
  }
#else
  static_cast<void>(shape), static_cast<void>(weights), static_cast<void>(epilogue);
  static_cast<void>(exactness);
  return nullptr; // version 3 wants scales in another form
#endif
}

std::string why_no_int8_products() {
#if DNNL_VERSION_MAJOR == 2
  if (has_instructions(dnnl_cpu_isa_avx512_core_vnni)) return {};
  return "int8 products run in our own kernels: this CPU has neither AVX512-VNNI nor AMX";
#else
  return "int8 products run in our own kernels: they were written for oneDNN 2";
#endif
}

std::unique_ptr<LibraryProduct> make_library_product(const LibraryProductShape& shape) {
  if (shape.operands == DataType::bf16 && !multiplies_bf16()) return nullptr;
  return make_onednn_product(shape);
}

std::string why_no_bf16_products() {
  if (multiplies_bf16()) return {};
#if defined(__x86_64__)
  return "bf16 products run in fp32: this CPU has neither AVX512-BF16 nor AMX";
#else
  return "bf16 products run in fp32: oneDNN has only plain loops for bf16 on this CPU";
#endif
}

const char* product_library() { return "oneDNN"; }

} // namespace anet::backend::cpu

#endif
