#include "op_rules.h"

#include <algorithm>
#include <numeric>

namespace emulator {

using anet::mil::element_count;
using anet::mil::shape_to_string;
using anet::mil::type_to_string;

std::vector<int64_t> split_extents(const Call& call) {
  const Shape& x = call.shape("x");
  const int64_t extent = x[call.axis(call.integer("axis"), x.size())];
  if (call.has("num_splits") == call.has("split_sizes")) {
    call.fail("expected either num_splits or split_sizes");
  }
  if (call.has("num_splits")) {
    const int64_t count = call.integer("num_splits");
    if (count < 1 || extent % count != 0)
      call.fail(extent, " does not split into ", count, " equal parts");
    return std::vector<int64_t>(static_cast<size_t>(count), extent / count);
  }
  std::vector<int64_t> sizes = call.integers("split_sizes");
  if (std::ranges::any_of(sizes, [](int64_t size) { return size < 1; }) ||
      std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) != extent) {
    call.fail("split_sizes do not add up to ", extent);
  }
  return sizes;
}

std::vector<SliceRange> slice_ranges(const Call& call, const Shape& shape) {
  const size_t rank = shape.size();
  const std::vector<int64_t> begin = call.integers("begin");
  const std::vector<int64_t> end = call.integers("end");
  const std::vector<int64_t> stride =
      call.has("stride") ? call.integers("stride") : std::vector<int64_t>(rank, 1);
  const std::vector<bool> from_first = call.mask("begin_mask", rank);
  const std::vector<bool> to_last = call.mask("end_mask", rank);
  const std::vector<bool> squeezed = call.mask("squeeze_mask", rank);
  if (begin.size() != rank || end.size() != rank || stride.size() != rank) {
    call.fail("begin, end and stride need ", rank, " entries");
  }
  std::vector<SliceRange> result;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t extent = shape[i];
    const int64_t step = stride[i];
    if (step == 0) call.fail("a stride is 0");
    int64_t first = begin[i] < 0 ? begin[i] + extent : begin[i];
    int64_t last = end[i] < 0 ? end[i] + extent : end[i];
    if (from_first[i]) first = step > 0 ? 0 : extent - 1;
    if (to_last[i]) last = step > 0 ? extent : -1;
    if (squeezed[i]) last = step > 0 ? first + 1 : first - 1;
    last = step > 0 ? std::min(last, extent) : std::max<int64_t>(last, -1);
    const int64_t count =
        step > 0 ? (last - first + step - 1) / step : (first - last - step - 1) / -step;
    if (first < 0 || first >= extent || count < 1) {
      call.fail("axis ", i, " of ", shape_to_string(shape), ": ", first, " to ", last,
                " is empty or outside");
    }
    result.push_back({first, squeezed[i] ? 1 : count, step, squeezed[i]});
  }
  return result;
}

namespace infer {

std::vector<Type> reshape(const Call& call) {
  const Type& x = call.type("x");
  Shape shape = call.integers("shape");
  int64_t known = 1;
  int64_t* open = nullptr;
  for (int64_t& extent : shape) {
    if (extent == -1 && open == nullptr) {
      open = &extent;
    } else if (extent < 1) {
      call.fail("shape has an extent of ", extent);
    } else {
      known *= extent;
    }
  }
  if (open != nullptr) *open = x.elements() / known;
  if (element_count(shape) != x.elements()) {
    call.fail(type_to_string(x), " does not reshape to ", shape_to_string(shape));
  }
  return {{.dtype = x.dtype, .shape = std::move(shape)}};
}

std::vector<Type> expand_dims(const Call& call) {
  Shape shape = call.shape("x");
  const size_t rank = shape.size() + call.integers("axes").size();
  for (const size_t axis : call.axes("axes", rank))
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), 1);
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

