// Reductions, softmax and normalisations. They compute in float; rounded types are converted at
// both ends.
#include "backend/cpu/generic.h"
#include "backend/cpu/lowering.h"

#include <numeric>

namespace anet::backend::cpu {

namespace {

// x's shape with extent 1 on the reduced axes.
Shape kept_shape(const Operand& x, const std::vector<int64_t>& axes) {
  Shape shape = x.shape;
  for (const int64_t axis : axes) shape[normalize_axis(axis, x.rank())] = 1;
  return shape;
}

void reduce(Lowering& l) {
  const Operand x = l.operand("x");
  const Reduction reduction = *reduction_from_op(l.op().name());
  const Operand output = l.result();
  const Shape kept = kept_shape(x, l.integers("axes"));
  const auto view = reshape_view(output, kept);
  if (!mil::is_floating(x.dtype)) {
    const Operand target = view ? *view : l.temporary(x.dtype, kept);
    l.emit(make_integer_reduce_step(reduction, x, target), {&x, &target});
    if (!view) l.copy(*reshape_view(target, output.shape), output);
    return;
  }
  if (output.dtype == DataType::fp32 && view) return l.reduce(reduction, l.as_float(x), *view);
  const Operand total = l.temporary(DataType::fp32, kept);
  l.reduce(reduction, l.as_float(x), total);
  l.cast(*reshape_view(total, output.shape), output);
}

void reduce_arg(Lowering& l) {
  const Operand x = l.operand("x");
  const size_t axis = normalize_axis(l.integer("axis"), x.rank());
  Operand output = l.result();
  if (output.rank() != x.rank()) output = expand_view(output, axis);
  l.emit(make_arg_step(x, output, axis, std::string_view(l.op().name()) == "reduce_argmax"),
         {&x, &output});
}

void softmax(Lowering& l) {
  const Operand x = l.operand("x");
  const size_t axis = normalize_axis(l.integer("axis"), x.rank());
  if (x.dtype == DataType::fp32) {
    return l.softmax(x, l.result_in_place(std::span(&x, 1)), axis);
  }
  const Operand input = l.as_float(x);
  const Operand output = l.result(0, &x);
  const Operand probabilities = l.temporary(DataType::fp32, x.shape, &input);
  l.softmax(input, probabilities, axis);
  l.cast(probabilities, output);
}

// gamma or beta, [extents of the axes], as a tensor that broadcasts to x.
Operand spread(Lowering& l, const Operand& parameter, const Operand& x,
               const std::vector<int64_t>& axes) {
  Shape shape(x.shape.size(), 1);
  for (const int64_t axis : axes) {
    const size_t d = normalize_axis(axis, x.rank());
    shape[d] = x.shape[d];
  }
  return l.reshaped(parameter, shape);
}

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, composed of element-wise steps and
// reductions, so that any set of axes is vectorised.
void layer_norm(Lowering& l) {
  const Operand x = l.as_float(l.operand("x"));
  const std::vector<int64_t> axes = l.integers("axes");
  const float epsilon = l.parameter("epsilon", l.result_type().dtype);
  const Operand statistic = l.temporary(DataType::fp32, kept_shape(x, axes));
  const Operand centred = l.temporary(DataType::fp32, x.shape, &x);
  const Operand output = l.result(0, &x);
  l.reduce(Reduction::mean, x, statistic);
  l.pointwise("sub", {x, statistic}, centred);
  const auto count = static_cast<float>(x.elements() / statistic.elements());
  l.reduce(Reduction::sum_square, centred, statistic);
  l.pointwise("scale", {statistic}, statistic, {1.0f / count, 0, 0});
  l.pointwise("rsqrt", {statistic}, statistic, {epsilon, 0, 0});
  const bool has_gamma = l.has("gamma"), has_beta = l.has("beta");
  l.pointwise("mul", {centred, statistic}, has_gamma || has_beta ? centred : output);
  if (has_gamma) {
    const Operand gamma = spread(l, l.operand("gamma"), x, axes);
    l.pointwise("mul", {centred, gamma}, has_beta ? centred : output);
  }
  if (has_beta) {
    l.pointwise("add", {centred, spread(l, l.operand("beta"), x, axes)}, output);
  }
}

// x / sqrt(sum of squares over the last three axes + epsilon)
void l2_norm(Lowering& l) {
  const Operand x = l.as_float(l.operand("x"));
  const float epsilon = l.parameter("epsilon", l.result_type().dtype);
  const Operand norm = l.temporary(DataType::fp32, kept_shape(x, {-3, -2, -1}));
  const Operand output = l.result(0, &x);
  l.reduce(Reduction::sum_square, x, norm);
  l.pointwise("rsqrt", {norm}, norm, {epsilon, 0, 0});
  l.pointwise("mul", {x, norm}, output);
}

void cumsum(Lowering& l) {
  const Operand x = l.operand("x");
  const Operand output = l.result();
  const size_t axis = normalize_axis(l.integer("axis"), x.rank());
  l.emit(make_cumsum_step(x, output, axis, l.boolean("exclusive"), l.boolean("reverse")),
         {&x, &output});
}

} // namespace

LoweringRule reduction_rule(std::string_view op) {
  static const std::map<std::string_view, LoweringRule> rules = {
      {"cumsum", cumsum},
      {"l2_norm", l2_norm},
      {"layer_norm", layer_norm},
      {"reduce_argmax", reduce_arg},
      {"reduce_argmin", reduce_arg},
      {"softmax", softmax},
  };
  if (reduction_from_op(op)) return reduce;
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu
