// The gradient of cross-entropy: against the interpreter, in one step, over the logits.
#include "support.h"

#include "mil/differentiate.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Precision;
using mil::ValueId;

namespace {

// The weighted sum of the losses of logits [1, vocabulary, 1, positions].
void add_loss(Builder& b, ValueId logits, int64_t positions) {
  const ValueId scores = b.cast(logits, DataType::fp32);
  const ValueId targets = b.input("targets", {DataType::int32, {1, 1, 1, positions}, {}});
  const ValueId weight = b.input("weight", {DataType::fp32, {1, 1, 1, positions}, {}});
  const ValueId total = b.reduce("reduce_log_sum_exp", scores, {1}, true);
  const ValueId picked = b.gather_along_axis(scores, targets, 1);
  b.output(b.reduce("reduce_sum", b.mul(b.sub(total, picked), weight), {1, 2, 3}, false), "loss");
}

Function with_gradient(Builder&& b, std::vector<std::string> inputs) {
  mil::DifferentiateOptions options;
  options.with_respect_to = std::move(inputs);
  return mil::value_and_gradient(std::move(b).finish(), options);
}

Function head(DataType dtype, int64_t vocabulary, int64_t width, int64_t positions) {
  Builder b;
  const ValueId x = b.input("x", {dtype, {1, width, 1, positions}, {}});
  const ValueId matrix = b.input("matrix", {dtype, {vocabulary, width, 1, 1}, {}});
  add_loss(b, b.linear(x, matrix), positions);
  return with_gradient(std::move(b), {"x", "matrix"});
}

Function of_logits(DataType dtype, int64_t vocabulary, int64_t positions) {
  Builder b;
  add_loss(b, b.input("x", {dtype, {1, vocabulary, 1, positions}, {}}), positions);
  return with_gradient(std::move(b), {"x"});
}

// Every third position does not count.
TensorMap inputs_of(Random& random, const Function& function, int64_t vocabulary) {
  TensorMap inputs = random_inputs(random, function);
  for (double& target : inputs["targets"].values)
    target = static_cast<double>(random.integer(0, vocabulary - 1));
  auto& weight = inputs["weight"].values;
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = i % 3 == 2 ? 0 : 1;
  return inputs;
}

KernelStatistics statistics_of(const Function& function) {
  const auto device = open_device("cpu", {.threads = 2});
  return device->compile(function, {})->statistics();
}

} // namespace

// Logits and a log-sum-exp of up to 20 are each rounded by up to 1e-6 in fp32, and so is a
// probability near 1; the entries of the matrix, of up to 2, make that 4e-6 in the gradient of x.
TEST_CASE("losses and their gradients agree with the interpreter") {
  Random random(1);
  for (const auto& [dtype, tolerance] :
       {std::pair<DataType, Tolerance>{DataType::fp32, {1e-5, 4e-6}},
        {DataType::bf16, {0.02, 0.02}}})
    for (const int64_t vocabulary : {1, 5, 64, 997})
      for (const int64_t positions : {1, 2, 13, 67}) {
        const Function function = head(dtype, vocabulary, 24, positions);
        const TensorMap inputs = inputs_of(random, function, vocabulary);
        const TensorMap expected = mil::interpret(function, inputs, Precision::f64);
        for (const int threads : {1, 3}) {
          const auto device = open_device("cpu", {.threads = threads});
          CompileOptions options;
          options.port_layouts = random_layouts(random, function);
          Runner runner(*device, function, options);
          check_close(runner.run(inputs), expected, tolerance,
                      std::to_string(vocabulary) + "x" + std::to_string(positions));
          CHECK(runner.gaps_are_untouched());
        }
      }
}

// Where the model is all but certain, p - 1 must not be p rounded, less 1. The absolute tolerance
// is the rounding of a log-sum-exp of 14 in fp32.
TEST_CASE("gradients at likely targets are rounded once") {
  constexpr int64_t vocabulary = 37, positions = 19;
  const Function function = of_logits(DataType::bf16, vocabulary, positions);
  Random random(2);
  TensorMap inputs = inputs_of(random, function, vocabulary);
  for (int64_t i = 0; i < positions; ++i) {
    const auto target = static_cast<int64_t>(inputs["targets"].values[static_cast<size_t>(i)]);
    inputs["x"].values[static_cast<size_t>(target * positions + i)] = 14;
  }
  const auto device = open_device("cpu", {.threads = 2});
  check_close(Runner(*device, function).run(inputs),
              mil::interpret(function, inputs, Precision::f64), {0x1p-8, 2e-6}, "likely");
}

