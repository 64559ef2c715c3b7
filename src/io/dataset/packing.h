// Bin packing of examples into rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace anet::io {

struct Packing {
  std::vector<uint32_t> items; // of row 0, of row 1, ...; ascending in each
  // First item of each row and, at the end, items.size(). Rows are sorted by their first item.
  std::vector<int64_t> row_begin;

  int64_t rows() const { return static_cast<int64_t>(row_begin.size()) - 1; }
};

// Best fit, longest first: each item goes into the row that it fills best, so short ones close the
// gaps of long ones. At most 11/9 of the least number of rows (and 2/3 more). Ties go by index, so
// the result is a function of the arguments. O(n log n). Lengths are from 1 to `capacity`.
Packing pack_best_fit(std::span<const int64_t> lengths, int64_t capacity);

} // namespace anet::io
