// Sixteen values that stand for many.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace anet::quant {

struct Palette {
  std::array<uint16_t, 16> halves{}; // fp16
  std::array<float, 16> values{};    // the same, ascending
};

// k-means in one dimension: on sorted values each cluster is a range, and prefix sums give its mean
// at once. Keeps its memory for the next group.
class PaletteFitter {
public:
  // Up to 16 different values are kept as they are, but for rounding to fp16. Throws invalid_data
  // for values that are not finite, out_of_range for those that fp16 cannot hold.
  Palette fit(std::span<const float> values);

private:
  void sort_sample(std::span<const float> values);
  std::array<float, 16> first_centers() const;
  std::array<float, 16> cluster() const;

  std::vector<float> sorted_;
  std::vector<double> sums_; // of all before
};

// The index of the nearest value, one a byte; the lower one of two equally near.
void nearest_entries(const Palette& palette, std::span<const float> values,
                     std::span<int8_t> codes);

} // namespace anet::quant
