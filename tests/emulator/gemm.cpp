// The product of two fp16 values is exact in float, so a fused multiply-add gives the same bits as
// a multiplication and an addition: these files are compiled with -ffp-contract=fast.
#include "gemm.h"

#include "arithmetic.h"
#include "gemm_kernel.h"

#include <algorithm>

namespace emulator {

namespace {

constexpr int64_t depth = 256; // of k that one pass over a panel takes

// b[k0 .. k0+depth][n0 .. n0+16], zeros beyond n.
void pack(const Gemm& gemm, int64_t k0, int64_t k1, int64_t n0, float* panel) {
  const int64_t width = std::min(columns, gemm.n - n0);
  const float* source = gemm.b + k0 * gemm.b_row + n0 * gemm.b_column;
  for (int64_t k = k0; k < k1; ++k, source += gemm.b_row, panel += columns) {
    for (int64_t j = 0; j < width; ++j) panel[j] = source[j * gemm.b_column];
    for (int64_t j = width; j < columns; ++j) panel[j] = 0;
  }
}

} // namespace

static_assert(panel_size == columns * depth);

namespace {

void panel_product_here(const Gemm& gemm, int64_t n0, int64_t k0, int64_t k1, const float* panel) {
  panel_product(gemm, n0, k0, k1, panel);
}

using PanelProduct = void (*)(const Gemm&, int64_t, int64_t, int64_t, const float*);

PanelProduct best_panel_product() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return panel_product_avx2;
#endif
  return panel_product_here;
}

} // namespace

void multiply(const Gemm& gemm, float* panel) {
  static const PanelProduct product = best_panel_product();
  for (int64_t k0 = 0; k0 < gemm.k; k0 += depth) {
    const int64_t k1 = std::min(k0 + depth, gemm.k);
    for (int64_t n0 = 0; n0 < gemm.n; n0 += columns) {
      pack(gemm, k0, k1, n0, panel);
      product(gemm, n0, k0, k1, panel);
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
