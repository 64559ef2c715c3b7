#include "ane_lowered.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "mil/op_table.h"
#include "mil/text.h"
#include "mil/verify.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

namespace anet::backend::testing {

using ane::Lowered;
using ane::LoweredPort;
using ane::Rules;
using mil::DataType;
using mil::Function;
using mil::Literal;
using mil::Operation;
using mil::Precision;
using mil::Shape;
using mil::Tensor;
using mil::TensorMap;
using mil::ValueId;

namespace {

// Ran through the in-memory path (ane-facts.md 4.2); tile and layer_norm have known failures (4.4).
const std::set<std::string> proven = {"conv",
                                      "matmul",
                                      "add",
                                      "sub",
                                      "mul",
                                      "real_div",
                                      "pow",
                                      "maximum",
                                      "minimum",
                                      "sigmoid",
                                      "tanh",
                                      "relu",
                                      "silu",
                                      "exp",
                                      "sqrt",
                                      "abs",
                                      "erf",
                                      "gelu",
                                      "log",
                                      "rsqrt",
                                      "inverse",
                                      "softmax",
                                      "reduce_sum",
                                      "reduce_mean",
                                      "reduce_max",
                                      "reduce_min",
                                      "cast",
                                      "reshape",
                                      "transpose",
                                      "concat",
                                      "slice_by_size",
                                      "slice_by_index",
                                      "identity",
                                      "less",
                                      "greater_equal",
                                      "select",
                                      "quantize",
                                      "dequantize",
                                      "constexpr_affine_dequantize",
                                      "scaled_dot_product_attention",
                                      "constexpr_blockwise_shift_scale",
                                      "constexpr_lut_to_dense"};
// On every chip (4.3), and with no path in 4.2 that would do the same.
const std::set<std::string> on_every_chip = {
    "conv_transpose", "atan",    "ceil",       "exp2",      "floor",       "round",    "sign",
    "equal",          "greater", "less_equal", "not_equal", "logical_not", "softplus", "reverse"};

bool may_use(const std::string& op, const Rules& rules) {
  if (op == "rsqrt") return rules.has_rsqrt;
  if (op == "concat") return rules.has_concat;
  if (op == "pad") return !rules.has_concat; // what concat is written with then
  if (op == "reduce_mean") return !rules.narrow_reduce_sum;
  if (op == "reduce_l2_norm") return !rules.narrow_l2_norm;
  if (op == "scaled_dot_product_attention") return rules.native_causal_attention;
  const bool table =
      op == "sigmoid" || op == "silu" || op == "tanh" || op == "gelu" || op == "softplus";
  if (table) return !rules.table_activations;
  return proven.count(op) > 0 || on_every_chip.count(op) > 0;
}

bool reads_constant(const Function& function, const Operation& op, const char* argument) {
  return function.constant(op.input(argument)) != nullptr;
}

// The form of a runtime weight that the probe asks for.
bool is_kernel_reshape(const Function& function, const Operation& op, const Rules& rules) {
  if (std::string(op.name()) != "reshape") return false;
  const bool computed = function.value(op.input("x")).producer >= 0;
  const bool allowed = rules.computed_convolution || (!computed && rules.parameter_convolution);
  if (!allowed) return false;
  return std::any_of(function.ops.begin(), function.ops.end(), [&](const Operation& reader) {
    return std::string(reader.name()) == "conv" && reader.input("weight") == op.outputs.front();
  });
}

// What the op may not do to the length of rows (ane-facts.md 4.4).
bool keeps_width(const Function& function, const Operation& op, const Rules& rules) {
  const std::string name = op.name();
  const bool is_slice = name == "slice_by_size" || name == "slice_by_index";
  const bool is_free = name == "reshape"  ? rules.reshapes_width
                       : name == "concat" ? rules.concats_width
                                          : !is_slice || rules.slices_width;
  if (is_free || is_kernel_reshape(function, op, rules)) return true;
  const ValueId x = name == "concat" ? op.argument("values")->values.front() : op.input("x");
  return function.type(x).shape.back() == function.type(op.outputs.front()).shape.back();
}

// Rules about single ops that their names do not tell.
void check_op(const Function& function, const Operation& op, const Rules& rules) {
  const std::string name = op.name();
  INFO(name << " " << function.value(op.outputs.front()).name);
  CHECK(may_use(name, rules));
  CHECK(keeps_width(function, op, rules));
  if (name == "matmul" && rules.constant_product == ane::ConstantProduct::convolution) {
    CHECK_FALSE(reads_constant(function, op, "x"));
    CHECK_FALSE(reads_constant(function, op, "y"));
  }
  if (name == "conv") {
    CHECK(op.argument("bias") == nullptr);
    const ValueId weight = op.input("weight");
    CHECK(function.value(weight).producer >= 0);
  }
  const bool is_slice = name == "slice_by_size" || name == "slice_by_index";
  const bool is_packed = function.value(op.input("x") < 0 ? 0 : op.input("x")).producer < 0;
  if (is_slice && rules.clamps_width_slices && !is_packed) {
    CHECK(function.constant(op, "begin")->integers().back() == 0);
  }
  if (name == "reduce_sum" && rules.narrow_reduce_sum) {
    const auto before = function.type(op.input("x")).elements();
    CHECK(before <= 16 * function.type(op.outputs.front()).elements());
  }
}

void check_value_shapes(const Function& function, const Rules& rules) {
  const std::array<int64_t, 4> limits{rules.max_batch, rules.max_channels, rules.max_height,
                                      rules.max_width};
  const auto check = [&](ValueId id) {
    const Shape& shape = function.type(id).shape;
    INFO(function.value(id).name << " " << mil::shape_to_string(shape));
    REQUIRE(shape.size() == 4);
    for (size_t i = 0; i < 4; ++i) CHECK(shape[i] <= limits[i]);
  };
  for (ValueId id : function.inputs) check(id);
  for (const Operation& op : function.ops) {
    if (op.schema == mil::const_schema()) continue;
    for (ValueId id : op.outputs) check(id);
  }
}

// Only the width of a port may differ from the source's last extent, and only for a matrix.
void check_port(const Function& source, const LoweredPort& port, ValueId id) {
  const mil::Type& type = source.type(id);
  INFO(port.name);
  CHECK(source.value(id).name == port.name);
  CHECK(port.type.elements() == type.elements());
  CHECK(port.type.dtype == type.dtype);
  const Shape& shape = type.shape;
  const bool is_matrix =
      shape.size() == 4 && shape[0] > 1 && shape[1] > 1 && shape[2] == 1 && shape[3] == 1;
  const int64_t width = shape.empty() ? 1 : is_matrix ? shape[1] : shape.back();
  CHECK(port.type.shape.back() == width);
}

void check_symbols(const Function& function, const std::vector<ValueId>& ports) {
  std::vector<std::string> names;
  for (ValueId id : ports) names.push_back(function.value(id).name);
  CHECK(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : names) CHECK(mil::is_identifier(name));
}

// Infinities of one sign are equal.
double difference(double a, double b) {
  if (a == b) return 0;
  const double d = std::fabs(a - b);
  return std::isfinite(d) ? d : std::numeric_limits<double>::infinity();
}

double worst_error(const TensorMap& actual, const TensorMap& expected) {
  double worst = 0;
  for (const auto& [name, tensor] : expected) {
    double largest = 0;
    double error = 0;
    const std::vector<double>& values = actual.at(name).values;
    REQUIRE(values.size() == tensor.values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(tensor.values[i])) {
        largest = std::max(largest, std::fabs(tensor.values[i]));
      }
      error = std::max(error, difference(values[i], tensor.values[i]));
    }
    worst = std::max(worst, error == 0 ? 0 : error / std::max(largest, 0x1p-14));
  }
  return worst;
}

} // namespace

