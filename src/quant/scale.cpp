#include "quant/scale.h"

#include "base/float16.h"
#include "base/status.h"

#include <algorithm>
#include <array>
#include <bit>

namespace anet::quant {
namespace {

// Clipping the largest values makes the steps for all others finer.
constexpr std::array<float, 7> shares = {1.0f, 0.97f, 0.94f, 0.9f, 0.86f, 0.81f, 0.75f};
// Sums in so many parts, which compilers keep in registers.
constexpr size_t lanes = 16;

// The largest magnitude.
float check_finite(std::span<const float> values) {
  uint32_t largest = 0;
  for (const float value : values)
    largest = std::max(largest, std::bit_cast<uint32_t>(value) & 0x7fffffffu);
  const auto magnitude = std::bit_cast<float>(largest);
  if (largest >= 0x7f800000u)
    fail(Status::invalid_data, "expected finite values to compress, seen ", magnitude);
  return magnitude;
}

float round_to_code(float scaled, CodeRange range) {
  // In a sum with this number nothing is left behind the point: it rounds to nearest even.
  constexpr float rounder = 0x1.8p23f;
  const float clipped = std::min(std::max(scaled, range.lowest), range.highest);
  return (clipped + rounder) - rounder;
}

// The sum of term(value) over all values.
template <typename Term>
float sum_of(std::span<const float> values, Term term) {
  std::array<float, lanes> sums{};
  const size_t whole = values.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += term(values[i + lane]);
  float total = 0;
  for (const float sum : sums) total += sum;
  for (size_t i = whole; i < values.size(); ++i) total += term(values[i]);
  return total;
}

float squared_error(std::span<const float> values, float scale, CodeRange range) {
  const float inverse = 1.0f / scale;
  return sum_of(values, [=](float value) {
    const float difference = value - scale * round_to_code(value * inverse, range);
    return difference * difference;
  });
}

// The best scale for the codes that `scale` gives.
float least_squares(std::span<const float> values, float scale, CodeRange range) {
  const float inverse = 1.0f / scale;
  const float products =
      sum_of(values, [=](float value) { return value * round_to_code(value * inverse, range); });
  const float squares = sum_of(values, [=](float value) {
    const float code = round_to_code(value * inverse, range);
    return code * code;
  });
  return squares > 0 ? products / squares : scale;
}

// Of the scales tried, the one with the least squared error.
class ScaleSearch {
public:
  ScaleSearch(std::span<const float> values, CodeRange range) : values_(values), range_(range) {}

  void consider(float scale) {
    const uint16_t half = float_to_half(scale);
    const float rounded = half_to_float(half);
    if (rounded == 0 || half >= 0x7c00u) return; // under or over fp16's range
    const float error = squared_error(values_, rounded, range_);
    if (half_ != 0 && error >= error_) return;
    half_ = half;
    error_ = error;
  }
  uint16_t half() const { return half_; } // 0: none
  float scale() const { return half_to_float(half_); }

private:
  std::span<const float> values_;
  CodeRange range_;
  uint16_t half_ = 0;
  float error_ = 0;
};

} // namespace

uint16_t quantize_block(std::span<const float> values, CodeRange range, std::span<int8_t> codes) {
  const float largest = check_finite(values);
  ScaleSearch search(values, range);
  if (largest > 0) {
    const float full = largest / range.highest;
    if (full >= 65520.0f)
      fail(Status::out_of_range, "expected scales within fp16's range of 65504, seen ", full);
    for (const float share : shares) search.consider(full * share);
    if (search.half() != 0) search.consider(least_squares(values, search.scale(), range));
  }
  const float inverse = search.half() == 0 ? 0.0f : 1.0f / search.scale();
  for (size_t i = 0; i < values.size(); ++i)
    codes[i] = static_cast<int8_t>(round_to_code(values[i] * inverse, range));
  return search.half();
}

} // namespace anet::quant
