// Vectorised inner loops for compressed weights.
#pragma once

#include "mil/compressed_weight.h"

#include <cstdint>

namespace anet::backend::cpu {

const mil::ExpandKernels& expand_kernels();

} // namespace anet::backend::cpu
