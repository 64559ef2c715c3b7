// How the ports of a function meet those of the program that it was lowered and compiled to.
#pragma once

#include "backend/ane/engine.h"
#include "backend/ane/lower.h"
#include "backend/backend.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace anet::backend::ane {

// The same elements, row-major, in another shape; nullopt when no strides can say that.
std::optional<Layout> reshape_layout(const Layout& layout, const Shape& shape);
// Both layouts in one shape that holds the same elements, for a copy between them. Throws
// unsupported when there is none.
std::pair<Layout, Layout> in_common_shape(const Layout& a, const Layout& b);

// Where a port of the source function lies in the surfaces of the compiled program.
struct PortBinding {
  size_t engine_port = 0; // index into the procedure's inputs or outputs
  size_t offset = 0;      // bytes; beside others in a packed input
  // In the source's shape where strides can say it, else in the engine's.
  Layout layout;
  // The source's shape, and alone in its surface: a caller's surface of this layout can be bound.
  bool direct = false;
};

// One a source port. Throws Error(device) when the compiled program has other ports than the
// lowered one.
std::vector<PortBinding> bind_ports(std::span<const mil::Type> sources,
                                    std::span<const LoweredPort> lowered,
                                    std::span<const EnginePort> ports);

} // namespace anet::backend::ane
