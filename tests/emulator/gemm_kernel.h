// The inner loops of multiply(), compiled once for each kind of processor: gemm.cpp and
// gemm_avx2.cpp. No function of another header is used here, as the linker would keep one copy for
// both.
#pragma once

#include "gemm.h"

namespace emulator {

namespace {

constexpr int64_t columns = 16; // of a panel of b
constexpr int64_t rows = 6;

using Vector = float __attribute__((vector_size(32), aligned(4), may_alias));

// `count` rows of 16 results, added to what is there.
template <int64_t count>
[[gnu::always_inline]] inline void block(const Gemm& gemm, int64_t m0, int64_t n0, int64_t k0,
                                         int64_t k1, const float* panel) {
  Vector left[count];
  Vector right[count];
  for (int64_t i = 0; i < count; ++i) left[i] = right[i] = Vector{};
  alignas(64) float edge[count][columns];
  const int64_t width = gemm.n - n0 < columns ? gemm.n - n0 : columns;
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

inline void panel_product(const Gemm& gemm, int64_t n0, int64_t k0, int64_t k1,
                          const float* panel) {
  int64_t m = 0;
  for (; m + rows <= gemm.m; m += rows) block<rows>(gemm, m, n0, k0, k1, panel);
  for (; m < gemm.m; ++m) block<1>(gemm, m, n0, k0, k1, panel);
}

} // namespace

} // namespace emulator
