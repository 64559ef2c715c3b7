// DoRA's norms: 1 / ||row of W + scale * B A||, which gradients treat as constants (Liu et al.
// 2024, 4.3).
#pragma once

#include "base/thread_pool.h"
#include "train/step_weights.h"

#include <span>

namespace anet::train {

// For all modules of `weights` that have them, in fp32, whatever the programs compute in. `adapter`
// is the flat array of an adapter of those shapes. A row of zeros gets 0. The frozen matrices are
// expanded row by row.
void inverse_row_norms(ThreadPool& pool, const StepWeights& weights, std::span<const float> adapter,
                       std::span<float> norms);

} // namespace anet::train
