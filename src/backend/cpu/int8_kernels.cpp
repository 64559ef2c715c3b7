#include "backend/cpu/int8_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/int8_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t rows_at_once = 6;
constexpr int64_t max_panel = 32; // two vectors of 16 lanes

#if HWY_TARGET == HWY_SCALAR
int64_t panel_size() { return 8; }

template <int64_t rows>
void sum_tile(const int16_t* x, int64_t pairs, const int16_t* weights, int32_t* sums) {
  std::fill_n(sums, rows * 8, 0);
  for (int64_t p = 0; p < pairs; ++p)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < 8; ++j)
        sums[r * 8 + j] += x[(r * pairs + p) * 2] * weights[(p * 8 + j) * 2] +
                           x[(r * pairs + p) * 2 + 1] * weights[(p * 8 + j) * 2 + 1];
}

void finish_row(const int32_t* sums, const float* scale, const float* bias, int64_t n, bool to_int8,
                std::byte* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = static_cast<float>(sums[i]) * scale[i] + bias[i];
    if (to_int8) {
      const float code = std::nearbyint(std::clamp(value, -128.0f, 127.0f));
      y[i] = static_cast<std::byte>(static_cast<int8_t>(code));
    } else {
      std::memcpy(y + i * 4, &value, 4);
    }
  }
}
#else
using Sums = hn::ScalableTag<int32_t>;
using Pairs = hn::Repartition<int16_t, Sums>;
using Floats = hn::RebindToFloat<Sums>;

HWY_INLINE int64_t lane_count() { return static_cast<int64_t>(hn::Lanes(Sums())); }
int64_t panel_size() { return 2 * lane_count(); }

// Sums of one row of x with a panel. On some instruction sets the second vector is in use too.
struct RowSums {
  hn::Vec<Sums> low, low_odd, high, high_odd;

  HWY_INLINE void add(const int16_t* x, hn::Vec<Pairs> w_low, hn::Vec<Pairs> w_high) {
    int32_t pair;
    std::memcpy(&pair, x, 4);
    const auto both = hn::BitCast(Pairs(), hn::Set(Sums(), pair));
    low = hn::ReorderWidenMulAccumulate(Sums(), w_low, both, low, low_odd);
    high = hn::ReorderWidenMulAccumulate(Sums(), w_high, both, high, high_odd);
  }
  HWY_INLINE void store(int32_t* sums) const {
    hn::StoreU(hn::RearrangeToOddPlusEven(low, low_odd), Sums(), sums);
    hn::StoreU(hn::RearrangeToOddPlusEven(high, high_odd), Sums(), sums + lane_count());
  }
};

// sums[row, panel] of `rows` rows of x, each `pairs` pairs long, with one panel. The rows have
// names because compilers keep arrays of vectors in memory.
template <int64_t rows>
void sum_tile(const int16_t* x, int64_t pairs, const int16_t* weights, int32_t* sums) {
  static_assert(rows_at_once == 6);
  const int64_t lanes = lane_count();
  const int64_t width = 2 * pairs;
  const auto zero = hn::Zero(Sums());
  RowSums r0{zero, zero, zero, zero}, r1 = r0, r2 = r0, r3 = r0, r4 = r0, r5 = r0;
  for (int64_t p = 0; p < pairs; ++p) {
    const auto w_low = hn::LoadU(Pairs(), weights + p * 4 * lanes);
    const auto w_high = hn::LoadU(Pairs(), weights + p * 4 * lanes + 2 * lanes);
    r0.add(x + 2 * p, w_low, w_high);
    if constexpr (rows > 1) r1.add(x + width + 2 * p, w_low, w_high);
    if constexpr (rows > 2) r2.add(x + 2 * width + 2 * p, w_low, w_high);
    if constexpr (rows > 3) r3.add(x + 3 * width + 2 * p, w_low, w_high);
    if constexpr (rows > 4) r4.add(x + 4 * width + 2 * p, w_low, w_high);
    if constexpr (rows > 5) r5.add(x + 5 * width + 2 * p, w_low, w_high);
  }
  r0.store(sums);
  if constexpr (rows > 1) r1.store(sums + 2 * lanes);
  if constexpr (rows > 2) r2.store(sums + 4 * lanes);
  if constexpr (rows > 3) r3.store(sums + 6 * lanes);
  if constexpr (rows > 4) r4.store(sums + 8 * lanes);
  if constexpr (rows > 5) r5.store(sums + 10 * lanes);
}

