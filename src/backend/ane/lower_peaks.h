// The output that tells of infinities: what it has to look at, and how.
#pragma once

#include "backend/ane/lower.h"
#include "backend/ane/lowering.h"

#include <span>

namespace anet::backend::ane {

// The largest magnitude [1, 1, 1, 1] of what `options.peaks` says, or no_value when that is
// nothing. `results` are those of the source's outputs, in their order.
ValueId write_peaks(Lowering& l, std::span<const ValueId> results, const LowerOptions& options);

} // namespace anet::backend::ane
