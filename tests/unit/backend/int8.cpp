// Products of int8 activations and weights on the CPU device: exact sums, rounded once.
#include "support.h"

#include "backend/cpu/int8_product.h"
#include "backend/cpu/plan.h"
#include "base/thread_pool.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;
using mil::ValueId;

namespace {

ValueId quantized(Builder& b, ValueId x, double scale) {
  const ValueId step = b.scalar(b.type(x).dtype, scale);
  const ValueId type = b.constant(Literal::string("int8"));
  const ValueId codes = b.add("quantize", {{"input", x}, {"scale", step}, {"output_dtype", type}});
  return b.add("dequantize", {{"input", codes}, {"scale", step}});
}

double random_scale(Random& random, bool exact) {
  return exact ? std::ldexp(1, static_cast<int>(random.integer(-8, -6)))
               : random.integer(10, 60) / 4096.0;
}

ValueId weight(Builder& b, Random& random, DataType dtype, const Shape& shape, bool exact) {
  const auto count = mil::element_count(shape);
  std::vector<double> codes, scales;
  for (int64_t i = 0; i < count; ++i)
    codes.push_back(static_cast<double>(random.integer(-128, 127)));
  for (int64_t i = 0; i < shape[0]; ++i) scales.push_back(random_scale(random, exact));
  return b.add(
      "constexpr_affine_dequantize",
      {{"quantized_data", b.constant(Literal::numbers({DataType::int8, shape, {}}, codes))},
       {"zero_point", b.constant(Literal::scalar(DataType::int8, 0))},
       {"scale", b.constant(Literal::numbers({dtype, {shape[0]}, {}}, scales))},
       {"axis", b.constant(Literal::int32(0))}});
}

ValueId conv(Builder& b, Random& random, ValueId x, int64_t outputs, bool exact) {
  const DataType dtype = b.type(x).dtype;
  const ValueId w = weight(b, random, dtype, {outputs, b.shape(x)[1], 1, 1}, exact);
  if (random.coin()) return b.linear(x, w);
  std::vector<double> bias;
  for (int64_t i = 0; i < outputs; ++i) bias.push_back(random.integer(-64, 64) / 16.0);
  return b.add("conv", {{"x", x},
                        {"weight", w},
                        {"bias", b.constant(Literal::numbers({dtype, {outputs}, {}}, bias))},
                        {"pad_type", b.constant(Literal::string("valid"))}});
}

// Convolutions one behind the other, at times with something between them.
Function chain(Random& random, DataType dtype, bool exact, int64_t depth) {
  Builder b;
  ValueId x = b.input(
      "x", {dtype, {random.integer(1, 2), random.integer(1, 70), 1, random.integer(1, 60)}, {}});
  for (int64_t i = 0; i < depth; ++i) {
    x = conv(b, random, quantized(b, x, std::ldexp(1, -5)), random.integer(1, 70), exact);
    if (random.integer(0, 2) == 0) x = b.unary("relu", x);
    // Into the range of the next layer.
    if (i + 1 < depth && random.integer(0, 2) == 0) x = b.mul(x, 0.25);
  }
  b.output(x, "y");
  return std::move(b).finish();
}

// One product in each of the forms that take int8.
Function product(Random& random, int form, DataType dtype, bool exact) {
  const int64_t n = random.integer(1, 50), k = random.integer(1, 90), m = random.integer(1, 50);
  Builder b;
  const auto input = [&](Shape shape) {
    if (random.coin()) shape.insert(shape.begin(), 3);
    return quantized(b, b.input("x", {dtype, std::move(shape), {}}), std::ldexp(1, -5));
  };
  const ValueId w = weight(b, random, dtype, {m, k}, exact);
  ValueId y = mil::no_value;
  if (form == 0) y = b.matmul(input({n, k}), w, false, true);
  if (form == 1) y = b.matmul(w, input({k, n}), false, false);
  if (form == 2) y = b.add("linear", {{"x", input({n, k})}, {"weight", w}});
  b.output(random.coin() ? quantized(b, y, exact ? 0.0625 : 0.07) : y, "y");
  return std::move(b).finish();
}

void check(Device& device, const Function& function, uint64_t seed, Tolerance tolerance,
           const std::string& what) {
  Random random(seed);
  const TensorMap inputs = random_inputs(random, function, {{"x", {-4, 4}}});
  const bool half = function.type(function.outputs[0]).dtype == DataType::fp16;
  const TensorMap expected =
      mil::interpret(function, inputs, half ? mil::Precision::f16 : mil::Precision::f32);
  CompileOptions options;
  options.port_layouts = random_layouts(random, function);
  Runner runner(device, function, options);
  INFO(what);
  check_close(runner.run(inputs), expected, tolerance, what);
  CHECK(runner.gaps_are_untouched());
}

TEST_CASE("int8 products are exact where scales are powers of two") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto two = open_device("cpu", {.threads = 2});
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    Device& device = seed % 2 == 0 ? *one : *two;
    check(device, chain(random, DataType::fp32, true, random.integer(1, 4)), seed, {0, 0},
          "chain " + std::to_string(seed));
    const int form = static_cast<int>(seed % 3);
    check(device, product(random, form, DataType::fp32, true), seed, {0, 0},
          "form " + std::to_string(form) + " seed " + std::to_string(seed));
  }
}

