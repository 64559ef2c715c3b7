// Vectorised inner loops of reductions and softmax over contiguous fp32 runs.
#pragma once

#include <cstdint>

namespace anet::backend::cpu {

enum class Accumulation : uint8_t { sum, max, min, product, sum_square, sum_abs, sum_exp };

struct ReduceKernels {
  // Reduces n values to one; `shift` is subtracted first by sum_exp.
  using Row = float (*)(const float* x, int64_t n, float shift);
  // accumulator[i] = accumulator[i] (op) x[i]; `shift` as above, one a column.
  using Column = void (*)(float* accumulator, const float* x, int64_t n, const float* shift);
  Row row;
  Column column;
};

ReduceKernels reduce_kernels(Accumulation accumulation);

// y = softmax(x) over n contiguous values; y may be x.
void softmax_row(const float* x, float* y, int64_t n);
// x[i] += addend[i]; returns the largest.
float add_row(float* x, const float* addend, int64_t n);
// y = softmax(x), whose largest value is given.
void softmax_row(const float* x, float* y, int64_t n, float largest);
// dy = p * (dy - sum(p * dy)): the gradient of softmax, of which p is the result.
void softmax_gradient_row(const float* p, float* dy, int64_t n);
// y[i] = exp(x[i] - shift[i]), sum[i] += y[i].
void exp_columns(const float* x, float* y, const float* shift, float* sum, int64_t n);
// y[i] = exp(x[i] - shift[i]) * factor[i], as fp32 or bf16; y may be x's memory.
void exp_scaled_columns(const float* x, float* y, const float* shift, const float* factor,
                        int64_t n);
void exp_scaled_columns(const float* x, uint16_t* y, const float* shift, const float* factor,
                        int64_t n);
// y[i] *= factor[i].
void scale_columns(float* y, const float* factor, int64_t n);

} // namespace anet::backend::cpu
