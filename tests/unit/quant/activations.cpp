// W8A8: what is calibrated, what becomes int8, and what it computes.
#include "quant/activations.h"

#include "base/random.h"
#include "base/status.h"
#include "mil/builder.h"
#include "mil/compressed_weight.h"
#include "mil/interpreter.h"
#include "mil/passes.h"
#include "mil/text.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <limits>

namespace {

using namespace anet;
using namespace anet::quant;
using mil::Builder;
using mil::DataType;
using mil::Function;
using mil::Literal;
using mil::Shape;
using mil::Tensor;
using mil::TensorMap;
using mil::ValueId;
using Values = std::vector<double>;

int64_t count_ops(const Function& function, std::string_view name) {
  return std::count_if(function.ops.begin(), function.ops.end(),
                       [&](const mil::Operation& op) { return name == op.name(); });
}

mil::Type fp32(Shape shape) { return {DataType::fp32, std::move(shape), {}}; }

Values normal(uint64_t seed, int64_t count, float deviation) {
  std::vector<float> values(static_cast<size_t>(count));
  Random(seed, 0).fill_normal(values, 0.0f, deviation);
  return {values.begin(), values.end()};
}

// Runs the calibration function by the interpreter, once for each input.
ActivationRanges calibrate(const Function& function, const std::vector<TensorMap>& data) {
  const Calibration calibration = calibration_of(function);
  ActivationRanges ranges;
  for (const TensorMap& inputs : data) {
    const TensorMap outputs = mil::interpret(calibration.function, inputs);
    for (size_t i = 0; i < calibration.values.size(); ++i) {
      const ValueId id = calibration.function.outputs[i];
      const Values& values = outputs.at(calibration.function.value(id).name).values;
      ranges.observe(calibration.values[i], std::vector<float>(values.begin(), values.end()));
    }
  }
  return ranges;
}

Status status_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

TEST_CASE("ranges hold the wanted part of what was seen") {
  ActivationRanges ranges;
  std::vector<float> numbers;
  for (int i = 1; i <= 100; ++i) numbers.push_back(static_cast<float>(i % 2 == 0 ? i : -i));
  ranges.observe("x", std::span(numbers).first(60));
  ranges.observe("x", std::span(numbers).subspan(60));
  CHECK(ranges.limit("x", 1) == 100);
  CHECK(ranges.limit("x", 0.5) >= 50);
  CHECK(ranges.limit("x", 0.5) <= 50.5);
  CHECK(ranges.limit("x", 0.99) <= 100);
  ranges.observe("zeros", std::vector<float>(8, 0.0f));
  CHECK(ranges.limit("zeros", 1) == 0);
  CHECK(status_of([&] { ranges.limit("y", 1); }) == Status::not_found);
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(status_of([&] { ranges.observe("x", std::vector<float>{infinity}); }) ==
        Status::invalid_data);
}

// A constant [rows, columns, 1...] of codes / 64 whose largest magnitude in each row is 127 / 64,
// so that its scale is exactly 1 / 64.
Literal exact_weight(uint64_t seed, const Shape& shape, bool by_column = false) {
  Values values = normal(seed, mil::element_count(shape), 30);
  for (double& value : values) value = std::clamp(std::nearbyint(value), -127.0, 127.0) / 64;
  const int64_t rows = shape[0], columns = shape[1];
  for (int64_t i = 0; i < (by_column ? columns : rows); ++i)
    values[static_cast<size_t>(by_column ? i : i * columns)] = 127.0 / 64;
  return Literal::numbers(fp32(shape), values);
}

// Inputs on a grid of 1 / 32 with the magnitude 127 / 32 among them.
Tensor exact_input(uint64_t seed, const Shape& shape) {
  Tensor tensor{fp32(shape), normal(seed, mil::element_count(shape), 40)};
  for (double& value : tensor.values) value = std::clamp(std::nearbyint(value), -127.0, 127.0) / 32;
  tensor.values.front() = -127.0 / 32;
  return tensor;
}

TEST_CASE("products of what int8 holds exactly do not change") {
  for (int form = 0; form < 6; ++form) {
    Builder b;
    const auto weight = [&](const Shape& shape, bool by_column) {
      return b.constant(exact_weight(3, shape, by_column));
    };
    Shape shape;
    const auto input = [&](Shape x) { return b.input("x", fp32(shape = std::move(x))); };
    ValueId y = mil::no_value;
    switch (form) {
    case 0:
      y = b.linear(input({2, 6, 3, 5}), weight({4, 6, 1, 1}, false));
      break;
    case 1:
      y = b.add("linear", {{"x", input({5, 6})},
                           {"weight", weight({4, 6}, false)},
                           {"bias", b.constant(Literal::fill(fp32({4}), 0.3))}});
      break;
    case 2:
      y = b.matmul(input({2, 5, 6}), weight({4, 6}, false), false, true);
      break;
    case 3: // the weight is turned
      y = b.matmul(input({5, 6}), weight({6, 4}, true), false, false);
      break;
    case 4:
      y = b.matmul(weight({4, 6}, false), input({6, 5}), false, false);
      break;
    default:
      y = b.matmul(weight({6, 4}, true), input({5, 6}), true, true);
      break;
    }
    b.output(y, "y");
    const Function function = std::move(b).finish();
    const TensorMap inputs = {{"x", exact_input(5, shape)}};
    const Function quantized = quantize_activations(function, calibrate(function, {inputs}));
    CHECK(count_ops(quantized, "quantize") == 1);
    CHECK(count_ops(quantized, "dequantize") == 1);
    CHECK(count_ops(quantized, "constexpr_affine_dequantize") == 1);
    CHECK(mil::interpret(quantized, inputs).at("y").values ==
          mil::interpret(function, inputs).at("y").values);
    // The weight has the form that devices take int8 in.
    for (const mil::Operation& op : quantized.ops)
      if (std::string_view(op.name()) == "constexpr_affine_dequantize")
        CHECK(mil::compressed_weight(quantized, op).has_value());
    mil::Program program;
    program.functions.push_back(quantized);
    CHECK(mil::parse(mil::print(program)).main() == quantized);
  }
}

// Convolutions with a gate between: two products read one value, one reads an element-wise result.
Function gated(DataType dtype) {
  Builder b;
  const auto weight = [&](uint64_t seed, int64_t out, int64_t in) {
    return b.constant(Literal::numbers({dtype, {out, in, 1, 1}, {}}, normal(seed, out * in, 0.2f)));
  };
  const ValueId x = b.input("x", {dtype, {1, 24, 1, 40}, {}});
  const ValueId h = b.linear(x, weight(1, 32, 24));
  const ValueId gate = b.unary("silu", b.linear(h, weight(2, 32, 32)));
  b.output(b.linear(b.mul(gate, b.linear(h, weight(3, 32, 32))), weight(4, 24, 32)), "y");
  return std::move(b).finish();
}

TEST_CASE("a network in int8 is close to the one in floating point") {
  const Function function = gated(DataType::fp32);
  std::vector<TensorMap> data;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    data.push_back({{"x", {fp32({1, 24, 1, 40}), normal(seed, 960, 1)}}});
  const ActivationRanges ranges = calibrate(function, data);
  for (const double coverage : {1.0, 0.9999}) {
    const Function quantized = quantize_activations(function, ranges, {coverage});
    CHECK(count_ops(quantized, "quantize") == 3); // x, h, the gated values
    CHECK(count_ops(quantized, "constexpr_affine_dequantize") == 4);
    const TensorMap inputs = {{"x", {fp32({1, 24, 1, 40}), normal(9, 960, 1)}}};
    const Values exact = mil::interpret(function, inputs).at("y").values;
    const Values coded = mil::interpret(quantized, inputs).at("y").values;
    double error = 0, size = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      error += (exact[i] - coded[i]) * (exact[i] - coded[i]);
      size += exact[i] * exact[i];
    }
    // The gated values have a long tail: their largest is some 20 deviations, so that rounding
    // costs about 20 / 127 / sqrt(12) of one; the other roundings cost 0.01 each.
    CHECK(std::sqrt(error / size) < 0.06);
    CHECK(std::sqrt(error / size) > 1e-4);
  }
}

