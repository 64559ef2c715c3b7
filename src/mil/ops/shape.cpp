#include "mil/ops/inference.h"

#include <algorithm>

namespace anet::mil::ops {

namespace {

// The tuple's types, which must agree in element type and rank.
std::vector<const Type*> uniform_values(const InferenceContext& context) {
  std::vector<const Type*> values = context.types("values");
  for (const Type* type : values) {
    if (type->dtype != values.front()->dtype) {
      context.fail("expected values of one element type, got ",
                   data_type_name(values.front()->dtype), " and ", data_type_name(type->dtype));
    }
    if (type->shape.size() != values.front()->shape.size()) {
      context.fail("expected values of one rank, got ", shape_to_string(values.front()->shape),
                   " and ", shape_to_string(type->shape));
    }
  }
  return values;
}

// A zero in a target shape takes the extent of x at the same distance from the last axis (iOS17).
void replace_zeros(const InferenceContext& context, const Shape& from, Shape& to) {
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] < -1) context.fail("expected extents of -1 or more in shape, got ", to[i]);
    if (to[i] != 0) continue;
    const size_t from_end = to.size() - i;
    to[i] = from_end <= from.size() ? from[from.size() - from_end] : 1;
  }
}

} // namespace

std::vector<Type> reshape(const InferenceContext& context) {
  const Type& x = context.type("x");
  const std::vector<int64_t> target = context.integers("shape");
  Shape shape = target;
  replace_zeros(context, x.shape, shape);
  if (std::count(shape.begin(), shape.end(), -1) > 1) {
    context.fail("expected at most one -1 in shape, got ", shape_to_string(target));
  }
  const auto unknown = std::find(shape.begin(), shape.end(), -1);
  if (unknown != shape.end()) *unknown = 1;
  const std::optional<int64_t> known = checked_element_count(shape);
  if (known && unknown != shape.end() && x.elements() % *known == 0) {
    *unknown = x.elements() / *known;
  }
  if (!known || checked_element_count(shape) != x.elements()) {
    context.fail("expected a shape of ", x.elements(), " elements like x ",
                 shape_to_string(x.shape), ", got ", shape_to_string(target));
  }
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> transpose(const InferenceContext& context) {
  const Type& x = context.type("x");
  const std::vector<int64_t> perm = context.integers("perm");
  const size_t rank = x.shape.size();
  std::vector<bool> seen(rank, false);
  Shape shape;
  for (int64_t value : perm) {
    const size_t axis = context.axis("perm", value, rank);
    if (seen[axis]) break;
    seen[axis] = true;
    shape.push_back(x.shape[axis]);
  }
  if (perm.size() != rank || shape.size() != rank) {
    context.fail("expected a permutation of ", rank, " axes for perm, got ", shape_to_string(perm));
  }
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> expand_dims(const InferenceContext& context) {
  const Type& x = context.type("x");
  const std::vector<int64_t> axes = context.integers("axes");
  const size_t rank = x.shape.size() + axes.size();
  std::vector<bool> inserted(rank, false);
  for (int64_t value : axes) {
    const size_t axis = context.axis("axes", value, rank);
    if (inserted[axis]) context.fail("expected distinct axes, got ", shape_to_string(axes));
    inserted[axis] = true;
  }
  Shape shape;
  auto next = x.shape.begin();
  for (size_t i = 0; i < rank; ++i) shape.push_back(inserted[i] ? 1 : *next++);
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> squeeze(const InferenceContext& context) {
  const Type& x = context.type("x");
  std::vector<bool> removed(x.shape.size(), false);
  if (context.has("axes")) {
    for (int64_t value : context.integers("axes")) {
      const size_t axis = context.axis("axes", value, x.shape.size());
      if (x.shape[axis] != 1) {
        context.fail("expected an extent of 1 on axis ", value, ", got ", shape_to_string(x.shape));
      }
      removed[axis] = true;
    }
  } else {
    for (size_t i = 0; i < x.shape.size(); ++i) removed[i] = x.shape[i] == 1;
  }
  Shape shape;
  for (size_t i = 0; i < x.shape.size(); ++i) {
    if (!removed[i]) shape.push_back(x.shape[i]);
  }
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> concat(const InferenceContext& context) {
  const std::vector<const Type*> values = uniform_values(context);
  Shape shape = values.front()->shape;
  const bool scalars = shape.empty(); // they concatenate to a vector
  if (scalars) shape.push_back(1);
  const size_t axis = scalars ? 0 : context.axis("axis", context.integer("axis"), shape.size());
  const bool interleave = context.boolean("interleave");
  int64_t extent = 0;
  for (const Type* value : values) {
    Shape other = scalars ? shape : value->shape;
    extent += other[axis];
    if (!interleave) other[axis] = shape[axis];
    if (other != shape) {
      context.fail("expected values that agree on every axis", interleave ? "" : " but axis ",
                   interleave ? std::string() : std::to_string(axis), ", got ",
                   shape_to_string(shape), " and ", shape_to_string(value->shape));
    }
  }
  shape[axis] = extent;
  return {Type{values.front()->dtype, std::move(shape), {}}};
}

std::vector<Type> split(const InferenceContext& context) {
  const Type& x = context.type("x");
  const size_t axis = context.axis("axis", context.integer("axis"), x.shape.size());
  const int64_t extent = x.shape[axis];
  std::vector<int64_t> sizes;
  if (context.has("split_sizes")) {
    sizes = context.integers("split_sizes");
  } else if (!context.has("num_splits")) {
    context.fail("expected num_splits or split_sizes, got neither");
  }
  if (context.has("num_splits")) {
    const int64_t count = context.integer("num_splits");
    if (sizes.empty() && (count < 1 || extent % count != 0)) {
      context.fail("expected num_splits that divides ", extent, ", got ", count);
    }
    if (sizes.empty()) sizes.assign(static_cast<size_t>(count), extent / count);
    if (static_cast<size_t>(count) != sizes.size()) {
      context.fail("expected num_splits to be the number of split_sizes, got ", count, " and ",
                   sizes.size());
    }
  }
  std::vector<Type> types;
  int64_t total = 0;
  for (int64_t size : sizes) {
    if (size < 1) context.fail("expected split_sizes of at least 1, got ", shape_to_string(sizes));
    total += size;
    types.push_back({x.dtype, x.shape, {}});
    types.back().shape[axis] = size;
  }
  if (total != extent) {
    context.fail("expected split_sizes that sum to ", extent, ", got ", shape_to_string(sizes));
  }
  return types;
}

std::vector<Type> stack(const InferenceContext& context) {
  const std::vector<const Type*> values = uniform_values(context);
  Shape shape = values.front()->shape;
  for (const Type* value : values) {
    if (value->shape != shape) {
      context.fail("expected values of one shape, got ", shape_to_string(shape), " and ",
                   shape_to_string(value->shape));
    }
  }
  const size_t axis = context.axis("axis", context.integer("axis"), shape.size() + 1);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis),
               static_cast<int64_t>(values.size()));
  return {Type{values.front()->dtype, std::move(shape), {}}};
}

std::vector<Type> tile(const InferenceContext& context) {
  Type type = context.type("x");
  const std::vector<int64_t> reps = context.integers("reps");
  const bool valid = std::all_of(reps.begin(), reps.end(), [](int64_t rep) { return rep >= 1; });
  if (!valid || reps.empty() || reps.size() != type.shape.size()) {
    context.fail("expected ", type.shape.size(), " reps of at least 1, got ",
                 shape_to_string(reps));
  }
  for (size_t i = 0; i < reps.size(); ++i) type.shape[i] *= reps[i];
  return {type};
}

std::vector<Type> pad(const InferenceContext& context) {
  Type type = context.type("x");
  const std::vector<int64_t> amounts = context.integers("pad");
  const size_t padded = amounts.size() / 2;
  const bool valid =
      std::all_of(amounts.begin(), amounts.end(), [](int64_t amount) { return amount >= 0; });
  if (!valid || amounts.size() % 2 != 0 || padded > type.shape.size()) {
    context.fail("expected pairs of non-negative amounts for at most ", type.shape.size(),
                 " axes in pad, got ", shape_to_string(amounts));
  }
  const std::string& mode = context.string("mode");
  if (mode != "constant" && mode != "reflect" && mode != "replicate") {
    context.fail("expected mode constant, reflect or replicate, got '", mode, "'");
  }
  for (size_t i = 0; i < padded; ++i) {
    int64_t& extent = type.shape[type.shape.size() - padded + i];
    if (mode == "reflect" && std::max(amounts[2 * i], amounts[2 * i + 1]) >= extent) {
      context.fail("expected reflect pads below the extent ", extent, ", got ",
                   shape_to_string(amounts));
    }
    extent += amounts[2 * i] + amounts[2 * i + 1];
  }
  return {type};
}

std::vector<Type> reverse(const InferenceContext& context) {
  const Type& x = context.type("x");
  if (context.has("axes")) {
    for (int64_t axis : context.integers("axes")) context.axis("axes", axis, x.shape.size());
  }
  return {x};
}

} // namespace anet::mil::ops
