// Copies between strided arrays of up to eight axes; extents of 1 and joined axes are dropped.
#pragma once

#include "syntax.h"

#include <cstdint>
#include <vector>

namespace emulator {

struct StridedCopy {
  std::vector<int64_t> extents;
  std::vector<int64_t> from; // strides in elements; 0 repeats
  std::vector<int64_t> to;
  int64_t from_offset = 0;
  int64_t to_offset = 0;

  void simplify();
  void run(const float* source, float* target) const;
};

// Strides of a dense array.
std::vector<int64_t> dense_strides(const Shape& shape);
// Strides that read `shape` as `result`: 0 along broadcast axes.
std::vector<int64_t> broadcast_strides(const Shape& shape, const Shape& result);

// Three nested extents around `axes` of `shape`, when these are neighbours: what is before, the
// axes, what is after.
struct AxisRange {
  int64_t outer = 1;
  int64_t length = 1;
  int64_t inner = 1;
};
std::optional<AxisRange> axis_range(const Shape& shape, const std::vector<size_t>& axes);

} // namespace emulator
