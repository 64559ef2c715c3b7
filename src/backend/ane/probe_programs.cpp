#include "backend/ane/probe_programs.h"

#include "backend/ane/probe_trial.h"
#include "base/status.h"

namespace anet::backend::ane::probes {

namespace {

using mil::Builder;
using mil::Literal;
using mil::Shape;
using mil::ValueId;

constexpr int64_t depth = 32;
constexpr int64_t rows = 48;
constexpr int64_t columns = 40;

mil::Type half(Shape shape) { return {DataType::fp16, std::move(shape), {}}; }

mil::Function finish(Builder& b, ValueId y) {
  b.output(y, "y");
  return std::move(b).finish();
}

ValueId numbers(Builder& b, const mil::Type& type, uint64_t seed) {
  return b.constant(Literal::numbers(type, trial_values(type, seed).values));
}

ValueId scales(Builder& b, Shape shape) {
  std::vector<double> values;
  for (int64_t i = 0; i < rows; ++i) values.push_back(i % 2 == 0 ? 0.125 : 0.25);
  return b.constant(Literal::numbers(half(std::move(shape)), values));
}

// Integers of a narrow type, one for each weight.
ValueId integers(Builder& b, DataType dtype, const Shape& shape) {
  const mil::Type type{dtype, shape, {}};
  std::vector<double> values;
  for (int64_t i = 0; i < type.elements(); ++i) {
    const bool is_signed = dtype == DataType::int4 || dtype == DataType::int8;
    values.push_back(static_cast<double>((i * 7 + i / 13) % 16 - (is_signed ? 8 : 0)));
  }
  return b.constant(Literal::numbers(type, values));
}

ValueId palette(Builder& b, DataType indices, int64_t entries, const Shape& shape) {
  std::vector<double> table;
  for (int64_t i = 0; i < entries; ++i) table.push_back(static_cast<double>(i % 31 - 15) / 16);
  Shape lut(shape.size() + 2, 1);
  lut[shape.size()] = entries;
  return b.add("constexpr_lut_to_dense", {{"indices", integers(b, indices, shape)},
                                          {"lut", b.constant(Literal::numbers(half(lut), table))}});
}

ValueId weight(Builder& b, Constant form, const Shape& shape) {
  Shape per_row(shape.size(), 1);
  per_row[shape[0] == rows ? 0 : shape.size() - 2] = rows;
  switch (form) {
  case Constant::fp16:
    return numbers(b, half(shape), 7);
  case Constant::int8_affine:
    return b.add("constexpr_affine_dequantize",
                 {{"quantized_data", integers(b, DataType::int8, shape)},
                  {"zero_point", b.constant(Literal::fill({DataType::int8, {rows}, {}}, 0))},
                  {"scale", scales(b, {rows})},
                  {"axis", b.scalar(DataType::int32, shape[0] == rows ? 0 : 2)}});
  case Constant::int8_blockwise:
  case Constant::int4_blockwise:
    return b.add(
        "constexpr_blockwise_shift_scale",
        {{"data",
          integers(b, form == Constant::int8_blockwise ? DataType::int8 : DataType::int4, shape)},
         {"scale", scales(b, per_row)}});
  case Constant::int8_palette:
    return palette(b, DataType::uint8, 256, shape);
  case Constant::int4_palette:
    return palette(b, DataType::uint4, 16, shape);
  }
  fail(Status::internal, "expected a form of constant, seen ", static_cast<int>(form));
}

ValueId matmul(Builder& b, ValueId weight, ValueId x) { return b.matmul(weight, x, false, false); }

} // namespace

mil::Function multiple_inputs() {
  Builder b;
  const ValueId z = b.input("z", half({1, 8, 1, columns}));
  const ValueId a = b.input("a", half({1, 8, 1, columns}));
  const ValueId m = b.input("m", half({1, 8, 1, columns}));
  const ValueId sum = b.add(z, b.mul(a, 2.0));
  b.output(b.add(sum, b.mul(m, 4.0)), "y");
  b.output(b.sub(a, z), "w");
  return std::move(b).finish();
}

mil::Function product(int64_t height, int64_t inner, int64_t width) {
  Builder b;
  const ValueId x = b.input("x", half({1, 1, inner, width}));
  const ValueId w = b.input("w", half({1, 1, height, inner}));
  return finish(b, matmul(b, w, x));
}

mil::Function parameter_matmul() { return product(rows, depth, columns); }

mil::Function parameter_convolution() {
  Builder b;
  const ValueId x = b.input("x", half({1, depth, 1, columns}));
  const ValueId w = b.input("w", half({1, 1, rows, depth}));
  return finish(b, b.linear(x, b.reshape(w, {rows, depth, 1, 1})));
}

mil::Function computed_convolution() {
  Builder b;
  const ValueId x = b.mul(b.input("x", half({1, 1, columns, depth})), 0.5);
  const ValueId w = b.mul(b.input("w", half({1, 1, rows, depth})), 2.0);
  const ValueId image = b.reshape(b.transpose(x, {0, 1, 3, 2}), {1, depth, 1, columns});
  return finish(b, b.linear(image, b.reshape(w, {rows, depth, 1, 1})));
}

mil::Function packed_inputs() {
  Builder b;
  const ValueId all = b.input("all", half({1, 1, 2 * depth, columns + rows}));
  const ValueId x = b.slice_by_size(all, {0, 0, 0, 0}, {1, 1, depth, columns});
  const ValueId beside = b.slice_by_size(all, {0, 0, 0, columns}, {1, 1, depth, rows});
  const ValueId below = b.slice_by_size(all, {0, 0, depth, 0}, {1, 1, depth, rows});
  b.output(b.matmul(beside, x, true, false), "y");
  b.output(b.matmul(below, x, true, false), "z");
  return std::move(b).finish();
}

mil::Function concat() {
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, columns}));
  const ValueId y = b.input("y", half({1, 4, 1, columns}));
  b.output(b.concat({x, y}, 1), "z");
  return std::move(b).finish();
}

