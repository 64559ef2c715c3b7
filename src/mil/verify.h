// The verifier: names, SSA order, arguments, compile-time constants, shapes and types.
#pragma once

#include "mil/program.h"

namespace anet::mil {

// Throws Error(invalid_program) with line and column (when the program was parsed), the op, what
// was expected and what was seen. Declared output types must equal the inferred ones.
void verify(const Program& program);
void verify(const Function& function);

// The ANE's parser has no defaults: true when every argument of every op is present
// (ane-facts.md 0.9, R).
bool every_argument_explicit(const Function& function);

} // namespace anet::mil
