// Every op of the op table on the device "ane", on every chip, against the reference interpreter.
#include "../unit/backend/op_cases.h"
#include "device_support.h"

#include "mil/partition.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <set>

using namespace anet;
using namespace anet::backend;
using namespace anet::test;
using backend::testing::op_cases;
using backend::testing::OpCase;
using backend::testing::Random;
using backend::testing::Runner;
using mil::TensorMap;

namespace {

// fp16 results of one op: a few units in the last place of the largest result, because the engine
// adds up in another order and some ops are written with others.
constexpr double tolerance = 4e-3;

// What blocks, heads and their gradients are made of, and what user programs have beside.
const std::set<std::string> engine_ops = {"abs",
                                          "add",
                                          "cast",
                                          "clip",
                                          "concat",
                                          "conv",
                                          "erf",
                                          "exp",
                                          "expand_dims",
                                          "gelu",
                                          "identity",
                                          "inverse",
                                          "layer_norm",
                                          "linear",
                                          "log",
                                          "matmul",
                                          "maximum",
                                          "minimum",
                                          "mul",
                                          "pad",
                                          "pow",
                                          "real_div",
                                          "reduce_max",
                                          "reduce_mean",
                                          "reduce_sum",
                                          "reduce_sum_square",
                                          "relu",
                                          "reshape",
                                          "rsqrt",
                                          "scaled_dot_product_attention",
                                          "sigmoid",
                                          "silu",
                                          "slice_by_index",
                                          "slice_by_size",
                                          "softmax",
                                          "split",
                                          "sqrt",
                                          "square",
                                          "squeeze",
                                          "stack",
                                          "sub",
                                          "tanh",
                                          "tile",
                                          "transpose"};

// What every chip has to compute.
struct RandomCase {
  const OpCase* op = nullptr;
  uint64_t seed = 0;
  mil::Function function;
  TensorMap inputs;
  CompileOptions options;
  TensorMap expected;
};

std::vector<RandomCase> random_cases() {
  std::vector<RandomCase> cases;
  for (const OpCase& op : op_cases()) {
    if (std::count(op.dtypes.begin(), op.dtypes.end(), DataType::fp16) == 0) continue;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      Random random(seed * 1000 + 7);
      RandomCase& one = cases.emplace_back();
      one.op = &op;
      one.seed = seed;
      one.function = op.build(random, DataType::fp16);
      one.inputs = backend::testing::random_inputs(random, one.function, op.ranges);
      one.options.port_layouts = backend::testing::random_layouts(random, one.function);
      one.options.label = op.name;
      one.expected = mil::interpret(one.function, one.inputs, mil::Precision::f16);
    }
  }
  return cases;
}

// True when the engine ran any of it.
bool run_case(Device& device, const RandomCase& one, const std::string& profile) {
  const std::string what = profile + " " + one.op->name + " seed " + std::to_string(one.seed);
  INFO(what);
  Runner runner(device, one.function, one.options);
  check_near(runner.run(one.inputs), one.expected, one.op->exact ? 0 : tolerance,
             what + " " + runner.kernel().placement().where);
  // On the engine, bytes between the rows of a surface are its own.
  const RunTotals totals = runner.kernel().totals();
  CHECK_MESSAGE(totals.fallbacks == 0, what << ": " << runner.kernel().placement().reason);
  // What the lowering takes for possible, the compiler takes.
  CHECK_MESSAGE(runner.kernel().placement().reason.find("compile:") == std::string::npos,
                what << ": " << runner.kernel().placement().reason);
  return totals.evaluations > 0;
}

} // namespace

TEST_CASE("every op agrees with the reference interpreter on every chip") {
  const std::vector<RandomCase> cases = random_cases();
  for (const std::string& profile : profiles()) {
    const DeviceFixture fixture(profile);
    DeviceOptions wide = fixture.options();
    wide.ane.compile_budget = 100000;
    const auto device = fixture.open(wide);
    std::set<std::string> on_engine;
    for (const RandomCase& one : cases)
      if (run_case(*device, one, profile)) on_engine.insert(one.op->covers);
    for (const std::string& name : engine_ops)
      CHECK_MESSAGE(on_engine.count(name) == 1, profile << " does not run " << name);
  }
}

TEST_CASE("what is not fp16 runs on the host beside the engine") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  for (const OpCase& op : op_cases()) {
    for (const DataType dtype : op.dtypes) {
      if (dtype == DataType::fp16) continue;
      const std::string what = op.name + " " + mil::data_type_name(dtype);
      Random random(11);
      const mil::Function function = op.build(random, dtype);
      const TensorMap inputs = backend::testing::random_inputs(random, function, op.ranges);
      INFO(what);
      Runner runner(*device, function);
      const double allowed = dtype == DataType::bf16 ? 1e-2 : op.exact ? 0 : 1e-4;
      check_near(runner.run(inputs), mil::interpret(function, inputs, mil::Precision::f32), allowed,
                 what);
    }
  }
}