mil::Function broadcast_of_both() {
  constexpr int64_t heads = 3, tables = 2;
  Builder b;
  const ValueId of_heads = b.input("heads", half({heads, 1, depth, columns}));
  const ValueId of_tables = b.input("tables", half({1, tables, depth, columns}));
  return finish(b, b.mul(of_heads, of_tables));
}

mil::Function width_reshape() {
  constexpr int64_t heads = 4;
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, heads * columns}));
  const ValueId y = b.input("y", half({1, 8, heads, columns}));
  b.output(b.reshape(b.mul(x, 2.0), {1, 8, heads, columns}), "split");
  b.output(b.reshape(b.mul(y, 2.0), {1, 8, 1, heads * columns}), "joined");
  return std::move(b).finish();
}

mil::Function width_concat() {
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, columns}));
  const ValueId y = b.input("y", half({1, 8, 1, rows}));
  b.output(b.concat({x, y}, 3), "z");
  return std::move(b).finish();
}

mil::Function leading_width_slice() {
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, columns}));
  return finish(b, b.slice_by_size(x, {0, 0, 0, 0}, {1, 8, 1, columns - 1}));
}

mil::Function rsqrt() {
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, columns}));
  return finish(b, b.rsqrt(b.mul(x, x), 0.25));
}

// Equal scores everywhere would hide a mask that has no effect; these differ.
mil::Function causal_attention() {
  constexpr int64_t heads = 2, length = 32, size = 32;
  constexpr double hidden = -30000;
  Builder b;
  const ValueId query = b.input("query", half({1, heads, length, size}));
  const ValueId key = b.input("key", half({1, heads, length, size}));
  const ValueId value = b.input("value", half({1, heads, length, size}));
  std::vector<double> mask(static_cast<size_t>(length * length), 0);
  for (int64_t i = 0; i < length; ++i)
    for (int64_t j = i + 1; j < length; ++j) mask[static_cast<size_t>(i * length + j)] = hidden;
  const ValueId blocked = b.constant(Literal::numbers(half({1, 1, length, length}), mask));
  return finish(b,
                b.add("scaled_dot_product_attention",
                      {{"query", query}, {"key", key}, {"value", value}, {"attn_mask", blocked}}));
}

mil::Function constant_product(Constant form, bool convolution) {
  Builder b;
  const ValueId x =
      b.input("x", half(convolution ? Shape{1, depth, 1, columns} : Shape{1, 1, depth, columns}));
  const ValueId w =
      weight(b, form, convolution ? Shape{rows, depth, 1, 1} : Shape{1, 1, rows, depth});
  return finish(b, convolution ? b.linear(x, w) : matmul(b, w, x));
}

mil::Function width_slice() {
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, columns}));
  return finish(b, b.slice_by_size(x, {0, 0, 0, 1}, {1, 8, 1, columns - 1}));
}

mil::Function reduce_sums() {
  Builder b;
  const ValueId x = b.input("x", half({1, 4096, 1, 32}));
  const ValueId y = b.input("y", half({1, 2, 1, 4096}));
  b.output(b.reduce("reduce_sum", x, {1}, true), "over_channels");
  b.output(b.reduce("reduce_sum", y, {3}, true), "over_width");
  return std::move(b).finish();
}

mil::Function l2_norms() {
  Builder b;
  for (const auto& [name, channels] : {std::pair{"large", 1024}, {"long", 4096}, {"small", 1024}}) {
    const ValueId x = b.input(std::string("of_") + name, half({1, channels, 1, 32}));
    b.output(b.reduce("reduce_l2_norm", x, {1}, true), name);
  }
  return std::move(b).finish();
}

mil::Function large_product() { return product(8, 2, columns); }

mil::Function activations() {
  Builder b;
  const ValueId x = b.input("x", half({1, 4, 1, 64}));
  b.output(b.unary("sigmoid", x), "sigmoid");
  b.output(b.unary("tanh", x), "tanh");
  return std::move(b).finish();
}

mil::TensorMap activation_inputs() {
  mil::Tensor x = mil::make_tensor(half({1, 4, 1, 64}));
  for (size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = (static_cast<double>(i) - 128) / 16; // -8 to 8
  return {{"x", std::move(x)}};
}

mil::Function port_types(DataType dtype) {
  Builder b;
  const ValueId x = b.input("x", {dtype, {1, 8, 1, columns}, {}});
  if (dtype == DataType::fp32) {
    const ValueId y = b.mul(b.cast(x, DataType::fp16), 2.0);
    return finish(b, b.cast(y, DataType::fp32));
  }
  // As Splash and TurboCider feed it (ane-facts.md 3.4, R).
  const ValueId scale = b.scalar(DataType::fp16, 0.5);
  const ValueId wide = b.add("dequantize", {{"input", x}, {"scale", scale}});
  b.output(wide, "wide");
  b.output(b.add("quantize", {{"input", b.mul(wide, 2.0)},
                              {"scale", scale},
                              {"output_dtype", b.constant(Literal::string("int8"))}}),
           "narrow");
  return std::move(b).finish();
}

mil::Function extents(int64_t height, int64_t width) {
  Builder b;
  const ValueId x = b.input("x", half({1, 1, height, width}));
  return finish(b, b.mul(x, 2.0));
}

} // namespace anet::backend::ane::probes