TEST_CASE("int8 products differ by one code at most with other scales") {
  const auto device = open_device("cpu", {.threads = 2});
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    for (const DataType dtype : {DataType::fp32, DataType::fp16}) {
      Random random(seed);
      const int form = static_cast<int>(seed % 3);
      check(*device, product(random, form, dtype, false), seed,
            {dtype == DataType::fp16 ? 2e-3 : 1e-5, 0.0701},
            "form " + std::to_string(form) + " seed " + std::to_string(seed));
    }
  }
}

TEST_CASE("a chain of convolutions is one step a layer") {
  const auto device = open_device("cpu", {.threads = 2});
  Random random(1);
  Builder b;
  ValueId x = b.input("x", {DataType::fp32, {1, 32, 4, 8}, {}});
  for (int layer = 0; layer < 5; ++layer)
    x = b.linear(quantized(b, x, 0.25), weight(b, random, DataType::fp32, {32, 32, 1, 1}, true));
  b.output(x, "y");
  const auto kernel = device->compile(std::move(b).finish(), {});
  CHECK(kernel->statistics().op_count == 6); // the first quantize, and the products
}

TEST_CASE("int8 ports") {
  const auto device = open_device("cpu", {.threads = 2});
  Random random(3);
  Builder b;
  const ValueId scale = b.scalar(DataType::fp32, 0.5);
  const ValueId codes = b.input("x", {DataType::int8, {1, 20, 1, 30}, {}});
  const ValueId x = b.add("dequantize", {{"input", codes}, {"scale", scale}});
  const ValueId w = weight(b, random, DataType::fp32, {24, 20, 1, 1}, true);
  const ValueId y = b.add("quantize", {{"input", b.linear(x, w)},
                                       {"scale", b.scalar(DataType::fp32, 4)},
                                       {"output_dtype", b.constant(Literal::string("int8"))}});
  b.output(y, "y");
  const Function function = std::move(b).finish();
  const TensorMap inputs = random_inputs(random, function, {{"x", {-128, 127}}});
  check_close(Runner(*device, function).run(inputs), mil::interpret(function, inputs), {0, 0},
              "int8 ports");
}

