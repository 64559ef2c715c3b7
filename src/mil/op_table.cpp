#include "mil/op_table.h"

#include "mil/ops/inference.h"

#include <unordered_map>

namespace anet::mil {

namespace {

// Element types, named as coremltools' domains; bf16 goes wherever fp16 and fp32 do, as an
// extension that only the CPU runs.
constexpr TypeSet boolean{DataType::boolean};
constexpr TypeSet string{DataType::string};
constexpr TypeSet int32{DataType::int32};
constexpr TypeSet floats{DataType::fp16, DataType::bf16, DataType::fp32};
constexpr TypeSet numbers = floats | int32;
constexpr TypeSet small_integers{DataType::int8, DataType::uint8, DataType::int16,
                                 DataType::uint16};
constexpr TypeSet movable = numbers | small_integers | boolean; // what shape ops accept
constexpr TypeSet gatherable = numbers | small_integers;
constexpr TypeSet indices = small_integers | int32;
constexpr TypeSet extents{DataType::int8, DataType::int16, DataType::int32};
constexpr TypeSet bytes{DataType::int8, DataType::uint8};
constexpr TypeSet nibbles{DataType::int4, DataType::uint4};
constexpr TypeSet stored = nibbles | bytes | floats;
constexpr TypeSet palette_indices{DataType::uint1, DataType::uint2, DataType::uint3,
                                  DataType::uint4, DataType::uint6, DataType::uint8};
constexpr TypeSet any = movable | nibbles | palette_indices | string |
                        TypeSet{DataType::int64, DataType::uint32, DataType::uint64};

ArgumentSchema operand(const char* name, TypeSet types, char group = 0) {
  ArgumentSchema argument;
  argument.name = name;
  argument.types = types;
  argument.group = group;
  return argument;
}

ArgumentSchema optional(ArgumentSchema argument) {
  argument.presence = Presence::optional;
  return argument;
}

ArgumentSchema tuple(const char* name) {
  ArgumentSchema argument = operand(name, movable);
  argument.variadic = true;
  return argument;
}

ArgumentSchema constant(const char* name, TypeSet types, char group = 0) {
  ArgumentSchema argument = operand(name, types, group);
  argument.constant = true;
  return argument;
}

ArgumentSchema defaulted(ArgumentSchema argument, Literal value) {
  argument.presence = Presence::defaulted;
  argument.default_value = std::move(value);
  return argument;
}

ArgumentSchema defaulted(ArgumentSchema argument,
                         std::optional<Literal> (*compute)(const InferenceContext&)) {
  argument.presence = Presence::defaulted;
  argument.computed_default = compute;
  return argument;
}

ArgumentSchema flag(const char* name) {
  return defaulted(constant(name, boolean), Literal::boolean(false));
}

ArgumentSchema integer(const char* name, int32_t value) {
  return defaulted(constant(name, int32), Literal::int32(value));
}

ArgumentSchema text(const char* name, const char* value) {
  return defaulted(constant(name, string), Literal::string(value));
}

ArgumentSchema since(int opset, ArgumentSchema argument) {
  argument.introduced = opset;
  return argument;
}

ArgumentSchema epsilon(double value) {
  return defaulted(constant("epsilon", floats, 'U'), Literal::scalar(DataType::fp32, value));
}

void add_unary(std::vector<OpSchema>& table) {
  for (const char* name :
       {"atan", "ceil", "cos", "erf", "exp", "floor", "relu", "relu6", "round", "sigmoid", "silu",
        "sin", "softplus", "softsign", "sqrt", "tan", "tanh"}) {
    table.push_back({name, 15, {operand("x", floats, 'T')}, ops::same_as_x, true});
  }
  for (const char* name : {"abs", "exp2", "sign", "square"}) {
    table.push_back({name, 15, {operand("x", numbers, 'T')}, ops::same_as_x, true});
  }
  for (const char* name : {"elu", "leaky_relu"}) {
    table.push_back({name,
                     15,
                     {operand("x", floats, 'T'), constant("alpha", floats, 'U')},
                     ops::same_as_x,
                     true});
  }
  const auto with_epsilon = [&](const char* name, double value) {
    table.push_back({name, 15, {operand("x", floats, 'T'), epsilon(value)}, ops::same_as_x, true});
  };
  with_epsilon("inverse", 1e-4);
  with_epsilon("log", 1e-45);
  with_epsilon("rsqrt", 1e-12);
  table.push_back({"identity", 15, {operand("x", any)}, ops::same_as_x, true});
  table.push_back({"logical_not", 15, {operand("x", boolean)}, ops::same_as_x, true});
  table.push_back(
      {"clip",
       15,
       {operand("x", floats, 'T'), constant("alpha", floats, 'T'), constant("beta", floats, 'T')},
       ops::clip,
       true});
  table.push_back(
      {"sigmoid_hard",
       15,
       {operand("x", floats, 'T'), constant("alpha", floats, 'U'), constant("beta", floats, 'U')},
       ops::same_as_x,
       true});
  table.push_back({"threshold",
                   15,
                   {operand("x", numbers, 'T'), constant("alpha", numbers, 'T')},
                   ops::same_as_x,
                   true});
  table.push_back(
      {"gelu", 15, {operand("x", floats, 'T'), text("mode", "EXACT")}, ops::gelu, true});
  table.push_back(
      {"cast", 15, {operand("x", movable, 'T'), constant("dtype", string)}, ops::cast, true});
}

void add_binary(std::vector<OpSchema>& table) {
  const auto add = [&](std::initializer_list<const char*> names, TypeSet types,
                       InferenceFunction infer_types) {
    for (const char* name : names) {
      table.push_back(
          {name, 15, {operand("x", types, 'T'), operand("y", types, 'T')}, infer_types, true});
    }
  };
  add({"add", "sub", "mul", "real_div", "pow", "maximum", "minimum", "floor_div", "mod"}, numbers,
      ops::binary);
  add({"equal", "not_equal", "greater", "greater_equal", "less", "less_equal"}, numbers,
      ops::comparison);
  add({"logical_and", "logical_or", "logical_xor"}, boolean, ops::binary);
  table.push_back({"select",
                   15,
                   {operand("cond", boolean), operand("a", numbers | boolean, 'T'),
                    operand("b", numbers | boolean, 'T')},
                   ops::select,
                   true});
}

void add_linear(std::vector<OpSchema>& table) {
  table.push_back({"matmul",
                   15,
                   {operand("x", numbers, 'T'), operand("y", numbers, 'U'), flag("transpose_x"),
                    flag("transpose_y")},
                   ops::matmul});
  table.push_back({"linear",
                   15,
                   {operand("x", numbers, 'T'), constant("weight", numbers, 'U'),
                    defaulted(constant("bias", numbers, 'U'), ops::linear_bias_default)},
                   ops::linear});
  const ArgumentSchema strides = defaulted(constant("strides", int32), ops::spatial_ones);
  const ArgumentSchema pad = defaulted(constant("pad", int32), ops::spatial_pad_zeros);
  const ArgumentSchema dilations = defaulted(constant("dilations", int32), ops::spatial_ones);
  table.push_back({"conv",
                   15,
                   {operand("x", floats, 'T'), operand("weight", floats, 'U'),
                    optional(operand("bias", floats, 'U')), strides, text("pad_type", "valid"), pad,
                    dilations, integer("groups", 1)},
                   ops::conv});
  table.push_back(
      {"conv_transpose",
       15,
       {operand("x", floats, 'T'), operand("weight", floats, 'U'),
        optional(operand("bias", floats, 'U')), pad, optional(constant("output_shape", int32)),
        text("pad_type", "valid"), strides, dilations, integer("groups", 1)},
       ops::conv_transpose});
  table.push_back(
      {"scaled_dot_product_attention",
       18,
       {operand("query", floats, 'T'), operand("key", floats, 'T'), operand("value", floats, 'T'),
        optional(operand("attn_mask", floats | boolean))},
       ops::scaled_dot_product_attention});
}

void add_reductions(std::vector<OpSchema>& table) {
  table.push_back({"softmax", 15, {operand("x", floats, 'T'), integer("axis", -1)}, ops::softmax});
  table.push_back({"layer_norm",
                   15,
                   {operand("x", floats, 'T'), defaulted(constant("axes", int32), ops::every_axis),
                    optional(constant("gamma", floats, 'U')),
                    optional(constant("beta", floats, 'U')), epsilon(1e-5)},
                   ops::layer_norm});
  table.push_back({"l2_norm", 15, {operand("x", floats, 'T'), epsilon(1e-6)}, ops::l2_norm});
  for (const char* name :
       {"reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum_square",
        "reduce_l1_norm", "reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp"}) {
    table.push_back({name,
                     15,
                     {operand("x", numbers, 'T'),
                      defaulted(constant("axes", int32), ops::every_axis), flag("keep_dims")},
                     ops::reduce});
  }
  for (const char* name : {"reduce_argmax", "reduce_argmin"}) {
    table.push_back({name,
                     15,
                     {operand("x", numbers, 'T'), integer("axis", -1), flag("keep_dims"),
                      since(17, text("output_dtype", "int32"))},
                     ops::reduce_arg});
  }
  table.push_back(
      {"cumsum",
       15,
       {operand("x", numbers, 'T'), integer("axis", 0), flag("exclusive"), flag("reverse")},
       ops::cumsum});
}

void add_shape_ops(std::vector<OpSchema>& table) {
  const ArgumentSchema x = operand("x", movable, 'T');
  table.push_back({"reshape", 15, {x, constant("shape", extents)}, ops::reshape});
  table.push_back({"transpose", 15, {x, constant("perm", int32)}, ops::transpose});
  table.push_back({"expand_dims", 15, {x, constant("axes", int32)}, ops::expand_dims});
  table.push_back({"squeeze", 15, {x, optional(constant("axes", int32))}, ops::squeeze});
  table.push_back(
      {"reverse", 15, {x, defaulted(constant("axes", int32), ops::every_axis)}, ops::reverse});
  table.push_back(
      {"concat", 15, {tuple("values"), constant("axis", int32), flag("interleave")}, ops::concat});
  table.push_back({"stack", 15, {tuple("values"), constant("axis", int32)}, ops::stack});
  const TypeSet basic = numbers | boolean;
  table.push_back({"split",
                   15,
                   {operand("x", basic, 'T'), optional(constant("num_splits", int32)),
                    optional(constant("split_sizes", int32)), constant("axis", int32)},
                   ops::split});
  table.push_back({"tile", 15, {operand("x", basic, 'T'), constant("reps", int32)}, ops::tile});
  table.push_back(
      {"pad",
       15,
       {operand("x", floats, 'T'), constant("pad", int32), text("mode", "constant"),
        defaulted(constant("constant_val", floats, 'T'), Literal::scalar(DataType::fp32, 0))},
       ops::pad});
  table.push_back({"slice_by_size",
                   15,
                   {x, constant("begin", extents, 'U'), constant("size", extents, 'U')},
                   ops::slice_by_size});
  const auto mask = [](const char* name) {
    return defaulted(constant(name, boolean), ops::unset_mask);
  };
  const ArgumentSchema begin = constant("begin", extents, 'U');
  const ArgumentSchema end = constant("end", extents, 'U');
  const ArgumentSchema stride = defaulted(constant("stride", extents, 'U'), ops::unit_strides);
  table.push_back(
      {"slice_by_index",
       15,
       {x, begin, end, stride, mask("begin_mask"), mask("end_mask"), mask("squeeze_mask")},
       ops::slice_by_index});
  table.push_back({"slice_update",
                   18,
                   {x, operand("update", movable, 'T'), begin, end, stride, mask("begin_mask"),
                    mask("end_mask"), mask("squeeze_mask")},
                   ops::slice_update});
}

void add_gathers(std::vector<OpSchema>& table) {
  const ArgumentSchema x = operand("x", gatherable, 'T');
  table.push_back({"gather",
                   15,
                   {x, operand("indices", indices), integer("axis", 0),
                    since(16, integer("batch_dims", 0)), since(17, flag("validate_indices"))},
                   ops::gather});
  table.push_back(
      {"gather_along_axis",
       15,
       {x, operand("indices", indices), integer("axis", 0), since(17, flag("validate_indices"))},
       ops::gather_along_axis});
  const auto add_scatter = [&](const char* name, InferenceFunction infer_types) {
    table.push_back({name,
                     15,
                     {operand("data", numbers, 'T'), operand("indices", int32),
                      operand("updates", numbers, 'T'), integer("axis", 0), text("mode", "add"),
                      since(17, flag("validate_indices"))},
                     infer_types});
  };
  add_scatter("scatter", ops::scatter);
  add_scatter("scatter_along_axis", ops::scatter_along_axis);
  const TypeSet values = numbers | boolean;
  table.push_back(
      {"one_hot",
       15,
       {operand("indices", int32), constant("one_hot_vector_size", int32), integer("axis", -1),
        defaulted(constant("on_value", values, 'T'), Literal::int32(1)),
        defaulted(constant("off_value", values, 'T'), Literal::int32(0))},
       ops::one_hot});
}

void add_constants(std::vector<OpSchema>& table) {
  table.push_back({"const", 15, {constant("val", any)}, ops::constant});
  table.push_back({"quantize",
                   17,
                   {operand("input", floats, 'S'), optional(constant("zero_point", bytes, 'D')),
                    constant("scale", floats, 'S'), optional(constant("axis", int32)),
                    constant("output_dtype", string)},
                   ops::quantize});
  table.push_back({"dequantize",
                   17,
                   {operand("input", bytes, 'S'), optional(constant("zero_point", bytes, 'S')),
                    constant("scale", floats, 'D'), optional(constant("axis", int32))},
                   ops::dequantize});
  table.push_back(
      {"constexpr_affine_dequantize",
       16,
       {constant("quantized_data", bytes), constant("zero_point", bytes | TypeSet{DataType::fp32}),
        constant("scale", floats), constant("axis", int32)},
       ops::constexpr_affine_dequantize});
  table.push_back(
      {"constexpr_blockwise_shift_scale",
       18,
       {constant("data", stored), constant("scale", floats), optional(constant("offset", stored))},
       ops::constexpr_blockwise_shift_scale});
  table.push_back({"constexpr_lut_to_dense",
                   18,
                   {constant("indices", palette_indices), constant("lut", bytes | floats),
                    optional(constant("vector_axis", int32))},
                   ops::constexpr_lut_to_dense});
  table.push_back({"constexpr_sparse_to_dense",
                   18,
                   {constant("nonzero_data", stored), constant("mask", TypeSet{DataType::uint1})},
                   ops::constexpr_sparse_to_dense});
  table.push_back(
      {"constexpr_cast",
       16,
       {constant("source_val", TypeSet{DataType::fp16}), constant("output_dtype", string)},
       ops::constexpr_cast});
  table.push_back(
      {"tensor_buffer_to_tensor", 17, {operand("input", movable)}, ops::tensor_buffer_to_tensor});
  table.push_back(
      {"tensor_to_tensor_buffer",
       17,
       {operand("input", movable), constant("interleave_factors", TypeSet{DataType::uint8}),
        constant("strides", TypeSet{DataType::int64})},
       ops::tensor_to_tensor_buffer});
}

std::vector<OpSchema> make_table() {
  std::vector<OpSchema> table;
  add_unary(table);
  add_binary(table);
  add_linear(table);
  add_reductions(table);
  add_shape_ops(table);
  add_gathers(table);
  add_constants(table);
  return table;
}

} // namespace

const ArgumentSchema* OpSchema::argument(std::string_view argument_name) const {
  for (const ArgumentSchema& argument : arguments) {
    if (argument_name == argument.name) return &argument;
  }
  return nullptr;
}

std::span<const OpSchema> op_table() {
  static const std::vector<OpSchema> table = make_table();
  return table;
}

const OpSchema* find_op(std::string_view name) {
  static const std::unordered_map<std::string_view, const OpSchema*> index = [] {
    std::unordered_map<std::string_view, const OpSchema*> by_name;
    for (const OpSchema& schema : op_table()) by_name.emplace(schema.name, &schema);
    return by_name;
  }();
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

const OpSchema* const_schema() {
  static const OpSchema* const schema = find_op("const");
  return schema;
}

} // namespace anet::mil
