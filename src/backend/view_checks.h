// What every device checks before a run.
#pragma once

#include "backend/backend.h"

namespace anet::backend {

// Every view fits its port and its buffer, and no buffer is mapped. `kind` is "input" or "output".
// Throws invalid_argument, shape_mismatch, type_mismatch or busy.
void check_views(std::span<const Port> ports, std::span<const View> views, const char* kind);

// No output shares an element with an input or another output; throws invalid_argument. Views that
// interleave, as columns of one matrix do, are told apart when they have the same row stride.
void check_overlap(std::span<const Port> input_ports, std::span<const View> inputs,
                   std::span<const Port> output_ports, std::span<const View> outputs);

} // namespace anet::backend
