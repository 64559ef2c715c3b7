// Rewrites that keep a function's meaning. All return a new, verified function.
#pragma once

#include "mil/program.h"

namespace anet::mil {

// Ops whose results nobody reads go; inputs stay, for they are the signature.
Function eliminate_dead_code(const Function& function);
// Equal ops on equal operands become one; equal constants too.
Function eliminate_common_subexpressions(const Function& function);
// Evaluates ops whose operands are all constants, when the result is at most `max_elements`.
Function fold_constants(const Function& function, int64_t max_elements = 4096);
// x*1, x+0, reshape of reshape, transpose of transpose, cast to the same type, identity.
Function simplify(const Function& function);
// All of the above until nothing changes.
Function optimize(const Function& function);

} // namespace anet::mil
