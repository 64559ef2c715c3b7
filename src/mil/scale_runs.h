// The runs of a row's columns that share a scale. Apart from compressed_weight.h and inline, so
// that a device's kernels walk the blocks as the plain ones do.
#pragma once

#include "base/float16.h"
#include "mil/compressed_weight.h"

#include <algorithm>
#include <cstring>

namespace anet::mil {

inline float half_at(const std::byte* halves, int64_t index) {
  uint16_t half;
  std::memcpy(&half, halves + index * 2, 2);
  return half_to_float(half);
}

// while (runs.next()): columns [first(), first() + count()) have scale(). A block may begin before
// the row's first column.
class ScaleRuns {
public:
  explicit ScaleRuns(const CompressedRow& row)
      : row_(row), block_(row.first_column / row.block_size - 1),
        end_((block_ + 1) * row.block_size - row.first_column) {}

  bool next() {
    first_ = last_;
    if (first_ >= row_.columns) return false;
    ++block_;
    end_ += row_.block_size;
    last_ = std::min(end_, row_.columns);
    return true;
  }
  int64_t first() const { return first_; }
  int64_t count() const { return last_ - first_; }
  float scale() const { return half_at(row_.scales, block_); }

private:
  const CompressedRow& row_;
  int64_t block_; // of the scales
  int64_t end_;   // of the block, in columns of the row
  int64_t first_ = 0;
  int64_t last_ = 0;
};

} // namespace anet::mil
