#include "io/dataset/packing.h"

#include "base/status.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace anet::io {
namespace {

constexpr uint32_t no_row = std::numeric_limits<uint32_t>::max();

struct Assignment {
  std::vector<uint32_t> bin_of; // for each item
  uint32_t bins = 0;
};

Assignment assign_bins(std::span<const int64_t> lengths, int64_t capacity) {
  std::vector<uint32_t> order(lengths.size());
  std::iota(order.begin(), order.end(), uint32_t{0});
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return lengths[a] != lengths[b] ? lengths[a] > lengths[b] : a < b;
  });
  Assignment result{std::vector<uint32_t>(lengths.size()), 0};
  std::map<int64_t, std::vector<uint32_t>> open; // bins by the space they have left
  for (const uint32_t item : order) {
    const int64_t length = lengths[item];
    uint32_t bin = result.bins;
    int64_t left = capacity;
    if (const auto best = open.lower_bound(length); best != open.end()) {
      left = best->first;
      bin = best->second.back();
      best->second.pop_back();
      if (best->second.empty()) open.erase(best);
    } else {
      ++result.bins;
    }
    result.bin_of[item] = bin;
    if (left > length) open[left - length].push_back(bin);
  }
  return result;
}

} // namespace

Packing pack_best_fit(std::span<const int64_t> lengths, int64_t capacity) {
  if (lengths.size() >= no_row)
    fail(Status::unsupported, "expected fewer than ", no_row, " examples to pack, seen ",
         lengths.size());
  for (const int64_t length : lengths)
    if (length < 1 || length > capacity)
      fail(Status::invalid_argument, "expected lengths from 1 to ", capacity, ", seen ", length);
  const Assignment assignment = assign_bins(lengths, capacity);

  // Bins become rows in the order in which the items meet them.
  std::vector<uint32_t> row_of(assignment.bins, no_row);
  std::vector<int64_t> sizes;
  for (const uint32_t bin : assignment.bin_of) {
    if (row_of[bin] == no_row) {
      row_of[bin] = static_cast<uint32_t>(sizes.size());
      sizes.push_back(0);
    }
    ++sizes[row_of[bin]];
  }
  Packing result;
  result.row_begin.assign(1, 0);
  std::inclusive_scan(sizes.begin(), sizes.end(), std::back_inserter(result.row_begin));
  result.items.resize(lengths.size());
  std::vector<int64_t> next(result.row_begin.begin(), result.row_begin.end() - 1);
  for (uint32_t item = 0; item < lengths.size(); ++item) {
    const uint32_t row = row_of[assignment.bin_of[item]];
    result.items[static_cast<size_t>(next[row]++)] = item;
  }
  return result;
}

} // namespace anet::io
