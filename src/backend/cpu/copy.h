// Steps that move elements without looking at them.
#pragma once

#include "backend/cpu/step.h"

namespace anet::backend::cpu {

// destination[i] = source[i] for equal shapes and element sizes; the source may repeat (stride 0)
// or run backwards. The two may not overlap.
std::unique_ptr<Step> make_copy_step(const Operand& source, const Operand& destination);

} // namespace anet::backend::cpu
