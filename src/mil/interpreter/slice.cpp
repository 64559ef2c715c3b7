// slice_by_size, slice_by_index and slice_update.
#include "mil/interpreter/context.h"

#include <algorithm>

namespace anet::mil::interpreter {

namespace {

// A strided box in a tensor: element `i` of axis `a` lies at begin[a] + i * stride[a].
struct Box {
  std::vector<int64_t> begin;
  std::vector<int64_t> stride;
  Shape extents; // same rank as the sliced tensor; squeezed axes have extent 1
};

// `sliced` is the box's own shape, without the squeezed axes.
Box read_box(Context& c, const Shape& shape, const Shape& sliced) {
  const size_t rank = shape.size();
  const std::vector<int64_t> none(rank, 0);
  Box box;
  box.begin = c.integers("begin");
  box.stride = c.integers_or("stride", std::vector<int64_t>(rank, 1));
  const std::vector<int64_t> begin_mask = c.integers_or("begin_mask", none);
  const std::vector<int64_t> squeeze_mask = c.integers_or("squeeze_mask", none);
  size_t next = 0;
  for (size_t axis = 0; axis < rank; ++axis) {
    const bool squeezed = squeeze_mask[axis] != 0;
    const bool forward = box.stride[axis] > 0;
    int64_t& begin = box.begin[axis];
    if (begin_mask[axis] != 0 && !squeezed) begin = forward ? 0 : shape[axis] - 1;
    if (begin < 0) begin += shape[axis];
    begin = std::clamp<int64_t>(begin, 0, shape[axis] - 1);
    box.extents.push_back(squeezed ? 1 : sliced[next++]);
  }
  return box;
}

// Calls f(offset in the tensor) for each element of the box, in row-major order.
template <typename F>
void for_each_in_box(const Box& box, const Shape& shape, F&& f) {
  const std::vector<int64_t> strides = contiguous_strides(shape);
  for_each_index(box.extents, [&](const Shape& index) {
    int64_t offset = 0;
    for (size_t axis = 0; axis < index.size(); ++axis) {
      offset += (box.begin[axis] + index[axis] * box.stride[axis]) * strides[axis];
    }
    f(static_cast<size_t>(offset));
  });
}

void slice_by_index(Context& c) {
  const Tensor& x = c.tensor("x");
  Tensor& output = c.output();
  const Box box = read_box(c, x.type.shape, output.type.shape);
  size_t next = 0;
  for_each_in_box(box, x.type.shape,
                  [&](size_t offset) { output.values[next++] = x.values.at(offset); });
}

void slice_update(Context& c) {
  const Tensor& x = c.tensor("x");
  const Tensor& update = c.tensor("update");
  Tensor& output = c.output();
  output.values = x.values;
  const Box box = read_box(c, x.type.shape, update.type.shape);
  size_t next = 0;
  for_each_in_box(box, x.type.shape,
                  [&](size_t offset) { output.values.at(offset) = update.values[next++]; });
}

void slice_by_size(Context& c) {
  const Tensor& x = c.tensor("x");
  Tensor& output = c.output();
  Box box;
  box.begin = c.integers("begin");
  box.stride.assign(box.begin.size(), 1);
  box.extents = output.type.shape;
  for (size_t axis = 0; axis < box.begin.size(); ++axis) {
    int64_t& begin = box.begin[axis];
    if (begin < 0) begin += x.type.shape[axis];
    if (begin < 0 || begin + box.extents[axis] > x.type.shape[axis]) {
      fail(Status::out_of_range, "slice_by_size expects a box inside ",
           shape_to_string(x.type.shape), ", got begin ", begin, " on axis ", axis);
    }
  }
  size_t next = 0;
  for_each_in_box(box, x.type.shape,
                  [&](size_t offset) { output.values[next++] = x.values[offset]; });
}

} // namespace

std::span<const OpEntry> slice_ops() {
  static const OpEntry entries[] = {
      {"slice_by_index", slice_by_index},
      {"slice_by_size", slice_by_size},
      {"slice_update", slice_update},
  };
  return entries;
}

} // namespace anet::mil::interpreter