std::set<std::string> computing_ops(const Function& function) {
  std::set<std::string> names;
  for (const Operation& op : function.ops) names.insert(op.name());
  names.erase("const");
  return names;
}

int64_t count_ops(const Function& function, const std::string& name) {
  return std::count_if(function.ops.begin(), function.ops.end(),
                       [&](const Operation& op) { return name == op.name(); });
}

void check_engine_rules(const Function& source, const Lowered& lowered, const Rules& rules) {
  const Function& function = lowered.function;
  CHECK_NOTHROW(mil::verify(function));
  mil::Program program;
  program.functions.push_back(function);
  CHECK(mil::parse(mil::print(program)) == program);
  CHECK(mil::every_argument_explicit(function));
  check_symbols(function, function.inputs);
  check_symbols(function, function.outputs);
  check_value_shapes(function, rules);
  for (const Operation& op : function.ops) {
    if (op.schema != mil::const_schema()) check_op(function, op, rules);
  }
  REQUIRE(lowered.inputs.size() == source.inputs.size());
  REQUIRE(lowered.outputs.size() == source.outputs.size());
  for (size_t i = 0; i < lowered.inputs.size(); ++i) {
    check_port(source, lowered.inputs[i], source.inputs[i]);
  }
  for (size_t i = 0; i < lowered.outputs.size(); ++i) {
    check_port(source, lowered.outputs[i], source.outputs[i]);
  }
}

