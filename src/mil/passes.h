// Rewrites that keep a function's meaning. All return a new, verified function.
#pragma once

#include "mil/program.h"

#include <span>
#include <string>

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
// Where a matrix [rows, columns, ..] among the inputs `names` is read transposed, its first two
// axes swapped, that becomes an input of its own, `<name><suffix>`. An input that nothing else
// reads goes.
Function transposed_inputs(const Function& function, std::span<const std::string> names,
                           const std::string& suffix);

} // namespace anet::mil