TEST_CASE("fp16 functions stay fp16") {
  const Function function = gated(DataType::fp16);
  const mil::Type type{DataType::fp16, {1, 24, 1, 40}, {}};
  const Function quantized =
      quantize_activations(function, calibrate(function, {{{"x", {type, normal(1, 960, 1)}}}}));
  CHECK(quantized.type(quantized.outputs[0]).dtype == DataType::fp16);
  CHECK(count_ops(quantized, "cast") == 0);
}

TEST_CASE("an int8 weight stays as it is") {
  Builder b;
  b.output(b.linear(b.input("x", fp32({1, 6, 1, 5})), b.input("w", fp32({4, 6, 1, 1}))), "y");
  mil::CompressedWeight weight{mil::Compression::int8_channel, 4, 6, 0, {}, {}};
  weight.codes = mil::Bytes(std::vector<std::byte>(24, std::byte{7}));
  weight.scales = mil::Bytes(std::vector<std::byte>(8, std::byte{0x30}));
  const Function function = mil::bind_constants(std::move(b).finish(), {{"w", weight}});
  const TensorMap inputs = {{"x", exact_input(1, {1, 6, 1, 5})}};
  const Function quantized = quantize_activations(function, calibrate(function, {inputs}));
  CHECK(count_ops(quantized, "constexpr_affine_dequantize") == 1);
  CHECK(mil::interpret(quantized, inputs).at("y").values ==
        mil::interpret(function, inputs).at("y").values);
}

TEST_CASE("what cannot be quantized is an error or is left alone") {
  Builder b;
  const ValueId x = b.input("x", fp32({1, 4, 8, 8}));
  b.output(b.matmul(x, x, false, true), "product");
  b.output(b.add("conv", {{"x", x},
                          {"weight", b.constant(Literal::fill(fp32({4, 4, 3, 3}), 1))},
                          {"pad_type", b.constant(Literal::string("valid"))}}),
           "window");
  const Function function = std::move(b).finish();
  CHECK(status_of([&] { calibration_of(function); }) == Status::unsupported);
  CHECK(status_of([&] { quantize_activations(function, {}); }) == Status::unsupported);
  const Function net = gated(DataType::fp32);
  CHECK(status_of([&] { quantize_activations(net, {}); }) == Status::not_found);
  for (const double coverage : {0.0, 1.5, std::nan("")})
    CHECK(status_of([&] { quantize_activations(net, {}, {coverage}); }) ==
          Status::invalid_argument);
}

} // namespace
