#include "mil/ops/inference.h"

namespace anet::mil::ops {

namespace {

// With validate_indices, constant indices are checked here; others are the device's to check.
void validate_indices(const InferenceContext& context, int64_t extent) {
  if (!context.boolean("validate_indices")) return;
  const Literal* indices = context.constant("indices");
  if (indices == nullptr) return;
  for (int64_t index : indices->integers()) {
    if (index < 0 || index >= extent) {
      context.fail("expected indices in [0, ", extent, "), got ", index);
    }
  }
}

void check_mode(const InferenceContext& context) {
  const std::string& mode = context.string("mode");
  for (const char* allowed : {"add", "div", "max", "min", "mul", "sub", "update"}) {
    if (mode == allowed) return;
  }
  context.fail("expected mode add, div, max, min, mul, sub or update, got '", mode, "'");
}

// x and indices agree on every axis but one.
void check_along_axis(const InferenceContext& context, const Shape& x, const Shape& indices,
                      size_t axis) {
  bool fits = x.size() == indices.size();
  for (size_t i = 0; fits && i < x.size(); ++i) fits = i == axis || x[i] == indices[i];
  if (!fits) {
    context.fail("expected indices of the shape of the data ", shape_to_string(x),
                 " on every axis but ", axis, ", got ", shape_to_string(indices));
  }
}

// x[:axis] + indices + x[axis + 1:]
Shape gathered_shape(const Shape& x, const Shape& indices, size_t axis, size_t batch_dims) {
  Shape shape(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.begin() + static_cast<std::ptrdiff_t>(batch_dims),
               indices.end());
  shape.insert(shape.end(), x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.end());
  return shape;
}

} // namespace

std::vector<Type> gather(const InferenceContext& context) {
  const Type& x = context.type("x");
  const Shape& indices = context.type("indices").shape;
  const size_t axis = context.axis("axis", context.integer("axis"), x.shape.size());
  const int64_t batch_dims = context.integer("batch_dims");
  const auto batches = static_cast<size_t>(batch_dims);
  bool fits = batch_dims >= 0 && batches <= axis && batches <= indices.size();
  for (size_t i = 0; fits && i < batches; ++i) fits = x.shape[i] == indices[i];
  if (!fits) {
    context.fail("expected batch_dims leading axes shared by x and indices, at most axis ", axis,
                 ", got ", batch_dims, " for x ", shape_to_string(x.shape), " and indices ",
                 shape_to_string(indices));
  }
  validate_indices(context, x.shape[axis]);
  return {Type{x.dtype, gathered_shape(x.shape, indices, axis, batches), {}}};
}

std::vector<Type> gather_along_axis(const InferenceContext& context) {
  const Type& x = context.type("x");
  const Shape& indices = context.type("indices").shape;
  const size_t axis = context.axis("axis", context.integer("axis"), x.shape.size());
  check_along_axis(context, x.shape, indices, axis);
  validate_indices(context, x.shape[axis]);
  return {Type{x.dtype, indices, {}}};
}

std::vector<Type> scatter(const InferenceContext& context) {
  const Type& data = context.type("data");
  const Shape& updates = context.type("updates").shape;
  const size_t axis = context.axis("axis", context.integer("axis"), data.shape.size());
  check_mode(context);
  const Shape expected = gathered_shape(data.shape, context.type("indices").shape, axis, 0);
  if (updates != expected) {
    context.fail("expected updates of shape ", shape_to_string(expected), ", got ",
                 shape_to_string(updates));
  }
  validate_indices(context, data.shape[axis]);
  return {data};
}

std::vector<Type> scatter_along_axis(const InferenceContext& context) {
  const Type& data = context.type("data");
  const Shape& indices = context.type("indices").shape;
  const Shape& updates = context.type("updates").shape;
  const size_t axis = context.axis("axis", context.integer("axis"), data.shape.size());
  check_mode(context);
  check_along_axis(context, data.shape, indices, axis);
  if (updates != indices) {
    context.fail("expected updates of the shape of indices ", shape_to_string(indices), ", got ",
                 shape_to_string(updates));
  }
  validate_indices(context, data.shape[axis]);
  return {data};
}

std::vector<Type> one_hot(const InferenceContext& context) {
  Shape shape = context.type("indices").shape;
  const int64_t depth = context.integer("one_hot_vector_size");
  if (depth < 1) context.fail("expected one_hot_vector_size of at least 1, got ", depth);
  const size_t axis = context.axis("axis", context.integer("axis"), shape.size() + 1);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), depth);
  const Literal& on = context.required_constant("on_value");
  const Literal& off = context.required_constant("off_value");
  if (on.type.dtype != off.type.dtype) {
    context.fail("expected on_value and off_value of one type, got ", data_type_name(on.type.dtype),
                 " and ", data_type_name(off.type.dtype));
  }
  return {Type{on.type.dtype, std::move(shape), {}}};
}

} // namespace anet::mil::ops