TensorMap lowered_inputs(const Lowered& lowered, const TensorMap& inputs) {
  TensorMap result;
  for (ValueId id : lowered.function.inputs) {
    const mil::Value& port = lowered.function.value(id);
    result[port.name] = mil::make_tensor(port.type);
  }
  for (const LoweredPort& port : lowered.inputs) {
    const std::vector<double>& values = inputs.at(port.name).values;
    Tensor& target = result.at(port.symbol);
    const int64_t width = port.type.shape.back();
    const int64_t pitch = target.type.shape.back();
    for (int64_t i = 0; i < std::ssize(values); ++i) {
      const int64_t to = (port.row + i / width) * pitch + port.column + i % width;
      target.values.at(static_cast<size_t>(to)) = values[static_cast<size_t>(i)];
    }
  }
  return result;
}

TensorMap source_outputs(const Function& source, const Lowered& lowered, const TensorMap& outputs) {
  TensorMap result;
  for (const LoweredPort& port : lowered.outputs) {
    const ValueId id = source.output(port.name);
    result[port.name] = {source.type(id), outputs.at(port.symbol).values};
  }
  return result;
}

const TensorMap& interpreted(const Function& function, const TensorMap& inputs,
                             Precision precision) {
  static std::map<std::string, TensorMap> results;
  mil::Program program;
  program.functions.push_back(function);
  std::string key = sha256_hex(as_bytes(mil::print(program)));
  key += precision == Precision::f16 ? " f16" : precision == Precision::f32 ? " f32" : " f64";
  for (const auto& [name, tensor] : inputs) {
    const std::span<const double> values(tensor.values);
    key += concat(" ", hex64(xxh64(std::as_bytes(values))));
  }
  const auto found = results.find(key);
  if (found != results.end()) return found->second;
  return results.emplace(key, mil::interpret(function, inputs, precision)).first->second;
}

LoweredError compare_lowered(const Function& source, const Rules& rules, const TensorMap& inputs,
                             const ane::LowerOptions& options) {
  const Lowered lowered = ane::lower(source, rules, options);
  check_engine_rules(source, lowered, rules);
  const TensorMap translated = lowered_inputs(lowered, inputs);
  const auto error = [&](Precision precision) {
    const TensorMap outputs = mil::interpret(lowered.function, translated, precision);
    return worst_error(source_outputs(source, lowered, outputs),
                       interpreted(source, inputs, precision));
  };
  return {error(Precision::f64), error(Precision::f16)};
}

std::string why_not(const Function& function, const Rules& rules) {
  for (const Operation& op : function.ops) {
    std::string reason = ane::why_unsupported(function, op, rules);
    if (!reason.empty()) return reason;
  }
  return {};
}

std::map<std::string, Rules> rules_variants() {
  std::map<std::string, Rules> variants;
  variants["default"] = {};
  variants["packed in rows"].parameter_route = ane::ParameterRoute::packed;
  variants["packed in columns"].parameter_route = ane::ParameterRoute::packed;
  variants["packed in columns"].clamps_width_slices = false;
  variants["packed in columns"].slices_width = true;
  variants["constants in matmul"].constant_product = ane::ConstantProduct::matmul;
  variants["weights in convolutions"].parameter_convolution = true;
  variants["no rsqrt"].has_rsqrt = false;
  variants["no concat"].has_concat = false;
  variants["wide sums"].narrow_reduce_sum = false;
  variants["wide norms"].narrow_l2_norm = false;
  variants["broadcasts of both operands"].broadcasts_both = true;
  variants["exact slices"].clamps_width_slices = false;
  variants["free width"].clamps_width_slices = false;
  variants["free width"].reshapes_width = true;
  variants["free width"].concats_width = true;
  variants["free width"].slices_width = true;
  variants["coarse tables"].table_activations = true;
  variants["native attention"].native_causal_attention = true;
  return variants;
}

} // namespace anet::backend::testing
