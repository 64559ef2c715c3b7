#include "train/folded_norm.h"

#include "backend/tensor_copy.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace anet::train {

namespace {

using backend::Layout;
using mil::DataType;

constexpr float largest_half = 65504;
constexpr float least_normal_half = 0x1p-14f;
// One of so many values may become too small.
constexpr size_t lost_of = 128;
// Either way: beyond, what the norm returns or its gradient would leave fp16's range in its turn.
constexpr int largest_exponent = 6;

} // namespace

std::optional<double> norm_factor(std::span<const float> weight,
                                  const std::function<bool(double)>& holds) {
  double sum = 0;
  for (const float value : weight) sum += std::abs(value);
  const double mean = sum / static_cast<double>(weight.size());
  const double exponent = std::isnormal(mean) ? std::round(std::log2(mean)) : 0;
  const int last =
      static_cast<int>(std::clamp<double>(exponent, -largest_exponent, largest_exponent));
  for (int distance = 0; distance <= std::abs(last); ++distance) {
    const double factor = std::ldexp(1.0, last < 0 ? -distance : distance);
    if (holds(factor)) return factor;
  }
  return std::nullopt;
}

std::vector<float> column_factors(std::span<const float> weight, double factor) {
  const auto inverse = static_cast<float>(1 / factor); // exact, of a power of two
  std::vector<float> columns(weight.begin(), weight.end());
  for (float& value : columns) value *= inverse;
  return columns;
}

bool fp16_holds(std::span<const float> matrix, std::span<const float> columns) {
  size_t lost = 0;
  for (size_t begin = 0; begin < matrix.size(); begin += columns.size()) {
    const std::span<const float> row = matrix.subspan(begin, columns.size());
    int32_t too_large = 0, too_small = 0; // counted in vectors
    for (size_t i = 0; i < row.size(); ++i) {
      const float before = std::abs(row[i]), after = std::abs(row[i] * columns[i]);
      too_large += after <= largest_half ? 0 : 1; // NaN, too
      too_small += after < least_normal_half && before >= least_normal_half ? 1 : 0;
    }
    if (too_large > 0) return false;
    lost += static_cast<size_t>(too_small);
  }
  return lost <= matrix.size() / lost_of;
}

mil::Bytes fp16_with_columns(std::span<const float> matrix, std::span<const float> columns) {
  const auto width = static_cast<int64_t>(columns.size());
  const backend::TensorCopy narrow(Layout::contiguous(DataType::fp32, {width}),
                                   Layout::contiguous(DataType::fp16, {width}));
  std::vector<std::byte> bytes(matrix.size() * 2);
  std::vector<float> row(columns.size());
  for (size_t begin = 0; begin < matrix.size(); begin += row.size()) {
    for (size_t i = 0; i < row.size(); ++i) row[i] = matrix[begin + i] * columns[i];
    narrow.run(reinterpret_cast<const std::byte*>(row.data()), bytes.data() + begin * 2, nullptr);
  }
  return mil::Bytes(std::move(bytes));
}

} // namespace anet::train