TEST_CASE("the gradient of logits is one op, in their memory") {
  constexpr int64_t vocabulary = 3001, positions = 64;
  constexpr size_t logits = vocabulary * positions * sizeof(float);
  const KernelStatistics seen = statistics_of(head(DataType::fp32, vocabulary, 8, positions));
  CHECK(seen.op_count == 8);
  CHECK(seen.workspace_bytes < logits + logits / 2);
  // One position is no row of a matrix: these are the ops of general groups.
  CHECK(statistics_of(head(DataType::fp32, vocabulary, 8, 1)).op_count > seen.op_count);
}

// What f16 programs have: logits that the engine rounded. 997 rows are copied to fp32 first, 3001
// are read as they are.
TEST_CASE("losses of logits in fp16, and their gradients, agree with the interpreter") {
  Random random(3);
  for (const int64_t vocabulary : {1, 997, 3001})
    for (const int64_t positions : {1, 2, 67, 600}) {
      const Function function = of_logits(DataType::fp16, vocabulary, positions);
      TensorMap inputs = inputs_of(random, function, vocabulary);
      inputs["targets"].values.back() = -1; // counted from the end
      const TensorMap expected = mil::interpret(function, inputs, Precision::f32);
      for (const int threads : {1, 3}) {
        const auto device = open_device("cpu", {.threads = threads});
        CompileOptions options;
        options.port_layouts = random_layouts(random, function);
        Runner runner(*device, function, options);
        check_close(runner.run(inputs), expected, {0x1p-10, 2e-7},
                    std::to_string(vocabulary) + "x" + std::to_string(positions));
        CHECK(runner.gaps_are_untouched());
        CHECK_FALSE(runner.kernel().overflowed());
      }
    }
}

namespace {

// Returned as well, the logits in fp32 are there to be read.
Function widened(int64_t vocabulary, int64_t positions) {
  Builder b;
  const ValueId logits = b.input("x", {DataType::fp16, {1, vocabulary, 1, positions}, {}});
  add_loss(b, logits, positions);
  b.output(b.cast(logits, DataType::fp32), "scores");
  mil::DifferentiateOptions options;
  options.with_respect_to = {"x"};
  options.outputs = {"loss"};
  return mil::value_and_gradient(std::move(b).finish(), options);
}

} // namespace

TEST_CASE("logits that are widened as they are read have the bits of those that were") {
  Random random(4);
  for (const int64_t vocabulary : {1024, 3001, 40000}) {
    constexpr int64_t positions = 37;
    const Function narrow = of_logits(DataType::fp16, vocabulary, positions);
    const Function wide = widened(vocabulary, positions);
    TensorMap inputs = inputs_of(random, narrow, vocabulary);
    for (double& weight : inputs["weight"].values) weight *= 1024; // a loss scale
    const auto device = open_device("cpu", {.threads = 2});
    Runner a(*device, narrow), b(*device, wide);
    const TensorMap seen = a.run(inputs), expected = b.run(inputs);
    for (const char* output : {"loss", "d_x"})
      CHECK(seen.at(output).values == expected.at(output).values);
    const auto elements = static_cast<size_t>(vocabulary * positions);
    CHECK(a.kernel().statistics().workspace_bytes < elements * sizeof(uint16_t));
  }
}

// p times the weight is no number of fp16 where the target is, but p - 1 times it is.
TEST_CASE("gradients that are infinite in fp16 count as overflows, but not below a target") {
  constexpr int64_t vocabulary = 2048, positions = 5, target = 77;
  const auto device = open_device("cpu", {.threads = 2});
  const Function function = of_logits(DataType::fp16, vocabulary, positions);
  Runner runner(*device, function);
  Random random(5);
  TensorMap inputs = inputs_of(random, function, vocabulary);
  auto& x = inputs["x"].values;
  std::fill(x.begin(), x.end(), -20);
  inputs["d_loss"].values = {1};
  for (size_t i = 0; i < positions; ++i) {
    inputs["targets"].values[i] = target;
    inputs["weight"].values[i] = 70000;
    x[target * positions + i] = 20;
  }
  const auto gradient = runner.run(inputs).at("d_x").values;
  CHECK_FALSE(runner.kernel().overflowed());
  for (size_t i = 0; i < positions; ++i) CHECK(std::abs(gradient[target * positions + i]) < 1);
  inputs["targets"].values[2] = target + 1;
  runner.run(inputs);
  CHECK(runner.kernel().overflowed());
}
