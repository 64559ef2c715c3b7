// Batched matrix products over strided fp32 operands.
#pragma once

#include "backend/cpu/step.h"

namespace anet::backend::cpu {

// c[..., rows, columns] = alpha * a[..., rows, depth] * b[..., depth, columns] + beta * c; the
// leading dimensions of a and b broadcast to c's. All fp32. Of the last two strides of each
// operand one must be 1 (see is_matrix); c may not overlap a or b.
std::unique_ptr<Step> make_matmul_step(const Operand& a, const Operand& b, const Operand& c,
                                       float alpha, float beta);

// The last two dimensions of an operand as gemm sees them; nullopt when it cannot.
struct MatrixLayout {
  int64_t leading = 1;
  bool transposed = false; // columns are contiguous instead of rows
};
std::optional<MatrixLayout> matrix_layout(const Operand& x);

// True when the last two dimensions are a matrix that gemm can read or, for a result, write.
bool is_matrix(const Operand& x);

} // namespace anet::backend::cpu
