// Single-threaded matrix products; the caller shares them out among its threads.
#pragma once

#include "mil/type.h"

#include <cstdint>

namespace anet::backend::cpu {

// A row-major matrix, or its transpose: op(X) is X or X^T, X has `leading` elements a row. Its type
// is one that gemm_reads().
struct GemmMatrix {
  const void* data = nullptr;
  int64_t leading = 0;
  bool transposed = false;
  mil::DataType dtype = mil::DataType::fp32;
};

// fp32; bf16 in our own kernels, which widen it where they copy an operand anyway.
bool gemm_reads(mil::DataType dtype);

// True where the processor multiplies two operands of bf16 faster than fp32: its instructions add
// the products of a pair at once to a sum in fp32, and take denormal numbers for zeros. A pair is
// two neighbours along the depth, which must be even; where the depth lies side by side, `leading`
// must be even too and the matrix begin at a multiple of four bytes. Other operands are widened.
bool gemm_has_bf16();

// c[rows, columns] = alpha * op(a)[rows, depth] * op(b)[depth, columns], or added to c. An
// element's sum has the same order wherever in a product it is computed: sharing a product out
// changes no bit. (Not promised by Accelerate.) Runs on the calling thread alone, and allocates
// nothing: `scratch` has gemm_scratch() elements. Throws when the platform's library refuses.
void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const GemmMatrix& a,
              const GemmMatrix& b, bool accumulate, float* c, int64_t leading_c, float* scratch);

// Enough for every product that is not larger in any dimension.
int64_t gemm_scratch(int64_t rows, int64_t columns, int64_t depth);

// What is behind it, for reports.
const char* gemm_library();

} // namespace anet::backend::cpu
