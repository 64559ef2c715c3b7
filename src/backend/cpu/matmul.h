// Batched matrix products over strided fp32 operands.
#pragma once

#include "backend/cpu/matmul_geometry.h"
#include "backend/cpu/step.h"

namespace anet::backend::cpu {

// c[..., rows, columns] = a[..., rows, depth] * b[..., depth, columns], or added to c; the leading
// dimensions of a and b broadcast to c's. c is fp32, a and b are what gemm_reads(). Of the last two
// strides of each operand one must be 1 (see is_matrix); c may not overlap a or b. `scratch` is
// [threads, matmul_scratch()] of fp32.
std::unique_ptr<Step> make_matmul_step(const Operand& a, const Operand& b, const Operand& c,
                                       bool accumulate, const Operand& scratch);
int64_t matmul_scratch(const Operand& a, const Operand& b, const Operand& c);

} // namespace anet::backend::cpu