// n may be less than a panel; sums, scale and bias have all of it.
void finish_row(const int32_t* sums, const float* scale, const float* bias, int64_t n, bool to_int8,
                std::byte* y) {
  const Floats d;
  const int64_t lanes = lane_count();
  float values[max_panel];
  int8_t codes[max_panel];
  for (int64_t i = 0; i < 2 * lanes; i += lanes) {
    const auto sum = hn::ConvertTo(d, hn::LoadU(Sums(), sums + i));
    const auto value = hn::MulAdd(sum, hn::LoadU(d, scale + i), hn::LoadU(d, bias + i));
    if (to_int8) {
      const auto kept = hn::Min(hn::Max(value, hn::Set(d, -128.0f)), hn::Set(d, 127.0f));
      const hn::Rebind<int8_t, Sums> d8;
      hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(kept)), d8, codes + i);
    } else {
      hn::StoreU(value, d, values + i);
    }
  }
  if (to_int8) {
    std::memcpy(y, codes, static_cast<size_t>(n));
  } else {
    std::memcpy(y, values, static_cast<size_t>(n) * 4);
  }
}
#endif

template <int64_t rows>
void multiply_rows(const PackedInt8& weights, const Int8Epilogue& epilogue, const int16_t* x,
                   int64_t panel, std::byte* y, int64_t row_bytes) {
  alignas(64) int32_t sums[rows_at_once * max_panel];
  const int64_t pairs = weights.pairs(), size = weights.panel;
  sum_tile<rows>(x, pairs, weights.codes.data() + panel * pairs * size * 2, sums);
  const int64_t first = panel * size;
  const int64_t n = std::min(size, weights.outputs - first);
  const int64_t offset = first * (epilogue.to_int8 ? 1 : 4);
  for (int64_t r = 0; r < rows; ++r)
    finish_row(sums + r * size, epilogue.scale.data() + first, epilogue.bias.data() + first, n,
               epilogue.to_int8, y + r * row_bytes + offset);
}

using MultiplyRows = void (*)(const PackedInt8&, const Int8Epilogue&, const int16_t*, int64_t,
                              std::byte*, int64_t);

// `count` widened rows with every panel; a panel stays in the cache for all of them.
void multiply_block(const PackedInt8& weights, const Int8Epilogue& epilogue, const int16_t* x,
                    int64_t count, std::byte* y) {
  static constexpr MultiplyRows by_rows[rows_at_once] = {multiply_rows<1>, multiply_rows<2>,
                                                         multiply_rows<3>, multiply_rows<4>,
                                                         multiply_rows<5>, multiply_rows<6>};
  const int64_t row_bytes = weights.outputs * (epilogue.to_int8 ? 1 : 4);
  for (int64_t panel = 0; panel < weights.panels(); ++panel) {
    for (int64_t row = 0; row < count; row += rows_at_once) {
      const int64_t rows = std::min(rows_at_once, count - row);
      by_rows[rows - 1](weights, epilogue, x + row * weights.pairs() * 2, panel,
                        y + row * row_bytes, row_bytes);
    }
  }
}

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(panel_size);
HWY_EXPORT(multiply_block);

constexpr int64_t rows_in_block = 48;

} // namespace

PackedInt8 pack_int8(const int8_t* weights, int64_t outputs, int64_t depth) {
  PackedInt8 packed;
  packed.outputs = outputs;
  packed.depth = depth;
  packed.panel = HWY_DYNAMIC_DISPATCH(panel_size)();
  const int64_t pairs = packed.pairs();
  packed.codes.resize(static_cast<size_t>(packed.panels() * pairs * packed.panel * 2));
  for (int64_t i = 0; i < outputs; ++i) {
    int16_t* const lane =
        packed.codes.data() + (i / packed.panel * pairs * packed.panel + i % packed.panel) * 2;
    for (int64_t k = 0; k < depth; ++k)
      lane[k / 2 * packed.panel * 2 + k % 2] = int16_t{weights[i * depth + k]};
  }
  return packed;
}

int64_t int8_scratch(const PackedInt8& weights) { return rows_in_block * weights.pairs() * 2; }

void multiply_int8(const PackedInt8& weights, const Int8Epilogue& epilogue, const int8_t* x,
                   int64_t rows, int64_t leading, std::byte* y, int16_t* scratch) {
  const int64_t width = weights.pairs() * 2;
  const int64_t row_bytes = weights.outputs * (epilogue.to_int8 ? 1 : 4);
  for (int64_t first = 0; first < rows; first += rows_in_block) {
    const int64_t count = std::min(rows_in_block, rows - first);
    for (int64_t i = 0; i < count; ++i) {
      int16_t* const wide = scratch + i * width;
      std::copy_n(x + (first + i) * leading, weights.depth, wide);
      if (width != weights.depth) wide[weights.depth] = 0;
    }
    HWY_DYNAMIC_DISPATCH(multiply_block)
    (weights, epilogue, scratch, count, y + first * row_bytes);
  }
}

} // namespace anet::backend::cpu
#endif
