// Single-threaded matrix products; the caller shares them out among its threads. Further element
// types get functions of their own beside gemm_f32.
#pragma once

#include <cstdint>

namespace anet::backend::cpu {

// A row-major matrix, or its transpose: op(X) is X or X^T, X has `leading` elements a row.
struct MatrixF32 {
  const float* data = nullptr;
  int64_t leading = 0;
  bool transposed = false;
};

// c[rows, columns] = alpha * op(a)[rows, depth] * op(b)[depth, columns] + beta * c. With beta 0, c
// is not read. Runs on the calling thread alone. Throws internal when the library refuses.
void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const MatrixF32& a,
              const MatrixF32& b, float beta, float* c, int64_t leading_c);

// The name of the library behind it, for reports.
const char* gemm_library();

} // namespace anet::backend::cpu
