// Steps for every numeric element type, computed in double: what is rare, or about integers.
#pragma once

#include "backend/cpu/reduce.h"
#include "backend/cpu/step.h"

namespace anet::backend::cpu {

// Running sum along `axis`, from its end with `reverse`, without the element itself with
// `exclusive`.
std::unique_ptr<Step> make_cumsum_step(const Operand& x, const Operand& output, size_t axis,
                                       bool exclusive, bool reverse);
// Position of the first greatest (or least) element along `axis`, which has extent 1 in the
// output.
std::unique_ptr<Step> make_arg_step(const Operand& x, const Operand& output, size_t axis,
                                    bool greatest);
// As make_reduce_step, for integers; results wrap as stores do.
std::unique_ptr<Step> make_integer_reduce_step(Reduction reduction, const Operand& x,
                                               const Operand& output);
// c = a * b for integers, modulo 2^32; shapes as in make_matmul_step, any strides.
std::unique_ptr<Step> make_integer_matmul_step(const Operand& a, const Operand& b,
                                               const Operand& c);

} // namespace anet::backend::cpu
