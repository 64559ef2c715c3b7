// matmul, linear, convolutions and attention: everything that ends in gemm.
#include "backend/cpu/generic.h"
#include "backend/cpu/lower_attention.h"
#include "backend/cpu/lowering.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace anet::backend::cpu {

namespace {

// A matmul by a weight that has a row for each output.
bool int8_matmul(Lowering& l) {
  const int64_t x_rank = l.stored_operand("x").rank(), y_rank = l.stored_operand("y").rank();
  if (x_rank < 2 || l.boolean("transpose_x")) return false;
  const size_t last = l.result_type().shape.size() - 1;
  if (l.boolean("transpose_y"))
    return y_rank == 2 && lower_int8_product(l, "x", "y", static_cast<size_t>(x_rank - 1), last);
  return x_rank == 2 && lower_int8_product(l, "y", "x", static_cast<size_t>(y_rank - 2), last - 1);
}

void matmul(Lowering& l) {
  if (int8_matmul(l)) return;
  Operand x = l.stored_operand("x");
  Operand y = l.stored_operand("y");
  const bool vector = x.rank() == 1;
  if (vector) x = expand_view(x, 0);
  if (!vector && l.boolean("transpose_x")) x = swap_last_two(x);
  if (l.boolean("transpose_y")) y = swap_last_two(y);
  bool accumulate = false;
  Operand output = l.accumulating_result(accumulate);
  if (vector) output = expand_view(output, output.shape.size() - 1);
  if (mil::is_floating(output.dtype)) return l.matmul(x, y, output, accumulate);
  l.emit(make_integer_matmul_step(x, y, output), {&x, &y, &output});
}

// Adds a bias along `axis` and rounds once: products of rounded types stay in float until here.
void finish_with_bias(Lowering& l, const Operand& product, const Operand& bias, size_t axis,
                      const Operand& output) {
  Operand shaped = bias;
  shaped.shape.assign(output.shape.size(), 1);
  shaped.strides.assign(output.shape.size(), 0);
  shaped.shape[axis] = bias.shape[0];
  shaped.strides[axis] = bias.strides[0];
  l.pointwise("add", {product, shaped}, output, {}, HalfRule::multiply_accumulate);
}

void linear(Lowering& l) {
  const size_t last = l.result_type().shape.size() - 1;
  if (lower_int8_product(l, "x", "weight", last, last)) return;
  Operand x = l.operand("x");
  const Operand weight = swap_last_two(l.stored_operand("weight"));
  const bool vector = x.rank() == 1;
  if (vector) x = expand_view(x, 0);
  const bool has_bias = l.op().argument("bias") != nullptr && !l.is_zero("bias");
  bool accumulate = false;
  Operand output = l.accumulating_result(accumulate);
  if (vector) output = expand_view(output, 0);
  if (!mil::is_floating(output.dtype)) {
    l.emit(make_integer_matmul_step(x, weight, output), {&x, &weight, &output});
    if (has_bias) l.pointwise("add", {output, l.operand("bias")}, output);
    return;
  }
  if (!has_bias) return l.matmul(x, weight, output, accumulate);
  const bool direct = output.dtype == DataType::fp32;
  const Operand product = direct ? output : l.temporary(DataType::fp32, output.shape);
  l.matmul(x, weight, product, direct && accumulate);
  finish_with_bias(l, product, l.operand("bias"), output.shape.size() - 1, output);
}

// The windows of a convolution along each spatial axis.
struct Windows {
  Shape kernel;
  std::vector<int64_t> strides, dilations, before, after;
  int64_t groups = 1;

