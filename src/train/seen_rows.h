// Which rows of a table were ever looked up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace anet::train {

class SeenRows {
public:
  explicit SeenRows(int64_t rows = 0) : seen_(static_cast<size_t>(rows)) {}

  bool empty() const { return seen_.empty(); }
  // `rows` are those of the table; without a table there is nothing to note.
  void add(std::span<const int32_t> rows) {
    if (empty()) return;
    for (const int32_t row : rows) seen_[static_cast<size_t>(row)] = 1;
  }
  void clear() { std::fill(seen_.begin(), seen_.end(), uint8_t{0}); }
  void add_all() { std::fill(seen_.begin(), seen_.end(), uint8_t{1}); }

  // Calls visit(begin, end, seen) for the longest runs of rows of [begin, end) that are alike.
  template <typename Visitor>
  void for_each_run(int64_t begin, int64_t end, Visitor&& visit) const {
    while (begin < end) {
      const auto first = seen_.begin() + begin;
      const auto other = std::find(first, seen_.begin() + end, static_cast<uint8_t>(1 - *first));
      const int64_t next = other - seen_.begin();
      visit(begin, next, *first != 0);
      begin = next;
    }
  }

private:
  std::vector<uint8_t> seen_; // bytes: one is written faster than a bit
};

} // namespace anet::train
