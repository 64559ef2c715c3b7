// What every device checks before it compiles and before it runs.
#pragma once

#include "backend/backend.h"

namespace anet::backend {

// Ports that the options name exist, layouts fit them, and what is accumulated is floating. Throws
// not_found, type_mismatch, shape_mismatch or invalid_argument.
void check_compile_options(const mil::Function& function, const CompileOptions& options);

// A layout that a port is asked to have: its type and shape, the innermost stride that of an
// element, and no two elements in one place. Throws shape_mismatch or invalid_argument.
void check_port_layout(const mil::Value& port, const Layout& layout);

// Every view fits its port and its buffer, and no buffer is mapped. `kind` is "input" or "output".
// Throws invalid_argument, shape_mismatch, type_mismatch or busy.
void check_views(std::span<const Port> ports, std::span<const View> views, const char* kind);

// No output shares an element with an input or another output; throws invalid_argument. Views that
// interleave, as columns of one matrix do, are told apart when they have the same row stride.
void check_overlap(std::span<const Port> input_ports, std::span<const View> inputs,
                   std::span<const Port> output_ports, std::span<const View> outputs);

} // namespace anet::backend
