// Reductions and softmax over fp32 operands.
#pragma once

#include "backend/cpu/reduce_kernels.h"
#include "backend/cpu/step.h"

#include <array>
#include <optional>
#include <string_view>

namespace anet::backend::cpu {

enum class Reduction : uint8_t {
  sum,
  mean,
  max,
  min,
  product,
  sum_square,
  l1_norm,
  l2_norm,
  log_sum,
  log_sum_exp,
};

// From an op's name, "reduce_sum"; nullopt for other ops.
std::optional<Reduction> reduction_from_op(std::string_view op);

// Few long reductions, whose parts the threads share: their sums have an order of their own.
bool shares_reductions(int64_t reductions, int64_t extent);

// The arithmetic of reductions, for steps that reduce what they compute and shall have the same
// bits: rows are summed in float for max_fold_values values, columns for some rows, before double
// takes over.
inline constexpr int64_t max_fold_values = 1024;
inline constexpr int64_t max_fold_columns = 256; // at a time

Accumulation accumulation_of(Reduction reduction);
double fold_identity(Accumulation accumulation);
double fold(Accumulation accumulation, double a, double b);
// The result, from what `count` values were folded to.
double finish_fold(Reduction reduction, double value, double shift, int64_t count);

// Folds the rows of n columns side by side.
class ColumnFold {
public:
  ColumnFold(Accumulation accumulation, ReduceKernels::Column kernel, int64_t n);
  void add(const float* row, const float* shift); // n values each
  const double* totals();                         // when all rows are in

private:
  void flush();

  Accumulation accumulation_;
  ReduceKernels::Column kernel_;
  int64_t n_;
  int64_t rows_ = 0;
  std::array<double, max_fold_columns> total_;
  std::array<float, max_fold_columns> partial_;
};

// output has x's rank, with extent 1 where it is reduced. Both fp32, any strides. Sums are exact
// to a few units in the last place for any length: they are taken in two levels.
std::unique_ptr<Step> make_reduce_step(Reduction reduction, const Operand& x,
                                       const Operand& output);
// Whether it takes an x of another floating type, too, with the bits of a copy in fp32.
bool reduces_as_stored(Reduction reduction, const Operand& x, const Operand& output);

// log_sum_exp of rows `row_stride` apart, for columns that `kept` walks: contiguous in x, of any
// floating type.
std::unique_ptr<Step> make_log_sum_exp_step(const Operand& x, const Operand& output,
                                            const LoopNest<2>& kept, int64_t rows,
                                            int64_t row_stride);

// Softmax along one axis; output may be x's memory. Both fp32, with equal shapes. Either the axis
// or the innermost other dimension must be contiguous in both operands (see softmax_fits).
std::unique_ptr<Step> make_softmax_step(const Operand& x, const Operand& output, size_t axis);
bool softmax_fits(const Operand& x, const Operand& output, size_t axis);

// output = exp(x - log_sum_exp) * weight: softmax whose log-sum-exp is known, in fp32 whatever the
// floating types of x and output are. Equal shapes but for the axis, which is 1 in log_sum_exp,
// weight and targets; all other extents but the last are 1, and the last is contiguous. Output may
// be x's memory. In fp16 an infinity that is made where the target is does not count as an
// overflow: whoever asks writes something else there.
struct WeightedSoftmax {
  Operand x, log_sum_exp, weight;
  Operand targets; // indices along the axis, of any integer type
  Operand output;
  size_t axis = 0;
};
std::unique_ptr<Step> make_weighted_softmax_step(const WeightedSoftmax& operands);

} // namespace anet::backend::cpu
