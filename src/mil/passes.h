// Rewrites that keep a function's meaning. All return a new, verified function.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

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

// A matrix [rows, columns + .., 1..]: the input `matrix`, then zeros, and among them from
// `factor_column` on the input `factor`. Each is transposed or not.
struct JoinedInput {
  std::string name;
  std::string matrix;
  bool matrix_transposed = false;
  std::string factor;
  bool factor_transposed = false;
  int64_t factor_column = 0;
  int64_t factor_columns = 0; // how many it has
  bool operator==(const JoinedInput&) const = default;
};
struct JoinedInputs {
  Function function;
  std::vector<JoinedInput> inputs;
};
// W x + B z, with W one of the inputs `matrices` and B another input, both 1x1 convolutions,
// becomes [W B] (x; z): one product of an input of its own, where that moves less memory. Sums of
// one x read it joined with all their z. W and B may be read transposed. Inputs that nothing reads
// go.
JoinedInputs joined_inputs(const Function& function, std::span<const std::string> matrices);

} // namespace anet::mil