TEST_CASE("other readers of a dequantized tensor get numbers") {
  const auto device = open_device("cpu", {.threads = 2});
  Random random(4);
  Builder b;
  const ValueId x = quantized(b, b.input("x", {DataType::fp32, {1, 6, 2, 5}, {}}), 0.0625);
  const ValueId w = weight(b, random, DataType::fp32, {4, 6, 1, 1}, true);
  b.output(b.linear(x, w), "product");
  b.output(b.unary("tanh", x), "tanh");
  b.output(b.add(x, 1.0), "sum");
  b.output(b.transpose(x, {0, 2, 3, 1}), "turned");
  b.output(b.linear(b.transpose(x, {0, 1, 3, 2}), w), "product_of_turned");
  b.output(b.reduce("reduce_sum", x, {1}, true), "reduced");
  b.output(b.unary("identity", x), "same");
  const Function function = std::move(b).finish();
  const TensorMap inputs = random_inputs(random, function, {{"x", {-10, 10}}});
  check_close(Runner(*device, function).run(inputs), mil::interpret(function, inputs), {1e-5, 1e-5},
              "readers");
}

// Both implementations against plain loops.
void check_product(Random& random, bool to_int8, bool library) {
  using namespace cpu;
  const int64_t rows = random.integer(1, 70);
  Int8ProductShape shape{random.integer(1, 70), random.integer(1, 130), 0, {}};
  shape.leading = shape.depth + random.integer(0, 3);
  shape.shares = {(rows + 1) / 2};
  if (rows > 1) shape.shares.push_back(rows / 2);
  // The library's sums of two products fit 16 bits then, whatever the processor.
  const int64_t range = library ? 63 : 127;
  const auto codes = [&](int64_t n, int64_t low, int64_t high) {
    std::vector<int8_t> values(static_cast<size_t>(n));
    for (int8_t& value : values) value = static_cast<int8_t>(random.integer(low, high));
    return values;
  };
  const std::vector<int8_t> w = codes(shape.outputs * shape.depth, -range - 1, range);
  const std::vector<int8_t> x = codes(rows * shape.leading, -128, 127);
  Int8Epilogue epilogue;
  epilogue.to_int8 = to_int8;
  for (int64_t i = 0; i < shape.outputs; ++i) {
    epilogue.scale.push_back(std::ldexp(1.0f, static_cast<int>(random.integer(-12, -9))));
    epilogue.bias.push_back(static_cast<float>(random.integer(-30, 30)));
  }
  const std::unique_ptr<Int8Product> product =
      library ? make_library_int8_product(shape, w.data(), epilogue, Int8Exactness::waived)
              : make_int8_product(shape, w.data(), epilogue);
  if (product == nullptr) return; // a platform without
  std::vector<std::byte> y(static_cast<size_t>(rows * shape.outputs) * (to_int8 ? 1 : 4));
  const auto scratch = allocate_aligned(product->scratch_bytes());
  int64_t first = 0;
  for (size_t share = 0; share < shape.shares.size(); ++share) {
    const int64_t done = first * shape.outputs * (to_int8 ? 1 : 4);
    product->run(share, x.data() + first * shape.leading, y.data() + done, scratch.get());
    first += shape.shares[share];
  }
  int64_t wrong = 0;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < shape.outputs; ++j) {
      int64_t sum = 0;
      for (int64_t k = 0; k < shape.depth; ++k)
        sum += int64_t{x[static_cast<size_t>(i * shape.leading + k)]} *
               w[static_cast<size_t>(j * shape.depth + k)];
      const auto at = static_cast<size_t>(j);
      const double value = static_cast<double>(sum) * epilogue.scale[at] + epilogue.bias[at];
      const auto place = static_cast<size_t>(i * shape.outputs + j);
      if (to_int8) {
        const double expected = std::clamp(std::nearbyint(value), -128.0, 127.0);
        wrong += static_cast<int8_t>(y[place]) != expected;
      } else {
        float seen;
        std::memcpy(&seen, y.data() + place * 4, 4);
        wrong += seen != value;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("int8 products against plain loops") {
  Random random(11);
  for (int i = 0; i < 200; ++i) check_product(random, random.coin(), i % 2 == 0);
}

} // namespace
