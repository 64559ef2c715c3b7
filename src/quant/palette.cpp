#include "quant/palette.h"

#include "base/float16.h"
#include "base/status.h"

#include <algorithm>
#include <cmath>

namespace anet::quant {
namespace {

constexpr size_t entries = 16;
constexpr int max_rounds = 40;
constexpr size_t max_steps = 256; // between the quantiles that the first centers come from
// Of larger groups so many, evenly spaced: more would not move the means.
constexpr size_t max_sample = size_t{1} << 18;

} // namespace

void PaletteFitter::sort_sample(std::span<const float> values) {
  sorted_.clear();
  const size_t stride = (values.size() + max_sample - 1) / max_sample;
  for (size_t i = 0; i < values.size(); i += stride) sorted_.push_back(values[i]);
  if (stride > 1) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    sorted_.push_back(*least);
    sorted_.push_back(*most);
  }
  std::sort(sorted_.begin(), sorted_.end());
}

// Where the optimal quantizer of many levels has them: as dense as the cube root of the values'
// density (Panter and Dite 1951). Between neighbouring quantiles, a step apart, that integrates to
// the step's power of 2/3.
std::array<float, entries> PaletteFitter::first_centers() const {
  const size_t steps = std::min(max_steps, sorted_.size() - 1);
  const auto quantile = [&](size_t i) { return sorted_[i * (sorted_.size() - 1) / steps]; };
  std::vector<double> sums(1, 0.0);
  for (size_t i = 0; i < steps; ++i) {
    const double root = std::cbrt(double{quantile(i + 1)} - quantile(i));
    sums.push_back(sums.back() + root * root);
  }
  std::array<float, entries> centers{};
  size_t at = 0;
  for (size_t i = 0; i < entries; ++i) {
    const double sum = (static_cast<double>(i) + 0.5) / entries * sums.back();
    while (at + 1 < steps && sums[at + 1] < sum) ++at;
    const double share = (sum - sums[at]) / (sums[at + 1] - sums[at]);
    centers[i] = static_cast<float>(quantile(at) + std::clamp(share, 0.0, 1.0) *
                                                       (double{quantile(at + 1)} - quantile(at)));
  }
  return centers;
}

// Lloyd's rounds until no value changes its cluster.
std::array<float, entries> PaletteFitter::cluster() const {
  std::array<float, entries> centers = first_centers();
  std::array<size_t, entries + 1> ends{};
  for (int round = 0; round < max_rounds; ++round) {
    std::array<size_t, entries + 1> next{};
    next[entries] = sorted_.size();
    for (size_t i = 1; i < entries; ++i) {
      const float middle = 0.5f * centers[i - 1] + 0.5f * centers[i];
      next[i] = static_cast<size_t>(std::upper_bound(sorted_.begin(), sorted_.end(), middle) -
                                    sorted_.begin());
    }
    if (next == ends) break;
    ends = next;
    for (size_t i = 0; i < entries; ++i) {
      const size_t count = ends[i + 1] - ends[i];
      if (count == 0) continue; // nobody is nearest: it stays where it is
      centers[i] =
          static_cast<float>((sums_[ends[i + 1]] - sums_[ends[i]]) / static_cast<double>(count));
    }
  }
  return centers;
}

Palette PaletteFitter::fit(std::span<const float> values) {
  for (const float value : values)
    if (!std::isfinite(value))
      fail(Status::invalid_data, "expected finite values to compress, seen ", value);
  sort_sample(values);
  std::array<float, entries> centers{};
  std::vector<float> distinct;
  for (const float value : sorted_) {
    if (!distinct.empty() && distinct.back() == value) continue;
    distinct.push_back(value);
    if (distinct.size() > entries) break;
  }
  if (distinct.size() <= entries) {
    for (size_t i = 0; i < entries; ++i) centers[i] = distinct[std::min(i, distinct.size() - 1)];
  } else {
    sums_.assign(1, 0.0);
    for (const float value : sorted_) sums_.push_back(sums_.back() + value);
    centers = cluster();
  }
  Palette palette;
  for (size_t i = 0; i < entries; ++i) {
    palette.halves[i] = float_to_half(centers[i]);
    palette.values[i] = half_to_float(palette.halves[i]);
    if (!std::isfinite(palette.values[i]))
      fail(Status::out_of_range, "expected values within fp16's range of 65504, seen ", centers[i]);
  }
  return palette;
}

void nearest_entries(const Palette& palette, std::span<const float> values,
                     std::span<int8_t> codes) {
  std::fill(codes.begin(), codes.end(), int8_t{0});
  for (size_t i = 1; i < entries; ++i) {
    const float middle = 0.5f * palette.values[i - 1] + 0.5f * palette.values[i];
    for (size_t j = 0; j < values.size(); ++j)
      codes[j] = static_cast<int8_t>(codes[j] + (values[j] > middle ? 1 : 0));
  }
}

} // namespace anet::quant
