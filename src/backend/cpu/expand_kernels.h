// Vectorised inner loops for compressed weights.
#pragma once

#include "mil/compressed_weight.h"

#include <cstdint>

namespace anet::backend::cpu {

const mil::ExpandKernels& expand_kernels();

// The sum of x[i] * y[i], always in the same order on one machine.
float dot(const float* x, const float* y, int64_t n);

} // namespace anet::backend::cpu
