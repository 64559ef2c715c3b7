#include "support.h"

#include <cmath>

using namespace test;

namespace {

// y = x W, W = [[1, 2], [3, 4]].
const char* const product = R"(program(1.3)
{
  func main<ios18>(tensor<fp32, [1, 2]> x) {
    tensor<fp32, [2, 2]> w = const()[name = string("w"), val = tensor<fp32, [2, 2]>([[1, 2], [3, 4]])];
    bool no = const()[name = string("no"), val = bool(false)];
    tensor<fp32, [1, 2]> y = matmul(x = x, y = w, transpose_x = no, transpose_y = no)[name = string("y")];
  } -> (y);
}
)";

Program parse(const char* text) {
  anet_program* program = nullptr;
  must(anet_program_parse, text, SIZE_MAX, nullptr, size_t{0}, &program);
  return Program(program);
}

struct Fixture {
  Device device = open_device();
  Program program = parse(product);
  Buffer sample = buffer({1.0f, -1.5f});

  Buffer buffer(std::vector<float> values) const {
    auto desc = initialised<anet_tensor_desc>();
    desc.dtype = ANET_DTYPE_FP32;
    desc.rank = 2;
    desc.shape[0] = 1;
    desc.shape[1] = 2;
    anet_buffer* made = nullptr;
    must(anet_buffer_create, device.get(), &desc, &made);
    must(anet_buffer_write, made, static_cast<const void*>(values.data()),
         values.size() * sizeof(float));
    return Buffer(made);
  }

  Outcome quantize(const std::vector<anet_buffer*>& samples, Program* result = nullptr,
                   double coverage = 0) const {
    auto options = initialised<anet_program_quantize_options>();
    options.coverage = coverage;
    anet_program* made = nullptr;
    const Outcome outcome = attempt(anet_program_quantize, device.get(), program.get(), nullptr,
                                    samples.data(), samples.size(), &options, &made);
    CHECK((made != nullptr) == (outcome.status == ANET_OK));
    Program owner(made);
    if (result != nullptr) *result = std::move(owner);
    return outcome;
  }
};

} // namespace

TEST_CASE("a program's products run on 8 bits") {
  const Fixture f;
  Program small;
  CHECK(f.quantize({f.sample.get(), f.sample.get()}, &small).status == ANET_OK);
  const char* text = nullptr;
  must(anet_program_get_text, small.get(), &text, nullptr);
  for (const char* op : {"constexpr_affine_dequantize", "quantize(", "dequantize("})
    CHECK(std::string(text).find(op) != std::string::npos);
  anet_kernel* handle = nullptr;
  must(anet_kernel_compile, f.device.get(), small.get(), nullptr, &handle);
  const Kernel kernel(handle);
  const Buffer y = f.buffer({0, 0});
  anet_buffer *input = f.sample.get(), *output = y.get();
  must(anet_kernel_run, handle, &input, size_t{1}, &output, size_t{1});
  float values[2] = {0, 0};
  must(anet_buffer_read, output, static_cast<void*>(values), sizeof(values));
  // 1 - 4.5 and 2 - 6; of the largest value of each operand half a 127th is lost.
  CHECK(std::abs(values[0] + 3.5f) < 0.06f);
  CHECK(std::abs(values[1] + 4.0f) < 0.06f);
}

TEST_CASE("programs that cannot be quantized") {
  Fixture f;
  CHECK(f.quantize({}).status == ANET_E_INVALID_ARGUMENT);
  CHECK(f.quantize({nullptr}).status == ANET_E_INVALID_ARGUMENT);
  CHECK(f.quantize({f.sample.get()}, nullptr, 1.5).status == ANET_E_INVALID_ARGUMENT);
  CHECK(f.quantize({f.sample.get()}, nullptr, -1).status == ANET_E_INVALID_ARGUMENT);
  const Buffer broken = f.buffer({NAN, 0});
  CHECK(f.quantize({broken.get()}).status == ANET_E_INVALID_DATA);
  f.program = parse(R"(program(1.3)
{
  func main<ios18>(tensor<fp32, [1, 2]> x) {
    tensor<fp32, [1, 2]> y = mul(x = x, y = x)[name = string("y")];
  } -> (y);
}
)");
  CHECK(f.quantize({f.sample.get()}).status == ANET_E_UNSUPPORTED);
}
