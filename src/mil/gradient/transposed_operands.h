// Transposes that gradients need as values of their own. Internal to differentiation.
#pragma once

#include "mil/differentiate.h"
#include "mil/passes/rewriter.h"
#include "mil/program.h"

#include <vector>

namespace anet::mil::gradient {

// Products of what depends on an input in `seeds` with a matrix that does not and is read
// transposed get that from a transpose. One serves all products that read the same matrix.
Rewritten rewrite_transposed_operands(const Function& joint, const std::vector<ValueId>& seeds,
                                      const TransposedOperands& which);

} // namespace anet::mil::gradient