  size_t rank() const { return kernel.size(); }
  bool is_pointwise() const {
    for (size_t d = 0; d < rank(); ++d) {
      if (kernel[d] != 1 || strides[d] != 1 || before[d] != 0 || after[d] != 0) return false;
    }
    return true;
  }
};

// `wide` is the side that has the padding, `narrow` the one with a window at each position.
Windows read_windows(Lowering& l, const Shape& wide, const Shape& narrow, const Shape& weight) {
  Windows w;
  w.kernel.assign(weight.begin() + 2, weight.end());
  w.strides = l.integers("strides");
  w.dilations = l.integers("dilations");
  w.groups = l.integer("groups");
  const std::string type = l.string("pad_type");
  const std::vector<int64_t> pad = l.integers("pad");
  for (size_t d = 0; d < w.rank(); ++d) {
    const int64_t reach =
        (narrow[d + 2] - 1) * w.strides[d] + (w.kernel[d] - 1) * w.dilations[d] + 1;
    const int64_t total = reach - wide[d + 2];
    int64_t before = type == "custom" ? pad[2 * d] : 0;
    if (type == "same" && total > 0) before = total / 2;
    if (type == "same_lower" && total > 0) before = total - total / 2;
    w.before.push_back(before);
    w.after.push_back(total - before); // may be negative: elements that no window reaches
  }
  return w;
}

// x as [n, groups, channels / groups, spatial...].
Operand split_groups(const Operand& x, int64_t groups) {
  Operand grouped = expand_view(x, 1);
  grouped.shape[1] = groups;
  grouped.shape[2] = x.shape[1] / groups;
  grouped.strides[1] = x.strides[1] * grouped.shape[2];
  return grouped;
}

// Every window of `wide`, already padded, as [n, groups, channels / groups, kernel..., narrow...]:
// a view in which elements repeat.
Operand window_view(const Operand& padded, const Windows& w, const Shape& narrow) {
  Operand view = split_groups(padded, w.groups);
  view.shape.resize(3);
  view.strides.resize(3);
  for (size_t d = 0; d < w.rank(); ++d) {
    view.shape.push_back(w.kernel[d]);
    view.strides.push_back(padded.strides[d + 2] * w.dilations[d]);
  }
  for (size_t d = 0; d < w.rank(); ++d) {
    view.shape.push_back(narrow[d + 2]);
    view.strides.push_back(padded.strides[d + 2] * w.strides[d]);
  }
  return view;
}

// A buffer for `shape` with its padding, and the part of it that holds the tensor. Negative
// padding after the end is left out of the windows, not of the buffer.
struct Padded {
  Operand whole;
  Operand centre;
  bool has_border = false;
};

Padded make_padded(Lowering& l, const Shape& shape, const Windows& w) {
  Padded p;
  Shape padded = shape;
  for (size_t d = 0; d < w.rank(); ++d) {
    padded[d + 2] += w.before[d] + std::max<int64_t>(0, w.after[d]);
    p.has_border = p.has_border || padded[d + 2] != shape[d + 2];
  }
  p.whole = l.temporary(DataType::fp32, padded);
  p.centre = p.whole;
  for (size_t d = 0; d < w.rank(); ++d) {
    p.centre = slice_view(p.centre, d + 2, w.before[d], shape[d + 2]);
  }
  return p;
}

// [n, groups, rows, columns] of a tensor [n, channels, spatial...], or nullopt when only a copy has
// these strides.
std::optional<Operand> as_matrices(const Operand& x, int64_t groups) {
  int64_t columns = 1;
  for (size_t d = 2; d < x.shape.size(); ++d) columns *= x.shape[d];
  return reshape_view(x, {x.shape[0], groups, x.shape[1] / groups, columns});
}

// weight [rows * groups, ...] as [1, groups, rows, all the rest].
Operand weight_matrices(Lowering& l, const Operand& weight, int64_t groups) {
  const int64_t rows = weight.shape[0] / groups;
  return l.reshaped(weight, {1, groups, rows, weight.elements() / weight.shape[0]});
}

// Columns [n, groups, channels / groups * taps, positions] of every window.
Operand gather_columns(Lowering& l, const Operand& x, const Windows& w, const Shape& narrow) {
  if (w.is_pointwise()) {
    if (const auto view = as_matrices(x, w.groups)) return *view;
    return *as_matrices(l.dense(x), w.groups);
  }
  const Operand input = l.as_float(x);
  Operand padded = input;
  if (std::any_of(w.before.begin(), w.before.end(), [](int64_t n) { return n > 0; }) ||
      std::any_of(w.after.begin(), w.after.end(), [](int64_t n) { return n > 0; })) {
    const Padded p = make_padded(l, x.shape, w);
    l.fill(p.whole, 0);
    l.copy(input, p.centre);
    padded = p.whole;
  }
  const Operand windows = window_view(padded, w, narrow);
  const Operand columns = l.temporary(DataType::fp32, windows.shape);
  l.copy(windows, columns);
  int64_t positions = 1;
  for (size_t d = 2; d < narrow.size(); ++d) positions *= narrow[d];
  const int64_t rows = columns.elements() / (x.shape[0] * w.groups * positions);
  return *reshape_view(columns, {x.shape[0], w.groups, rows, positions});
}

void conv(Lowering& l) {
  const Operand weight = l.stored_operand("weight");
  const Shape& shape = l.result_type().shape;
  const Windows w = read_windows(l, l.stored_operand("x").shape, shape, weight.shape);
  if (w.is_pointwise() && w.groups == 1 && lower_int8_product(l, "x", "weight", 1, 1)) return;
  const Operand x = l.operand("x");
  const bool has_bias = l.has("bias") && !l.is_zero("bias");
  bool accumulate = false;
  const Operand output = l.accumulating_result(accumulate);
  const auto view = as_matrices(output, w.groups);
  // The product is written in place unless it must be rounded after the bias, or cannot be.
  const bool direct = view && (output.dtype == DataType::fp32 || !has_bias);
  const Operand product = direct ? output : l.temporary(DataType::fp32, shape);
  l.matmul(weight_matrices(l, weight, w.groups), gather_columns(l, x, w, shape),
           *as_matrices(product, w.groups), direct && accumulate);
  if (!direct && accumulate) l.pointwise("add", {output, product}, output);
  const Operand& sum = !direct && accumulate ? output : product;
  if (has_bias) {
    finish_with_bias(l, sum, l.operand("bias"), 1, output);
  } else if (!direct && !accumulate) {
    l.cast(product, output, HalfRule::multiply_accumulate);
  }
}

// Columns of every window are computed by one product, then added where the windows lie.
void conv_transpose(Lowering& l) {
  const Operand x = l.operand("x");
  const Operand weight = l.operand("weight");
  const Operand output = l.result();
  const Shape& shape = output.shape;
  const Windows w = read_windows(l, shape, x.shape, weight.shape);
  Shape column_shape = {x.shape[0], w.groups, weight.shape[1]};
  column_shape.insert(column_shape.end(), w.kernel.begin(), w.kernel.end());
  column_shape.insert(column_shape.end(), x.shape.begin() + 2, x.shape.end());
  const Operand columns = l.temporary(DataType::fp32, column_shape);
  auto input = as_matrices(x, w.groups);
  if (!input) input = as_matrices(l.dense(x), w.groups);
  const int64_t positions = input->shape[3];
  const int64_t rows = columns.elements() / (x.shape[0] * w.groups * positions);
  l.matmul(swap_last_two(weight_matrices(l, weight, w.groups)), *input,
           *reshape_view(columns, {x.shape[0], w.groups, rows, positions}));

  const Padded p = make_padded(l, shape, w);
  l.fill(p.whole, 0);
  Operand targets = window_view(p.whole, w, x.shape);
  int64_t taps = 1;
  for (const int64_t extent : w.kernel) taps *= extent;
  for (int64_t tap = 0; tap < taps; ++tap) {
    Operand source = columns, target = targets;
    int64_t rest = tap;
    for (size_t d = w.rank(); d-- > 0;) {
      source = slice_view(source, d + 3, rest % w.kernel[d], 1);
      target = slice_view(target, d + 3, rest % w.kernel[d], 1);
      rest /= w.kernel[d];
    }
    l.pointwise("add", {target, source}, target);
  }
  if (l.has("bias")) return finish_with_bias(l, p.centre, l.operand("bias"), 1, output);
  l.cast(p.centre, output, HalfRule::multiply_accumulate);
}

// Scores and probabilities are in float, whatever the type of the operands.
void attention(Lowering& l) {
  const Operand query = l.operand("query");
  AttentionSource source{l.operand("key"), l.operand("value"), std::nullopt};
  if (l.has("attn_mask")) source.mask = l.operand("attn_mask");
  const auto width = static_cast<double>(query.shape.back());
  lower_attention(l, query, source, static_cast<float>(1 / std::sqrt(width)), l.result());
}

} // namespace

