// Gradients of ops that move elements by position.
#include "mil/gradient/context.h"

#include <algorithm>

namespace anet::mil::gradient {

namespace {

void view(Context& c) { c.add("x", reshape(c.b, c.dy(), c.shape("x"))); }

void transpose(Context& c) {
  const std::vector<int64_t> perm = c.integers("perm", {});
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    const int64_t axis = perm[i] < 0 ? perm[i] + std::ssize(perm) : perm[i];
    inverse[static_cast<size_t>(axis)] = static_cast<int64_t>(i);
  }
  c.add("x", c.b.transpose(c.dy(), inverse));
}

// Elements [begin, begin + size) along one axis.
ValueId slice_axis(Builder& b, ValueId x, int64_t axis, int64_t begin, int64_t size) {
  Shape extents = b.shape(x);
  std::vector<int64_t> start(extents.size(), 0);
  start[static_cast<size_t>(axis)] = begin;
  extents[static_cast<size_t>(axis)] = size;
  return b.slice_by_size(x, start, extents);
}

// Every `stride`-th element along one axis, from `begin`.
ValueId stride_axis(Builder& b, ValueId x, int64_t axis, int64_t begin, int64_t stride) {
  const Shape& shape = b.shape(x);
  std::vector<int64_t> start(shape.size(), 0);
  std::vector<int64_t> end(shape.begin(), shape.end());
  std::vector<int64_t> strides(shape.size(), 1);
  start[static_cast<size_t>(axis)] = begin;
  strides[static_cast<size_t>(axis)] = stride;
  return b.add("slice_by_index", {{"x", x},
                                  {"begin", integers(b, start)},
                                  {"end", integers(b, end)},
                                  {"stride", integers(b, strides)}});
}

void concat(Context& c) {
  const std::span<const ValueId> values = c.inputs("values");
  const int64_t axis = c.axis("axis", std::ssize(c.output_type().shape), 0);
  const bool interleave = c.boolean("interleave");
  int64_t begin = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t size = c.b.shape(values[i])[static_cast<size_t>(axis)];
    if (c.wanted(values[i])) {
      c.add(values[i],
            interleave ? stride_axis(c.b, c.dy(), axis, static_cast<int64_t>(i), std::ssize(values))
                       : slice_axis(c.b, c.dy(), axis, begin, size));
    }
    begin += size;
  }
}

void stack(Context& c) {
  const std::span<const ValueId> values = c.inputs("values");
  const int64_t axis = c.axis("axis", std::ssize(c.output_type().shape), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!c.wanted(values[i])) continue;
    const ValueId part = slice_axis(c.b, c.dy(), axis, static_cast<int64_t>(i), 1);
    c.add(values[i], reshape(c.b, part, c.b.shape(values[i])));
  }
}

// Outputs that nothing depends on have zero gradients.
void split(Context& c) {
  std::vector<ValueId> parts;
  for (size_t i = 0; i < c.op().outputs.size(); ++i) {
    parts.push_back(c.dy(i) != no_value ? c.dy(i) : zeros(c.b, c.output_type(i)));
  }
  c.add("x", c.b.concat(parts, c.axis("axis", std::ssize(c.shape("x")), 0)));
}

// [.., r d, ..] as [outer, r, d inner] and summed over r, one axis after the other.
void tile(Context& c) {
  const std::vector<int64_t> reps = c.integers("reps", {});
  Shape shape = c.output_type().shape;
  ValueId dy = c.dy();
  for (size_t axis = 0; axis < reps.size(); ++axis) {
    if (reps[axis] == 1) continue;
    int64_t outer = 1;
    for (size_t i = 0; i < axis; ++i) outer *= shape[i];
    shape[axis] /= reps[axis];
    const int64_t inner = element_count(shape) / outer;
    dy = c.b.reduce("reduce_sum", reshape(c.b, dy, {outer, reps[axis], inner}), {1}, true);
  }
  c.add("x", reshape(c.b, dy, c.shape("x")));
}

void reverse(Context& c) {
  std::vector<Builder::Input> arguments = c.other_arguments({"x"});
  arguments.emplace_back("x", c.dy());
  c.add("x", c.b.add("reverse", arguments));
}

// `part` placed at `begin` along one axis of extent `extent`, among zeros.
ValueId place(Builder& b, ValueId part, int64_t axis, int64_t begin, int64_t extent) {
  std::vector<int64_t> before(b.shape(part).size(), 0);
  std::vector<int64_t> after(b.shape(part).size(), 0);
  const auto at = static_cast<size_t>(axis);
  before[at] = begin;
  after[at] = extent - begin - b.shape(part)[at];
  return pad_or_crop(b, part, before, after);
}

// One axis of a pad undone: the elements in the middle, and what the two edges copied from where
// it came from.
ValueId unpad_axis(Builder& b, ValueId dy, int64_t axis, int64_t before, int64_t after,
                   const std::string& mode) {
  const int64_t extent = b.shape(dy)[static_cast<size_t>(axis)] - before - after;
  ValueId sum = slice_axis(b, dy, axis, before, extent);
  const auto add_edge = [&](int64_t begin, int64_t size, int64_t reflected, int64_t edge) {
    if (size == 0) return;
    ValueId part = slice_axis(b, dy, axis, begin, size);
    if (mode == "reflect") {
      part = b.add("reverse", {{"x", part}, {"axes", integers(b, {axis})}});
      sum = b.add(sum, place(b, part, axis, reflected, extent));
    } else {
      part = b.reduce("reduce_sum", part, {axis}, true);
      sum = b.add(sum, place(b, part, axis, edge, extent));
    }
  };
  if (mode == "constant") return sum;
  add_edge(0, before, 1, 0);
  add_edge(before + extent, after, extent - 1 - after, extent - 1);
  return sum;
}

void pad(Context& c) {
  const std::vector<int64_t> amounts = c.integers("pad", {});
  const std::string mode = c.string("mode", "constant");
  const int64_t skipped = std::ssize(c.shape("x")) - std::ssize(amounts) / 2;
  ValueId dy = c.dy();
  for (size_t i = 0; i < amounts.size(); i += 2) {
    if (amounts[i] == 0 && amounts[i + 1] == 0) continue;
    dy = unpad_axis(c.b, dy, skipped + static_cast<int64_t>(i) / 2, amounts[i], amounts[i + 1],
                    mode);
  }
  c.add("x", dy);
}

} // namespace

std::span<const RuleEntry> shape_rules() {
  static const RuleEntry entries[] = {
      {"concat", concat},   {"expand_dims", view},    {"pad", pad},      {"reshape", view},
      {"reverse", reverse}, {"split", split},         {"squeeze", view}, {"stack", stack},
      {"tile", tile},       {"transpose", transpose},
  };
  return entries;
}

} // namespace anet::mil::gradient
