// Vectorised inner loops of products of a matrix with a few vectors. They read the matrix once, in
// the type that it is stored in, and sum in fp32. The order of a sum depends on the depth and the
// number of columns alone.
#pragma once

#include "mil/type.h"

#include <cstddef>
#include <cstdint>

namespace anet::backend::cpu {

inline constexpr int64_t max_gemv_columns = 8;

// Rows of fp32, bf16 or int8 numbers, `leading` elements apart. Those of int8 may have a scale for
// each `block_size` columns, which divides their number.
struct GemvMatrix {
  const std::byte* data = nullptr;
  int64_t leading = 0;
  const std::byte* scales = nullptr; // fp16, of the first row; not aligned
  int64_t block_size = 0;            // 0: no scales
};

// y[j, i] = the sum over k < depth of x[j, k] * matrix[i, k] (dot) or matrix[k, i] (transposed),
// for i < rows and j < columns. Rows of x and y are x_leading and y_leading floats apart.
struct GemvCall {
  GemvMatrix matrix;
  int64_t rows = 0, depth = 0, columns = 0;
  const float* x = nullptr;
  int64_t x_leading = 0;
  float* y = nullptr;
  int64_t y_leading = 0;
};
using GemvKernel = void (*)(const GemvCall& call);

// For up to max_gemv_columns; null for a type that has none. `transposed` has no int8.
struct GemvKernels {
  GemvKernel dot = nullptr;
  GemvKernel transposed = nullptr;
};
GemvKernels gemv_kernels(mil::DataType stored);

} // namespace anet::backend::cpu
