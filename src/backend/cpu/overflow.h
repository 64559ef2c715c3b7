// Watches for infinities that a kernel makes in fp16, out of finite numbers. The ANE's arithmetic,
// which fp16 kernels follow, turns 0 * Inf and Inf - Inf into 0 (ane-facts.md 6, R): what
// overflowed inside a kernel can leave it as a finite, wrong number. Training skips a step in which
// that happened. An infinity that was there before, such as a mask's, is no overflow.
#pragma once

#include "backend/cpu/step.h"

#include <cmath>
#include <memory>

namespace anet::backend::cpu {

// Element-wise steps look themselves, value by value. `result` is not rounded yet and overflows
// from `limit` on; bit i of `scalars` says that input i is one value for all n.
template <typename T>
bool makes_infinity(const T* const* inputs, size_t count, unsigned scalars, const T* result,
                    int64_t n, T limit) {
  int found = 0; // without a branch, for vectors
  for (int64_t i = 0; i < n; ++i) found |= static_cast<int>(std::fabs(result[i]) >= limit);
  if (found == 0) return false;
  for (int64_t i = 0; i < n; ++i) {
    bool made = std::fabs(result[i]) >= limit;
    for (size_t k = 0; k < count; ++k) {
      made = made && !std::isinf(inputs[k][(scalars >> k & 1) != 0 ? 0 : i]);
    }
    if (made) return true;
  }
  return false;
}

// For other steps: sets RunContext::overflowed when the fp16 output holds an infinity and no fp16
// input does. Inputs of other types do not count.
std::unique_ptr<Step> make_overflow_step(const Operand& output, std::span<const Operand> inputs);

} // namespace anet::backend::cpu
