#if !defined(__APPLE__)

#include "backend/cpu/gemm.h"
#include "backend/cpu/int8_product.h"
#include "base/status.h"

#include <algorithm>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

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

#if DNNL_VERSION_MAJOR == 2

// One primitive and its memory a share.
class OneDnnInt8Product final : public Int8Product {
public:
  OneDnnInt8Product(const Int8ProductShape& shape, const int8_t* weights,
                    const Int8Epilogue& epilogue)
      : engine_(dnnl::engine::kind::cpu, 0) {
    for (const int64_t rows : shape.shares) add_share(shape, rows, weights, epilogue);
  }

  int64_t scratch_bytes() const override { return scratch_bytes_; }
  int64_t weight_bytes() const override { return weight_bytes_; }
  void run(size_t share, const int8_t* x, std::byte* y, std::byte* scratch) const override {
    const SingleThreadedOpenMp scope;
    const Share& s = shares_[share];
    s.x.set_data_handle(const_cast<int8_t*>(x));
    s.y.set_data_handle(y);
    s.scratch.set_data_handle(scratch);
    s.primitive.execute(s.stream, {{DNNL_ARG_SRC, s.x},
                                   {DNNL_ARG_WEIGHTS, s.weights},
                                   {DNNL_ARG_BIAS, s.bias},
                                   {DNNL_ARG_DST, s.y},
                                   {DNNL_ARG_SCRATCHPAD, s.scratch}});
  }

private:
  using Memory = dnnl::memory;
  using Type = Memory::data_type;

  struct Share {
    dnnl::matmul primitive;
    Memory x, weights, bias, y, scratch;
    dnnl::stream stream;
  };

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
    const dnnl::matmul::primitive_desc description({x, any, bias, y}, attributes, engine_);
    Share share;
    share.primitive = dnnl::matmul(description);
    share.stream = dnnl::stream(engine_);
    share.x = Memory(x, engine_, nullptr);
    share.y = Memory(y, engine_, nullptr);
    share.scratch = Memory(description.scratchpad_desc(), engine_, nullptr);
    share.weights = Memory(description.weights_desc(), engine_);
    Memory given(plain, engine_, const_cast<int8_t*>(weights));
    dnnl::reorder(given, share.weights).execute(share.stream, given, share.weights);
    // It is added before the scales.
    share.bias = Memory(bias, engine_);
    auto* values = static_cast<float*>(share.bias.get_data_handle());
    for (size_t i = 0; i < epilogue.bias.size(); ++i)
      values[i] = epilogue.bias[i] / epilogue.scale[i];
    share.stream.wait();
    const auto bytes = [](const Memory::desc& desc) {
      return static_cast<int64_t>(desc.get_size());
    };
    scratch_bytes_ =
        std::max(scratch_bytes_, (bytes(description.scratchpad_desc()) + 63) / 64 * 64);
    weight_bytes_ += bytes(description.weights_desc());
    shares_.push_back(std::move(share));
  }

  dnnl::engine engine_;
  std::vector<Share> shares_;
  int64_t scratch_bytes_ = 64;
  int64_t weight_bytes_ = 0;
};

bool multiplies_int8() {
  constexpr unsigned needed = dnnl_cpu_isa_avx512_core_vnni;
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & needed) == needed;
}

#endif

} // namespace

std::unique_ptr<Int8Product> make_library_int8_product(const Int8ProductShape& shape,
                                                       const int8_t* weights,
                                                       const Int8Epilogue& epilogue,
                                                       Int8Exactness exactness) {
#if DNNL_VERSION_MAJOR == 2
  if (exactness == Int8Exactness::required && !multiplies_int8()) return nullptr;
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

void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const MatrixF32& a,
              const MatrixF32& b, float beta, float* c, int64_t leading_c) {
  const SingleThreadedOpenMp scope;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', rows, columns, depth, alpha,
                 a.data, a.leading, b.data, b.leading, beta, c, leading_c);
  if (status != dnnl_success) {
    fail(Status::internal, "oneDNN refused a ", rows, "x", columns, "x", depth,
         " product with status ", static_cast<int>(status));
  }
}

const char* gemm_library() { return "oneDNN"; }

} // namespace anet::backend::cpu

#endif
