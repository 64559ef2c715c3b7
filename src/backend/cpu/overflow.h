// Watches fp16 results for infinities. The ANE's arithmetic, which fp16 kernels follow, turns
// 0 * Inf and Inf - Inf into 0 (ane-facts.md 6, R): what overflowed inside a kernel can leave it
// as a finite, wrong number. Training skips a step in which that happened.
#pragma once

#include "backend/cpu/step.h"

#include <memory>

namespace anet::backend::cpu {

// Sets RunContext::overflowed when an element of the fp16 operand is infinite.
std::unique_ptr<Step> make_overflow_step(const Operand& x);

} // namespace anet::backend::cpu
