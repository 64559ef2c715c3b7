// Compiled with -ffp-contract=fast: the product of two fp16 values is exact in float, so a fused
// multiply-add gives the same bits as a multiplication and an addition.
#include "gemm.h"

#include "arithmetic.h"

#include <algorithm>

namespace emulator {

namespace {

constexpr int64_t columns = 16; // of a panel of b
constexpr int64_t rows = 6;
constexpr int64_t depth = 256; // of k that one pass over a panel takes

using Vector = float __attribute__((vector_size(32), aligned(4), may_alias));

// b[k0 .. k0+depth][n0 .. n0+16], zeros beyond n.
void pack(const Gemm& gemm, int64_t k0, int64_t k1, int64_t n0, float* panel) {
  const int64_t width = std::min(columns, gemm.n - n0);
  const float* source = gemm.b + k0 * gemm.b_row + n0 * gemm.b_column;
  for (int64_t k = k0; k < k1; ++k, source += gemm.b_row, panel += columns) {
    for (int64_t j = 0; j < width; ++j) panel[j] = source[j * gemm.b_column];
    for (int64_t j = width; j < columns; ++j) panel[j] = 0;
  }
}

// `count` rows of 16 results, added to what is there.
template <int64_t count>
[[gnu::always_inline]] inline void block(const Gemm& gemm, int64_t m0, int64_t n0, int64_t k0,
                                         int64_t k1, const float* panel) {
  Vector left[count];
  Vector right[count];
  for (int64_t i = 0; i < count; ++i) left[i] = right[i] = Vector{};
  alignas(64) float edge[count][columns];
  const int64_t width = std::min(columns, gemm.n - n0);
  if (k0 > 0) {
    for (int64_t i = 0; i < count; ++i) {
      const float* c = gemm.c + (m0 + i) * gemm.c_row + n0;
      for (int64_t j = 0; j < columns; ++j) edge[i][j] = j < width ? c[j] : 0;
      left[i] = *reinterpret_cast<const Vector*>(edge[i]);
      right[i] = *reinterpret_cast<const Vector*>(edge[i] + 8);
    }
  }
  const float* a = gemm.a + m0 * gemm.a_row + k0 * gemm.a_column;
  for (int64_t k = k0; k < k1; ++k, a += gemm.a_column, panel += columns) {
    const Vector b0 = *reinterpret_cast<const Vector*>(panel);
    const Vector b1 = *reinterpret_cast<const Vector*>(panel + 8);
    for (int64_t i = 0; i < count; ++i) {
      const float factor = a[i * gemm.a_row];
      left[i] += factor * b0;
      right[i] += factor * b1;
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    float* c = gemm.c + (m0 + i) * gemm.c_row + n0;
    *reinterpret_cast<Vector*>(edge[i]) = left[i];
    *reinterpret_cast<Vector*>(edge[i] + 8) = right[i];
    for (int64_t j = 0; j < width; ++j) c[j] = edge[i][j];
  }
}

EMULATOR_CLONES void panel_product(const Gemm& gemm, int64_t n0, int64_t k0, int64_t k1,
                                   const float* panel) {
  int64_t m = 0;
  for (; m + rows <= gemm.m; m += rows) block<rows>(gemm, m, n0, k0, k1, panel);
  for (; m < gemm.m; ++m) block<1>(gemm, m, n0, k0, k1, panel);
}

} // namespace

static_assert(panel_size == columns * depth);

void multiply(const Gemm& gemm, float* panel) {
  for (int64_t k0 = 0; k0 < gemm.k; k0 += depth) {
    const int64_t k1 = std::min(k0 + depth, gemm.k);
    for (int64_t n0 = 0; n0 < gemm.n; n0 += columns) {
      pack(gemm, k0, k1, n0, panel);
      panel_product(gemm, n0, k0, k1, panel);
    }
  }
}

void multiply_four_lane(const Gemm& gemm) {
  for (int64_t m = 0; m < gemm.m; ++m) {
    for (int64_t n = 0; n < gemm.n; ++n) {
      float sum = 0;
      for (int64_t k0 = 0; k0 < gemm.k; k0 += 4) {
        float lane = 0;
        for (int64_t k = k0; k < std::min(k0 + 4, gemm.k); ++k) {
          lane = round_half(lane + gemm.a[m * gemm.a_row + k * gemm.a_column] *
                                       gemm.b[k * gemm.b_row + n * gemm.b_column]);
        }
        sum += lane;
      }
      gemm.c[m * gemm.c_row + n] = sum;
    }
  }
}

EMULATOR_CLONES void finish_products(float* values, int64_t count, bool nan_rule,
                                     bool overflow_rule, bool flush) {
  const float limit = overflow_rule ? 32768.0f : INFINITY;
  const float least = flush ? 0x1p-14f : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    float value = round_half(values[i]);
    value = nan_rule && value != value ? 0.0f : value;
    value = value >= limit ? INFINITY : value;
    value = value <= -limit ? -INFINITY : value;
    values[i] = std::fabs(value) < least ? 0.0f : value;
  }
}

EMULATOR_CLONES void flush_denormals(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::fabs(from[i]) < 0x1p-14f ? 0.0f : from[i];
}

} // namespace emulator
