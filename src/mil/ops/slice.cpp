#include "mil/ops/inference.h"

#include <algorithm>

namespace anet::mil::ops {

namespace {

std::vector<int64_t> per_axis(const InferenceContext& context, std::string_view argument,
                              int64_t fallback) {
  const size_t rank = context.type("x").shape.size();
  std::vector<int64_t> values = context.integers(argument, std::vector<int64_t>(rank, fallback));
  if (values.size() != rank) {
    context.fail("expected ", rank, " values for ", argument, ", got ", values.size());
  }
  return values;
}

// Elements that begin:end:stride takes from an axis, with Python's reading of negative and
// out-of-range bounds.
int64_t taken(int64_t extent, std::optional<int64_t> begin, std::optional<int64_t> end,
              int64_t stride) {
  const int64_t low = stride > 0 ? 0 : -1;
  const int64_t high = stride > 0 ? extent : extent - 1;
  const auto bound = [&](std::optional<int64_t> value, int64_t masked) {
    if (!value) return masked;
    return std::clamp(*value < 0 ? *value + extent : *value, low, high);
  };
  const int64_t first = bound(begin, stride > 0 ? low : high);
  const int64_t last = bound(end, stride > 0 ? high : low);
  const int64_t distance = stride > 0 ? last - first : first - last;
  const int64_t step = stride > 0 ? stride : -stride;
  return distance <= 0 ? 0 : (distance + step - 1) / step;
}

Shape sliced_shape(const InferenceContext& context) {
  const Shape& x = context.type("x").shape;
  const std::vector<int64_t> begin = per_axis(context, "begin", 0);
  const std::vector<int64_t> end = per_axis(context, "end", 0);
  const std::vector<int64_t> stride = per_axis(context, "stride", 1);
  const std::vector<int64_t> begin_mask = per_axis(context, "begin_mask", 0);
  const std::vector<int64_t> end_mask = per_axis(context, "end_mask", 0);
  const std::vector<int64_t> squeeze_mask = per_axis(context, "squeeze_mask", 0);
  Shape shape;
  for (size_t i = 0; i < x.size(); ++i) {
    if (stride[i] == 0)
      context.fail("expected strides other than 0, got ", shape_to_string(stride));
    const std::optional<int64_t> first =
        begin_mask[i] != 0 ? std::nullopt : std::optional(begin[i]);
    if (squeeze_mask[i] != 0) {
      const int64_t index = first.value_or(0);
      if (index < -x[i] || index >= x[i]) {
        context.fail("expected begin in [", -x[i], ", ", x[i], ") on squeezed axis ", i, ", got ",
                     index);
      }
      continue;
    }
    const std::optional<int64_t> last = end_mask[i] != 0 ? std::nullopt : std::optional(end[i]);
    const int64_t extent = taken(x[i], first, last, stride[i]);
    if (extent == 0) {
      context.fail("expected a slice with elements on axis ", i, " of extent ", x[i],
                   ", got begin ", begin[i], ", end ", end[i], ", stride ", stride[i]);
    }
    shape.push_back(extent);
  }
  return shape;
}

} // namespace

std::vector<Type> slice_by_size(const InferenceContext& context) {
  const Type& x = context.type("x");
  const std::vector<int64_t> begin = per_axis(context, "begin", 0);
  std::vector<int64_t> size = per_axis(context, "size", 1);
  for (size_t i = 0; i < size.size(); ++i) {
    const int64_t first = begin[i] < 0 ? begin[i] + x.shape[i] : begin[i];
    if (size[i] == -1) size[i] = x.shape[i] - first;
    if (first < 0 || size[i] < 1 || first + size[i] > x.shape[i]) {
      context.fail("expected a slice inside x ", shape_to_string(x.shape), ", got begin ",
                   shape_to_string(begin), " and size ", shape_to_string(context.integers("size")));
    }
  }
  return {Type{x.dtype, std::move(size), {}}};
}

std::vector<Type> slice_by_index(const InferenceContext& context) {
  return {Type{context.type("x").dtype, sliced_shape(context), {}}};
}

std::vector<Type> slice_update(const InferenceContext& context) {
  const Shape expected = sliced_shape(context);
  const Shape& update = context.type("update").shape;
  if (update.empty() || update != expected) {
    context.fail("expected update of shape ", shape_to_string(expected),
                 " and rank 1 or more, got ", shape_to_string(update));
  }
  return {context.type("x")};
}

std::optional<Literal> unit_strides(const InferenceContext& context) {
  const auto rank = static_cast<int64_t>(context.type("x").shape.size());
  if (rank == 0) return std::nullopt;
  return Literal::fill({context.type("begin").dtype, {rank}, {}}, 1);
}

std::optional<Literal> unset_mask(const InferenceContext& context) {
  const auto rank = static_cast<int64_t>(context.type("x").shape.size());
  if (rank == 0) return std::nullopt;
  return Literal::fill({DataType::boolean, {rank}, {}}, 0);
}

} // namespace anet::mil::ops
