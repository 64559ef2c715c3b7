#include "rules.h"

#include "op_rules.h"

#include <algorithm>
#include <array>
#include <set>

namespace emulator {

using anet::mil::is_floating;
using anet::mil::shape_to_string;
using anet::mil::type_to_string;

namespace {

template <typename... Parts>
[[noreturn]] void too_much(const Parts&... parts) {
  refuse(Verdict::compilation_failure, parts...);
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

void check_conv(const Call& call, const Profile& profile, const Rules& rules) {
  const Shape& weight = call.shape("weight");
  const Shape& x = call.shape("x");
  if (call.has("bias") && !rules.conv_bias) call.fail("a bias is given: use add (4.4)");
  const bool runtime_weight = !call.value("weight").constant;
  if (weight.size() < 3 || x.size() != weight.size()) return; // the inference says what is wrong
  if (weight.back() > profile.max_kernel_width) call.fail_chip("a kernel of width ", weight.back());
  if (weight.size() >= 4 && weight[weight.size() - 2] > profile.max_kernel_height) {
    call.fail_chip("a kernel of height ", weight[weight.size() - 2]);
  }
  for (const int64_t stride : call.integers("strides")) {
    if (stride != 1 && stride != 2 && stride != 3 && stride != 4 && stride != 8) {
      call.fail_chip("a stride of ", stride, ", expected 1, 2, 3, 4 or 8");
    }
  }
  // 32000 input channels are refused, 16384 is the next extent that is a limit elsewhere (4.4).
  if (x[1] > 16384) call.fail_chip(x[1], " input channels");
  if (!runtime_weight) return;
  if (call.integer("groups") != 1) call.fail("a depthwise weight is computed at run time (4.4)");
  if (x[0] > 1 && profile.reject_batched_weight)
    call.fail_chip("a runtime weight with batch ", x[0]);
}

void check_matmul(const Call& call, const Profile& profile, const Rules& rules) {
  const bool constant = call.value("x").constant || call.value("y").constant;
  if (constant && rules.reject_const_matmul) call.fail("an operand is constant (4.4)");
  for (const char* argument : {"x", "y"}) {
    const Shape& shape = call.shape(argument);
    if (shape.size() > 4) call.fail_chip("depth > 1 is not supported for MatMult");
    const bool channels = shape.size() == 4 && shape[2] == 1 && shape[1] > 1;
    if (channels && profile.reject_channel_matmul)
      call.fail_chip("an operand is [1, channels, 1, positions] (4.4)");
  }
}

void check_layer_norm(const Call& call, const Profile& profile) {
  if (!profile.layer_norm_needs_both) return;
  const auto is_live = [&](const char* name) {
    return call.has(name) && !call.value(name).constant;
  };
  int64_t extent = 1;
  for (const size_t axis : call.axes("axes", call.shape("x").size()))
    extent *= call.shape("x")[axis];
  if (extent >= 1024 && is_live("gamma") != is_live("beta")) {
    call.fail_chip("one of gamma and beta is computed at run time, over ", extent, " values (4.4)");
  }
}

void check_einsum(const Call& call) {
  std::string equation = call.text("equation");
  std::erase(equation, ' ');
  if (equation != "nchw,nwhu->nchu" && equation != "chk,khq->chq") {
    call.fail_chip("equation ", equation, " is not one of the two that run (4.5)");
  }
}

// 4.5: {1, 2, 3, 4, 8}.
void check_factor(const Call& call, const char* argument) {
  const int64_t factor = call.integer(argument);
  if (factor != 1 && factor != 2 && factor != 3 && factor != 4 && factor != 8) {
    call.fail_chip("a factor of ", factor);
  }
}

void check_broadcast(const Call& call, const Rules& rules) {
  if (!rules.reject_broadcast_of_both) return;
  if (!one_of(call.op().name, {"add", "sub", "mul", "real_div", "maximum", "minimum", "pow"}))
    return;
  const auto result = broadcast_shapes(call.shape("x"), call.shape("y"));
  if (result && *result != call.shape("x") && *result != call.shape("y"))
    call.fail("both operands broadcast (option reject_broadcast_of_both)");
}

void check_quirks(const Call& call, const Profile& profile, const Rules& rules) {
  const std::string& name = call.op().name;
  if (name == "conv") check_conv(call, profile, rules);
  if (name == "matmul") check_matmul(call, profile, rules);
  if (name == "layer_norm") check_layer_norm(call, profile);
  if (name == "einsum") check_einsum(call);
  check_broadcast(call, rules);
  if (name == "pixel_shuffle") check_factor(call, "upscale_factor");
  if (name == "pixel_unshuffle") check_factor(call, "downscale_factor");
  if (name == "concat" && rules.reject_concat)
    call.fail("concat is refused (option reject_concat)");
  if (name == "concat" && call.tuple("values").size() < 2)
    call.fail_chip("Concat layer must have at least 2 inputs");
  if (name == "reduce_mean" && rules.reject_reduce_mean)
    call.fail("reduce_mean is refused (option reject_reduce_mean)");
  if (name == "constexpr_affine_dequantize" && !rules.affine_constexpr)
    call.fail("refused (option affine_constexpr)");
  if (name == "topk" && profile.reject_small_topk &&
      (call.integer("k") == 3 || call.integer("k") == 4)) {
    call.fail_chip("k is 3 or 4");
  }
}

// What the value is made of, when it is one operation of this function.
std::vector<int> producers(const CheckedFunction& function) {
  std::vector<int> result(function.values.size(), -1);
  for (size_t i = 0; i < function.ops.size(); ++i) {
    for (const int output : function.ops[i].outputs)
      result[static_cast<size_t>(output)] = static_cast<int>(i);
  }
  return result;
}

bool is_nonlinearity(std::string_view name) {
  return one_of(name, {"relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "elu", "leaky_relu",
                       "softplus", "softsign", "exp", "exp2", "sqrt", "rsqrt", "log", "erf", "sin",
                       "cos", "atan"});
}

bool is_zero(const ValueInfo& value) {
  return value.constant &&
         std::ranges::all_of(value.constant->values, [](float v) { return v == 0; });
}

void check_pairs(const CheckedFunction& function, const Rules& rules) {
  const std::vector<int> producer = producers(function);
  for (const CheckedOp& op : function.ops) {
    const Call call(function, op);
    for (const Operand& operand : op.operands) {
      const int made_by = producer[static_cast<size_t>(operand.values.front())];
      if (made_by < 0) continue;
      const std::string& before = function.ops[static_cast<size_t>(made_by)].name;
      const Shape& shape = function.value(operand.values.front()).type.shape;
      if (rules.reject_square_activation && before == "square" && is_nonlinearity(op.name) &&
          !shape.empty() && shape.back() % 128 > 64) {
        call.fail_chip("the result of square, of width ", shape.back(), " (4.4)");
      }
      if (op.name == "mul" && before.starts_with("reduce_") &&
          (is_zero(call.value("x")) || is_zero(call.value("y")))) {
        call.fail_chip("the product of ", before, " and 0 (4.4)");
      }
    }
  }
  if (rules.reject_matmul_reshape_tail && function.outputs.size() == 1) {
    const int last = producer[static_cast<size_t>(function.outputs.front())];
    const CheckedOp& op = function.ops[static_cast<size_t>(last)];
    if (op.name != "reshape") return;
    const int before = producer[static_cast<size_t>(op.operand("x")->values.front())];
    if (before >= 0 && function.ops[static_cast<size_t>(before)].name == "matmul") {
      Call(function, op).fail("matmul and reshape are the end of the program (4.4)");
    }
  }
}

// Operations that give their operand's rows another length (4.4: M2 Max, M3 Ultra).
void check_width(const CheckedFunction& function, const Rules& rules) {
  for (const CheckedOp& op : function.ops) {
    const Operand* x = op.operand("x");
    if (x == nullptr) x = op.operand("values");
    if (x == nullptr) continue;
    const Shape& before = function.value(x->values.front()).type.shape;
    const bool is_view = one_of(op.name, {"reshape", "expand_dims", "squeeze"});
    const bool is_join = one_of(op.name, {"concat", "stack"});
    const bool is_slice = one_of(op.name, {"slice_by_size", "slice_by_index", "split"});
    const bool refused = (is_view && rules.reject_width_reshape) ||
                         (is_join && rules.reject_width_concat) ||
                         (is_slice && rules.reject_width_slice);
    if (!refused || before.empty()) continue;
    for (const int output : op.outputs) {
      const Shape& after = function.value(output).type.shape;
      if (!after.empty() && after.back() == before.back()) continue;
      Call(function, op)
          .fail_chip(shape_to_string(before), " to ", shape_to_string(after),
                     " changes the width (4.4)");
    }
  }
}

// The compiler's service dies on 512 convolutions one after the other: no verdict comes back (4.4).
void check_depth(const CheckedFunction& function) {
  std::vector<int> depth(function.values.size(), 0);
  for (const CheckedOp& op : function.ops) {
    int deepest = 0;
    for (const Operand& operand : op.operands) {
      for (const int value : operand.values)
        deepest = std::max(deepest, depth[static_cast<size_t>(value)]);
    }
    if (op.name == "conv") ++deepest;
    if (deepest >= 512) refuse(Verdict::empty, "line ", op.line, ": 512 convolutions are stacked");
    for (const int output : op.outputs) depth[static_cast<size_t>(output)] = deepest;
  }
}

} // namespace

void check_tensor(const Type& type, const std::string& name, const Profile& profile) {
  const Shape& shape = type.shape;
  if (shape.size() > 5) too_much(name, " has rank ", shape.size(), ", at most 5 (4.4)");
  if (shape.empty()) return;
  const auto from_end = [&](size_t i) {
    return i < shape.size() ? shape[shape.size() - 1 - i] : 1;
  };
  if (from_end(0) > profile.max_width || from_end(1) > profile.max_width) {
    too_much(name, " ", shape_to_string(shape), ": width or height above ", profile.max_width,
             " (4.5)");
  }
  if (from_end(2) > profile.max_channels || from_end(3) > profile.max_batch) {
    too_much(name, " ", shape_to_string(shape), ": channels or batch above ", profile.max_channels,
             " (4.5)");
  }
}

void check_port(const Type& type, const std::string& name, const Profile& profile) {
  check_tensor(type, name, profile);
  const bool possible = type.dtype == DataType::fp16 || type.dtype == DataType::fp32 ||
                        type.dtype == DataType::int8 || type.dtype == DataType::uint8;
  if (!possible || type.shape.empty()) {
    too_much("port ", name, " is ", type_to_string(type),
             ", expected a tensor of fp16, fp32, int8 or uint8 (4.4)");
  }
  if (!type.buffer) return;
  const std::vector<int64_t>& strides = type.buffer->strides;
  const std::vector<int64_t>& factors = type.buffer->interleave_factors;
  const size_t rank = type.shape.size();
  const int64_t size = anet::mil::data_type_bits(type.dtype) / 8;
  if (strides.size() != rank || factors.size() != rank || strides.back() != 1) {
    too_much("port ", name, ": strides and interleave factors need ", rank,
             " entries, the last stride 1");
  }
  if (std::ranges::any_of(factors, [](int64_t factor) { return factor != 1; })) {
    too_much("port ", name, " has an interleave factor other than 1");
  }
  int64_t least = type.shape.back();
  for (size_t i = rank - 1; i-- > 0;) {
    if (strides[i] < least || (i == rank - 2 && strides[i] * size % 64 != 0)) {
      too_much("port ", name, ": stride ", strides[i], " of axis ", i, " is below ", least,
               " or no multiple of 64 bytes");
    }
    least = strides[i] * type.shape[i];
  }
}

void check_availability(const Call& call, const Profile& profile, const Rules& rules) {
  const Chips chips = call.op().rule->chips;
  // Before M2 and M3 (4.3); the A17 has the engine between M3 and M4.
  const int needed = chips == Chips::m2 ? 2 : chips == Chips::m3 ? 3 : 1;
  if (profile.generation < needed) call.fail_chip("no path on ", profile.name);
  check_quirks(call, profile, rules);
}

void check_graph(const CheckedFunction& function, const Profile&, const Rules& rules) {
  check_pairs(function, rules);
  check_width(function, rules);
  check_depth(function);
}

} // namespace emulator
