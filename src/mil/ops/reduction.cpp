#include "mil/ops/inference.h"

#include <algorithm>
#include <numeric>

namespace anet::mil::ops {

namespace {

// Which axes of x `axes` names; absent means all of them.
std::vector<bool> selected_axes(const InferenceContext& context, std::string_view argument) {
  const size_t rank = context.type("x").shape.size();
  if (!context.has(argument)) return std::vector<bool>(rank, true);
  std::vector<bool> selected(rank, false);
  for (int64_t value : context.integers(argument)) {
    const size_t axis = context.axis(argument, value, rank);
    if (selected[axis]) context.fail("expected distinct ", argument, ", got ", value, " twice");
    selected[axis] = true;
  }
  return selected;
}

Shape reduced(const Shape& shape, const std::vector<bool>& axes, bool keep_dims) {
  Shape result;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!axes[i]) {
      result.push_back(shape[i]);
    } else if (keep_dims) {
      result.push_back(1);
    }
  }
  return result;
}

} // namespace

std::vector<Type> softmax(const InferenceContext& context) {
  const Type& x = context.type("x");
  context.axis("axis", context.integer("axis"), x.shape.size());
  return {x};
}

std::vector<Type> layer_norm(const InferenceContext& context) {
  const Type& x = context.type("x");
  const std::vector<bool> axes = selected_axes(context, "axes");
  Shape normalized;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i]) normalized.push_back(x.shape[i]);
  }
  for (const char* parameter : {"gamma", "beta"}) {
    if (!context.has(parameter)) continue;
    const Shape& shape = context.type(parameter).shape;
    if (shape != normalized) {
      context.fail("expected ", parameter, " of shape ", shape_to_string(normalized), ", got ",
                   shape_to_string(shape));
    }
  }
  return {x};
}

std::vector<Type> l2_norm(const InferenceContext& context) {
  const Type& x = context.type("x");
  if (x.shape.size() < 3) {
    context.fail("expected x of rank 3 or more, got ", shape_to_string(x.shape));
  }
  return {x};
}

std::vector<Type> reduce(const InferenceContext& context) {
  const Type& x = context.type("x");
  const std::vector<bool> axes = selected_axes(context, "axes");
  return {Type{x.dtype, reduced(x.shape, axes, context.boolean("keep_dims")), {}}};
}

std::vector<Type> reduce_arg(const InferenceContext& context) {
  const Type& x = context.type("x");
  std::vector<bool> axes(x.shape.size(), false);
  axes[context.axis("axis", context.integer("axis"), axes.size())] = true;
  const std::string& dtype = context.string("output_dtype");
  if (dtype != "int32" && dtype != "uint16") {
    context.fail("expected output_dtype int32 or uint16, got '", dtype, "'");
  }
  return {
      Type{*data_type_from_name(dtype), reduced(x.shape, axes, context.boolean("keep_dims")), {}}};
}

std::vector<Type> cumsum(const InferenceContext& context) {
  const Type& x = context.type("x");
  context.axis("axis", context.integer("axis"), x.shape.size());
  return {x};
}

std::optional<Literal> every_axis(const InferenceContext& context) {
  std::vector<int64_t> axes(context.type("x").shape.size());
  if (axes.empty()) return std::nullopt; // a scalar has no axes to list
  std::iota(axes.begin(), axes.end(), 0);
  return Literal::int32s(axes);
}

} // namespace anet::mil::ops