bool is_plain_product(const mil::Function& function, const mil::Operation& op) {
  if (std::string_view(op.name()) != "conv" || op.argument("bias") != nullptr) return false;
  const auto spatial = [&](mil::ValueId id) {
    const Shape& shape = function.type(id).shape;
    return Shape(shape.begin() + 2, shape.end());
  };
  const auto ones = [](const std::vector<int64_t>& values) {
    return std::all_of(values.begin(), values.end(), [](int64_t n) { return n == 1; });
  };
  const mil::ValueId x = op.input("x"), result = op.outputs.front();
  const int32_t source = function.value(x).producer;
  const bool codes =
      source >= 0 &&
      std::string_view(function.ops[static_cast<size_t>(source)].name()) == "dequantize";
  const DataType dtype = function.type(result).dtype;
  return !codes && (dtype == DataType::fp32 || dtype == DataType::bf16) &&
         ones(spatial(op.input("weight"))) && spatial(x) == spatial(result) &&
         ones(literal_argument(function, op, "strides").integers()) &&
         literal_argument(function, op, "groups").integer() == 1;
}

namespace {

// Of a plain product, to be stored in `result`, which has matrices.
Lowering::Product product_of(Lowering& l, mil::ValueId id, const Operand& result) {
  const mil::Function& function = l.function();
  const mil::Operation& op = function.ops[static_cast<size_t>(function.value(id).producer)];
  const Operand x = l.operand_of(op.input("x"));
  auto columns = as_matrices(x, 1);
  if (!columns) columns = as_matrices(l.dense(x), 1);
  return {weight_matrices(l, l.stored_operand_of(op.input("weight")), 1), *columns,
          *as_matrices(result, 1)};
}

} // namespace

// One after the other into the same memory, and rounded once.
void lower_product_sum(Lowering& l, std::span<const mil::ValueId> products, mil::ValueId sum) {
  const Operand result = l.result_of(sum);
  const bool direct = result.dtype == DataType::fp32 && as_matrices(result, 1).has_value();
  const Operand total = direct ? result : l.temporary(DataType::fp32, result.shape);
  for (const mil::ValueId id : products) {
    const Lowering::Product product = product_of(l, id, total);
    l.matmul(product.a, product.b, product.c, id != products.front());
  }
  if (!direct) l.cast(total, result);
}

void lower_products(Lowering& l, std::span<const mil::ValueId> products) {
  std::vector<Lowering::Product> matmuls;
  std::vector<std::pair<Operand, Operand>> copies;
  for (const mil::ValueId id : products) {
    const Operand result = l.result_of(id);
    const bool direct = as_matrices(result, 1).has_value();
    const Operand place = direct ? result : l.temporary(result.dtype, result.shape);
    matmuls.push_back(product_of(l, id, place));
    if (!direct) copies.emplace_back(place, result);
  }
  l.matmuls(matmuls);
  for (const auto& [place, result] : copies) l.copy(place, result);
}

LoweringRule matrix_rule(std::string_view op) {
  static const std::map<std::string_view, LoweringRule> rules = {
      {"conv", conv},     {"conv_transpose", conv_transpose},          {"linear", linear},
      {"matmul", matmul}, {"scaled_dot_product_attention", attention},
  };
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu
