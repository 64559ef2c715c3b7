// W8A8 on the engine: a chain of products on int8 activations, as quant::quantize_activations
// writes it, on every chip.
#include "device_support.h"

#include "base/random.h"
#include "mil/builder.h"
#include "mil/partition.h"
#include "quant/activations.h"

#include <cmath>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::test;
using backend::testing::Runner;
using mil::DataType;
using mil::TensorMap;
using mil::ValueId;

namespace {

constexpr int64_t channels = 32;
constexpr int64_t width = 48;

// Products of [channels, channels] with relu between them, in fp16.
mil::Function chain(int depth) {
  mil::Builder b("main");
  ValueId x = b.input("x", {DataType::fp16, {1, channels, 1, width}, {}});
  for (int i = 0; i < depth; ++i) {
    std::vector<float> weights(channels * channels);
    Random(11, static_cast<uint64_t>(i)).fill_normal(weights, 0.0f, 1.5f / std::sqrt(32.0f));
    const std::vector<double> numbers(weights.begin(), weights.end());
    const ValueId weight = b.constant(
        mil::Literal::numbers({DataType::fp16, {channels, channels, 1, 1}, {}}, numbers));
    x = b.linear(x, weight);
    if (i + 1 < depth) x = b.unary("relu", x);
  }
  b.output(x, "y");
  return std::move(b).finish();
}

TensorMap random_inputs(const mil::Function& function, uint64_t seed) {
  backend::testing::Random random(seed);
  return backend::testing::random_inputs(random, function);
}

// Calibrated by the interpreter on two sets of inputs.
mil::Function quantized(const mil::Function& function) {
  const quant::Calibration calibration = quant::calibration_of(function);
  quant::ActivationRanges ranges;
  for (const uint64_t seed : {1u, 2u}) {
    const TensorMap outputs =
        mil::interpret(calibration.function, random_inputs(function, seed), mil::Precision::f16);
    for (size_t i = 0; i < calibration.values.size(); ++i) {
      const ValueId id = calibration.function.outputs[i];
      const auto& values = outputs.at(calibration.function.value(id).name).values;
      ranges.observe(calibration.values[i], std::vector<float>(values.begin(), values.end()));
    }
  }
  return quant::quantize_activations(function, ranges);
}

} // namespace

TEST_CASE("a chain of products on int8 activations runs on the engine of every chip") {
  const mil::Function function = chain(4);
  const mil::Function narrow = quantized(function);
  const TensorMap inputs = random_inputs(function, 2);
  const TensorMap exact = mil::interpret(function, inputs, mil::Precision::f16);
  const TensorMap expected = mil::interpret(narrow, inputs, mil::Precision::f16);
  check_near(expected, exact, 0.05, "8 bits of four products");
  for (const std::string& profile : profiles()) {
    const DeviceFixture fixture(profile);
    const auto device = fixture.open();
    Runner runner(*device, narrow);
    // A sum that falls between two codes may round either way: a code is 1/127 of the range.
    check_near(runner.run(inputs), expected, 2.0 / 127, profile);
    INFO(profile << ": " << runner.kernel().placement().reason);
    CHECK(runner.kernel().placement().where == "ane");
    CHECK(runner.kernel().totals().engine_flops == mil::count_flops(narrow));
  }
}
