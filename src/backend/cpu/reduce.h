// Reductions and softmax over fp32 operands.
#pragma once

#include "backend/cpu/step.h"

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

// output has x's rank, with extent 1 where it is reduced. Both fp32, any strides. Sums are exact
// to a few units in the last place for any length: they are taken in two levels.
std::unique_ptr<Step> make_reduce_step(Reduction reduction, const Operand& x,
                                       const Operand& output);

// Softmax along one axis; output may be x's memory. Both fp32, with equal shapes. Either the axis
// or the innermost other dimension must be contiguous in both operands (see softmax_fits).
std::unique_ptr<Step> make_softmax_step(const Operand& x, const Operand& output, size_t axis);
bool softmax_fits(const Operand& x, const Operand& output, size_t axis);

} // namespace anet::backend::cpu
