// Every op of the op table, lowered for the engine under every variant of its rules, against the
// reference interpreter.
#include "ane_lowered.h"
#include "op_cases.h"
#include "support.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <set>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;

namespace {

// What has no way to run in fp16 on any engine, or none that is exact enough. The cases of conv
// windows and of ops on int8 or booleans have runtime weights and such ports; ane_partition_lower_
// rules.cpp has cases that the engine takes.
const std::set<std::string> host_only = {"cos",
                                         "sin",
                                         "tan",
                                         "mod",
                                         "floor_div",
                                         "logical_and",
                                         "logical_not",
                                         "logical_or",
                                         "logical_xor",
                                         "select",
                                         "reduce_prod",
                                         "reduce_argmax",
                                         "reduce_argmin",
                                         "gather",
                                         "one_hot",
                                         "gather_along_axis",
                                         "scatter",
                                         "scatter_along_axis",
                                         "quantize",
                                         "dequantize",
                                         "conv_transpose",
                                         "const",
                                         "constexpr_cast",
                                         "tensor_buffer_to_tensor",
                                         "tensor_to_tensor_buffer"};

// Written with constants that fp16 cannot hold: 1 / sqrt(width), alpha of the linear units.
const std::set<std::string> rounded_constants = {"scaled_dot_product_attention", "elu",
                                                 "leaky_relu", "sigmoid_hard"};

// Relative to the largest magnitude of a result. Half precision: sums of several roundings of
// 2^-11; logarithms and exponentials of results near 0 lose more.
constexpr double exact_tolerance = 1e-9;
constexpr double constant_tolerance = 2e-3;
constexpr double half_tolerance = 2e-2;

// Comparisons end in a selection, for the engine has no port of booleans.
Function with_number_output(Function function) {
  const mil::ValueId output = function.outputs.front();
  if (function.type(output).dtype != DataType::boolean) return function;
  function.outputs.clear();
  mil::Builder b(std::move(function));
  b.output(b.cast(output, DataType::fp16), "number");
  return std::move(b).finish();
}

} // namespace

TEST_CASE("every op means the same after lowering") {
  std::set<std::string> lowered;
  std::set<std::string> covered;
  for (const auto& [label, rules] : rules_variants()) {
    for (const OpCase& op : op_cases()) {
      covered.insert(op.covers);
      if (std::find(op.dtypes.begin(), op.dtypes.end(), DataType::fp16) == op.dtypes.end())
        continue;
      for (uint64_t seed = 1; seed <= 8; ++seed) {
        Random random(seed * 1000 + 7);
        const Function function = with_number_output(op.build(random, DataType::fp16));
        if (!why_not(function, rules).empty()) continue;
        for (const mil::Operation& one : function.ops) lowered.insert(one.name());
        INFO(label << ": " << op.name << " seed " << seed);
        const LoweredError error =
            compare_lowered(function, rules, random_inputs(random, function, op.ranges));
        const bool exact = !rules.table_activations && rounded_constants.count(op.covers) == 0;
        CHECK(error.exact <= (exact ? exact_tolerance : constant_tolerance));
        CHECK(error.half <= half_tolerance);
      }
    }
  }
  lowered.erase("const");
  for (const std::string& op : covered) {
    INFO(op);
    CHECK(lowered.count(op) == (host_only.count(op) > 0 ? 0 : 1));
  }
}
