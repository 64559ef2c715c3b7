// Gradients of slice_by_size, slice_by_index and slice_update.
#include "mil/gradient/context.h"

#include <algorithm>

namespace anet::mil::gradient {

namespace {

// dy placed at `begin` in a tensor of x's shape, among zeros.
void add_placed(Context& c, ValueId dy, const std::vector<int64_t>& begin) {
  const Shape& x = c.shape("x");
  const Shape part = c.b.shape(dy);
  std::vector<int64_t> after;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    after.push_back(x[axis] - begin[axis] - part[axis]);
  }
  c.add("x", pad_or_crop(c.b, dy, begin, after));
}

void slice_by_size(Context& c) {
  std::vector<int64_t> begin = c.integers("begin", {});
  for (size_t axis = 0; axis < begin.size(); ++axis) {
    if (begin[axis] < 0) begin[axis] += c.shape("x")[axis];
  }
  add_placed(c, c.dy(), begin);
}

bool has_unit_strides(Context& c) {
  const std::vector<int64_t> strides = c.integers("stride", {});
  return std::all_of(strides.begin(), strides.end(), [](int64_t s) { return s == 1; });
}

// A slice of unit strides is placed by padding, any other by an update of zeros.
void slice_by_index(Context& c) {
  if (!has_unit_strides(c)) {
    std::vector<Builder::Input> arguments = c.other_arguments({"x"});
    arguments.emplace_back("x", zeros(c.b, c.type("x")));
    arguments.emplace_back("update", c.dy());
    return c.add("x", c.b.add("slice_update", arguments));
  }
  const Shape x = c.shape("x");
  const std::vector<int64_t> none(x.size(), 0);
  std::vector<int64_t> begin = c.integers("begin", {});
  const std::vector<int64_t> begin_mask = c.integers("begin_mask", none);
  const std::vector<int64_t> squeeze_mask = c.integers("squeeze_mask", none);
  Shape kept; // dy's shape with the squeezed axes back
  size_t next = 0;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    const bool squeezed = squeeze_mask[axis] != 0;
    if (begin_mask[axis] != 0 && !squeezed) begin[axis] = 0;
    if (begin[axis] < 0) begin[axis] = std::max<int64_t>(begin[axis] + x[axis], 0);
    kept.push_back(squeezed ? 1 : c.output_type().shape[next++]);
  }
  add_placed(c, reshape(c.b, c.dy(), kept), begin);
}

void slice_update(Context& c) {
  if (c.wanted("x")) {
    std::vector<Builder::Input> arguments = c.other_arguments({"x", "update"});
    arguments.emplace_back("x", c.dy());
    arguments.emplace_back("update", zeros(c.b, c.type("update")));
    c.add("x", c.b.add("slice_update", arguments));
  }
  if (c.wanted("update")) {
    std::vector<Builder::Input> arguments = c.other_arguments({"x", "update"});
    arguments.emplace_back("x", c.dy());
    c.add("update", c.b.add("slice_by_index", arguments));
  }
}

} // namespace

std::span<const RuleEntry> slice_rules() {
  static const RuleEntry entries[] = {
      {"slice_by_index", slice_by_index},
      {"slice_by_size", slice_by_size},
      {"slice_update", slice_update},
  };
  return entries;
}

} // namespace anet::mil::gradient