std::vector<Type> squeeze(const Call& call) {
  const Shape& x = call.shape("x");
  const std::vector<size_t> axes = call.axes("axes", x.size());
  Shape shape;
  for (size_t i = 0; i < x.size(); ++i) {
    const bool squeezed = std::ranges::binary_search(axes, i);
    if (squeezed && x[i] != 1) call.fail("axis ", i, " has extent ", x[i], ", expected 1");
    if (!squeezed) shape.push_back(x[i]);
  }
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

std::vector<Type> transpose(const Call& call) {
  const Shape& x = call.shape("x");
  const std::vector<int64_t> perm = call.integers("perm");
  if (perm.size() != x.size()) call.fail("perm has ", perm.size(), " entries, expected ", x.size());
  call.axes("perm", x.size());
  Shape shape;
  for (const int64_t axis : perm) shape.push_back(x[call.axis(axis, x.size())]);
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

std::vector<Type> concat(const Call& call) {
  const std::vector<const Type*> values = call.tuple("values");
  if (call.boolean("interleave")) call.fail_chip("interleave is true");
  Type result = *values.front();
  const size_t axis = call.axis(call.integer("axis"), result.shape.size());
  result.shape[axis] = 0;
  for (const Type* value : values) {
    Shape rest = value->shape;
    if (rest.size() != result.shape.size()) call.fail("values differ in rank");
    const int64_t extent = rest[axis];
    rest[axis] = result.shape[axis];
    if (rest != result.shape || value->dtype != result.dtype) {
      call.fail(type_to_string(*value), " does not join ", type_to_string(*values.front()),
                " along axis ", axis);
    }
    result.shape[axis] += extent;
  }
  return {result};
}

std::vector<Type> stack(const Call& call) {
  const std::vector<const Type*> values = call.tuple("values");
  Type result = *values.front();
  for (const Type* value : values) {
    if (*value != result) call.fail("values differ in type");
  }
  const size_t axis = call.axis(call.integer("axis"), result.shape.size() + 1);
  result.shape.insert(result.shape.begin() + static_cast<std::ptrdiff_t>(axis),
                      static_cast<int64_t>(values.size()));
  return {result};
}

std::vector<Type> split(const Call& call) {
  const Shape& x = call.shape("x");
  const size_t axis = call.axis(call.integer("axis"), x.size());
  std::vector<Type> result;
  for (const int64_t extent : split_extents(call)) {
    Type part = call.type("x");
    part.shape[axis] = extent;
    result.push_back(std::move(part));
  }
  return result;
}

std::vector<Type> slice_by_index(const Call& call) {
  Shape shape;
  for (const SliceRange& range : slice_ranges(call, call.shape("x"))) {
    if (!range.squeezed) shape.push_back(range.extent);
  }
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

std::vector<Type> slice_by_size(const Call& call) {
  const Shape& x = call.shape("x");
  const std::vector<int64_t> begin = call.integers("begin");
  Shape size = call.integers("size");
  if (begin.size() != x.size() || size.size() != x.size()) {
    call.fail("begin and size need ", x.size(), " entries");
  }
  for (size_t i = 0; i < x.size(); ++i) {
    if (size[i] == -1) size[i] = x[i] - begin[i];
    if (begin[i] < 0 || size[i] < 1 || begin[i] > x[i] - size[i]) {
      call.fail("axis ", i, ": ", size[i], " from ", begin[i], " is outside extent ", x[i]);
    }
  }
  return {{.dtype = call.type("x").dtype, .shape = std::move(size)}};
}

std::vector<Type> slice_update(const Call& call) {
  Shape shape;
  for (const SliceRange& range : slice_ranges(call, call.shape("x"))) {
    if (!range.squeezed) shape.push_back(range.extent);
  }
  if (call.shape("update") != shape || call.type("update").dtype != call.type("x").dtype) {
    call.fail("update is ", type_to_string(call.type("update")), ", expected shape ",
              shape_to_string(shape));
  }
  return {call.type("x")};
}

std::vector<Type> tile(const Call& call) {
  Shape shape = call.shape("x");
  const std::vector<int64_t> reps = call.integers("reps");
  if (reps.size() != shape.size())
    call.fail("reps has ", reps.size(), " entries, expected ", shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    if (reps[i] < 1) call.fail("reps has an entry of ", reps[i]);
    shape[i] *= reps[i];
  }
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

// Pairs of the last axes: an axis that is not named is not padded.
std::vector<Type> pad(const Call& call) {
  Shape shape = call.shape("x");
  const std::vector<int64_t> amounts = call.integers("pad");
  if (amounts.size() % 2 != 0 || amounts.size() > 2 * shape.size()) {
    call.fail("pad has ", amounts.size(), " entries for rank ", shape.size());
  }
  const std::string& mode = call.text("mode");
  if (mode != "constant" && mode != "reflect" && mode != "replicate")
    call.fail("mode is \"", mode, "\"");
  const size_t first = shape.size() - amounts.size() / 2;
  for (size_t i = 0; i < amounts.size(); ++i) {
    if (amounts[i] < 0) call.fail("pad has an entry of ", amounts[i]);
    shape[first + i / 2] += amounts[i];
  }
  if (call.type("constant_val").dtype != call.type("x").dtype)
    call.fail("constant_val has another type than x");
  call.number("constant_val");
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

std::vector<Type> reverse(const Call& call) {
  call.axes("axes", call.shape("x").size());
  return {call.type("x")};
}

std::vector<Type> gather(const Call& call) {
  const Shape& x = call.shape("x");
  const Type& indices = call.type("indices");
  if (!anet::mil::is_integer(indices.dtype)) call.fail("indices are ", type_to_string(indices));
  const size_t axis = call.axis(call.integer("axis"), x.size());
  if (call.has("batch_dims") && call.integer("batch_dims") != 0)
    call.fail_chip("batch_dims is not 0");
  if (call.has("validate_indices")) call.boolean("validate_indices");
  Shape shape(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.end());
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

std::vector<Type> gather_along_axis(const Call& call) {
  const Shape& x = call.shape("x");
  const Type& indices = call.type("indices");
  if (!anet::mil::is_integer(indices.dtype)) call.fail("indices are ", type_to_string(indices));
  const size_t axis = call.axis(call.integer("axis"), x.size());
  Shape rest = indices.shape;
  if (rest.size() != x.size()) call.fail("indices have another rank than x");
  rest[axis] = x[axis];
  if (rest != x)
    call.fail("indices ", type_to_string(indices), " do not fit x ", shape_to_string(x));
  if (call.has("validate_indices")) call.boolean("validate_indices");
  return {{.dtype = call.type("x").dtype, .shape = indices.shape}};
}

std::vector<Type> fill(const Call& call) {
  const Shape shape = call.integers("shape");
  for (const int64_t extent : shape) {
    if (extent < 1) call.fail("shape has an extent of ", extent);
  }
  call.number("value");
  return {{.dtype = call.type("value").dtype, .shape = shape}};
}

std::vector<Type> fill_like(const Call& call) {
  call.number("value");
  return {{.dtype = call.type("value").dtype, .shape = call.shape("ref_tensor")}};
}

std::vector<Type> buffer_to_tensor(const Call& call) {
  const Type& input = call.type("input");
  return {{.dtype = input.dtype, .shape = input.shape}};
}

std::vector<Type> tensor_to_buffer(const Call& call) {
  Type result = call.type("input");
  result.buffer =
      anet::mil::BufferLayout{.strides = call.integers("strides"),
                              .interleave_factors = call.integers("interleave_factors")};
  return {result};
}

} // namespace infer
} // namespace emulator
