// Slices, split and slice_update.
//
// Slices along the width that do not begin at 0 turn magnitudes above 4094 into infinities on M1
// and M2 (ane-facts.md 6, R), and elsewhere none along the width may compile (4.4, R). There the
// width is sliced as a height, between two transposes.
#include "backend/ane/lowering.h"

#include <algorithm>

namespace anet::backend::ane {

namespace {

// Elements begin, begin + stride, ... of one axis.
struct Range {
  int64_t begin = 0;
  int64_t count = 1;
  int64_t stride = 1;
};

ValueId cut(Lowering& l, ValueId x, size_t slot, const Range& range) {
  const Shape& shape = l.b.shape(x);
  if (range.begin == 0 && range.count == shape[slot]) return x;
  const bool inexact = range.begin > 0 && l.rules.clamps_width_slices;
  if (slot == width_slot && (inexact || !l.rules.slices_width)) {
    return l.swap_matrix_axes(cut(l, l.swap_matrix_axes(x), height_slot, range));
  }
  std::vector<int64_t> begin(4, 0);
  std::vector<int64_t> size = shape;
  begin[slot] = range.begin;
  size[slot] = range.count;
  if (range.stride == 1) return l.b.slice_by_size(x, begin, size);
  std::vector<int64_t> end = shape;
  std::vector<int64_t> stride(4, 1);
  end[slot] = range.begin + (range.count - 1) * range.stride + 1;
  stride[slot] = range.stride;
  return l.b.add("slice_by_index", {{"x", x},
                                    {"begin", l.b.constant(Literal::int32s(begin))},
                                    {"end", l.b.constant(Literal::int32s(end))},
                                    {"stride", l.b.constant(Literal::int32s(stride))}});
}

// One slot after the other.
ValueId cut_axes(Lowering& l, ValueId value, const std::vector<Range>& ranges) {
  const Shape& shape = l.source.type(value).shape;
  std::vector<size_t> own;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (ranges[axis].count != shape[axis]) own.push_back(axis);
  }
  const Frame frame = l.frame(shape, {}, own);
  ValueId x = l.read(value, frame.extents(shape));
  for (size_t axis : own) x = cut(l, x, frame.slot_of(axis), ranges[axis]);
  return x;
}

void slice_by_size(Lowering& l) {
  const Shape& shape = l.shape("x");
  const std::vector<int64_t> begin = l.integers("begin");
  std::vector<Range> ranges;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const int64_t first = begin[axis] < 0 ? begin[axis] + shape[axis] : begin[axis];
    ranges.push_back({first, l.output_shape()[axis], 1});
  }
  l.write(cut_axes(l, l.input("x"), ranges));
}

// The ranges of begin, end, stride and their masks, as Python reads them.
std::vector<Range> indexed_ranges(Lowering& l, const Shape& shape) {
  const std::vector<int64_t> begin = l.integers("begin");
  const std::vector<int64_t> end = l.integers("end");
  const std::vector<int64_t> stride = l.integers("stride");
  const std::vector<int64_t> begin_mask = l.integers("begin_mask");
  const std::vector<int64_t> end_mask = l.integers("end_mask");
  const std::vector<int64_t> squeeze_mask = l.integers("squeeze_mask");
  std::vector<Range> ranges;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const int64_t extent = shape[axis];
    const auto bound = [&](int64_t value) {
      return std::clamp<int64_t>(value < 0 ? value + extent : value, 0, extent);
    };
    const int64_t first = begin_mask[axis] != 0 ? 0 : bound(begin[axis]);
    if (squeeze_mask[axis] != 0) {
      ranges.push_back({first, 1, 1});
      continue;
    }
    if (stride[axis] < 0) l.refuse("expected strides above 0, seen ", stride[axis]);
    const int64_t last = end_mask[axis] != 0 ? extent : bound(end[axis]);
    const int64_t count = (last - first + stride[axis] - 1) / stride[axis];
    ranges.push_back({first, count, count == 1 ? 1 : stride[axis]});
  }
  return ranges;
}

void slice_by_index(Lowering& l) {
  l.write(cut_axes(l, l.input("x"), indexed_ranges(l, l.shape("x"))));
}

void split(Lowering& l) {
  const Shape& shape = l.shape("x");
  const size_t axis = l.axis("axis", shape.size());
  std::vector<Range> ranges;
  for (int64_t extent : shape) ranges.push_back({0, extent, 1});
  int64_t begin = 0;
  for (ValueId part : l.op().outputs) {
    const int64_t count = l.source.type(part).shape[axis];
    ranges[axis] = {begin, count, 1};
    l.write(part, cut_axes(l, l.input("x"), ranges));
    begin += count;
  }
}

// What is before the update, the update, what is behind it, joined axis by axis from the inside.
ValueId updated(Lowering& l, ValueId x, ValueId update, const Frame& frame,
                std::span<const size_t> axes, const std::vector<Range>& ranges) {
  if (axes.empty()) return update;
  const size_t slot = frame.slot_of(axes.front());
  const Range& range = ranges[axes.front()];
  const int64_t end = range.begin + range.count;
  const int64_t extent = l.b.shape(x)[slot];
  const ValueId inside = cut(l, x, slot, range);
  std::vector<ValueId> parts{updated(l, inside, update, frame, axes.subspan(1), ranges)};
  if (range.begin > 0) parts.insert(parts.begin(), cut(l, x, slot, {0, range.begin, 1}));
  if (end < extent) parts.push_back(cut(l, x, slot, {end, extent - end, 1}));
  return join(l, parts, slot);
}

void slice_update(Lowering& l) {
  if (!l.rules.has_concat) l.refuse("it is written with concat, which this engine has not");
  const Shape& shape = l.shape("x");
  const std::vector<Range> ranges = indexed_ranges(l, shape);
  std::vector<size_t> own;
  Shape inside = shape;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (ranges[axis].stride != 1) l.refuse("expected strides of 1, seen ", ranges[axis].stride);
    if (ranges[axis].count != shape[axis]) own.push_back(axis);
    inside[axis] = ranges[axis].count;
  }
  const Frame frame = l.frame(shape, {}, own);
  const ValueId x = l.read(l.input("x"), frame.extents(shape));
  const ValueId update = l.read(l.input("update"), frame.extents(inside));
  l.write(updated(l, x, update, frame, own, ranges));
}

} // namespace

ValueId slice_along(Lowering& l, ValueId value, size_t slot, int64_t begin, int64_t count) {
  return cut(l, value, slot, {begin, count, 1});
}

std::span<const OpEntry> slice_lowerings() {
  static const OpEntry entries[] = {
      {"slice_by_index", slice_by_index},
      {"slice_by_size", slice_by_size},
      {"slice_update", slice_update},
      {"split", split},
  };
  return entries;
}

} // namespace anet::backend::ane
