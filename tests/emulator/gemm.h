// Products of matrices of fp16 values, accumulated in float.
#pragma once

#include <cstdint>

namespace emulator {

// c[m][n] = sum over k of a[m][k] * b[k][n]. Strides in elements; c is dense along n.
struct Gemm {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a = nullptr;
  int64_t a_row = 0;
  int64_t a_column = 0;
  const float* b = nullptr;
  int64_t b_row = 0;
  int64_t b_column = 0;
  float* c = nullptr;
  int64_t c_row = 0;
};

// Floats that multiply() packs a part of b into.
inline constexpr int64_t panel_size = 16 * 256;

// Each element adds its products in the order of k, one by one.
void multiply(const Gemm& gemm, float* panel);

// A part of multiply() on a processor with AVX2 and FMA: 16 columns from n0, k from k0 to k1, b
// packed.
void panel_product_avx2(const Gemm& gemm, int64_t n0, int64_t k0, int64_t k1, const float* panel);

// As multiply, but each four products are added in fp16 first: [4096, 1, 1, ...] times ones loses
// the ones that meet 4096 (ane-facts.md 6, R).
void multiply_four_lane(const Gemm& gemm);

// What the multiply-accumulate engine stores: fp16, no NaN, and infinite from 32768.
void finish_products(float* values, int64_t count, bool nan_rule, bool overflow_rule, bool flush);

// Denormals to zero.
void flush_denormals(const float* from, float* to, int64_t count);

} // namespace emulator
