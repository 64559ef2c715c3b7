// Several ops as one product. On the engine each op reads and writes memory, but what products add
// up never leaves it. Internal to lower.cpp.
#pragma once

#include "backend/ane/rules.h"
#include "mil/program.h"

namespace anet::backend::ane {

// The same function where these are written otherwise:
// * x c + P (x s) and x c + (P x) s, tables c and s times channels whose places a constant P swaps,
//   as RoPE and its gradient are: one product of x with both tables, and one with [I | P], which
//   swaps and adds. Where the engine broadcasts both operands of an op. Results have the same bits,
//   but for products below 2^-14 where an engine takes these as 0.
// * The mean of d w n over channels, as in the gradient of a norm with a weight w: a product of w
//   with d n, which the gradient of w has made before.
mil::Function with_fewer_passes(const mil::Function& function, const Rules& rules);

} // namespace anet::backend::ane
