#include "backend/ane/ports.h"

#include "backend/cpu/operand.h"
#include "base/status.h"

#include <algorithm>
#include <set>

namespace anet::backend::ane {

namespace {

// Products of the innermost extents: where rows, planes and so on end.
std::set<int64_t> boundaries(const Shape& shape) {
  std::set<int64_t> result;
  int64_t product = 1;
  for (size_t d = shape.size(); d-- > 0;) result.insert(product *= shape[d]);
  return result;
}

// The coarsest shape of which both are groupings, or nullopt.
std::optional<Shape> common_refinement(const Shape& a, const Shape& b) {
  std::set<int64_t> ends = boundaries(a);
  ends.merge(boundaries(b));
  Shape shape;
  int64_t previous = 1;
  for (const int64_t end : ends) {
    if (end % previous != 0) return std::nullopt;
    shape.insert(shape.begin(), end / previous);
    previous = end;
  }
  return shape;
}

size_t find_port(std::span<const EnginePort> ports, const std::string& symbol) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == symbol) return i;
  fail(Status::device, "expected the compiled program to have a port ", symbol, ", seen none");
}

Layout layout_of(const EnginePort& port) {
  Layout layout;
  layout.dtype = port.dtype;
  layout.shape = port.shape;
  layout.strides = port.strides;
  return layout;
}

// Columns of a packed input: a matrix whose rows are those of the surface.
Layout columns_of(const EnginePort& port, const LoweredPort& source) {
  const int64_t width = source.type.shape.back();
  Layout layout;
  layout.dtype = port.dtype;
  layout.shape = {mil::element_count(source.type.shape) / width, width};
  layout.strides = {port.strides[2], port.strides[3]};
  return layout;
}

// Strides of axes of one element say nothing; here they are those that a dense layout would have,
// and the same whatever axes the engine sees, so that equal layouts compare equal.
Layout canonical(Layout layout) {
  const size_t rank = layout.shape.size();
  for (size_t d = rank; d-- > 0;) {
    if (layout.shape[d] != 1) continue;
    int64_t stride = cpu::element_size(layout.dtype);
    if (d + 1 < rank) {
      size_t outer = d;
      while (outer > 0 && layout.shape[outer] == 1) --outer;
      stride = layout.shape[outer] != 1 ? layout.strides[outer]
                                        : layout.strides[d + 1] * layout.shape[d + 1];
    }
    layout.strides[d] = stride;
  }
  return layout;
}

void check_port(const LoweredPort& lowered, const EnginePort& port, bool packed) {
  const bool same_shape = packed || port.shape == lowered.type.shape;
  if (port.dtype == lowered.type.dtype && same_shape && port.strides.size() == 4) return;
  fail(Status::device, "expected the compiled port ", port.name, " to be ",
       mil::type_to_string(lowered.type), ", seen ", mil::data_type_name(port.dtype), " ",
       mil::shape_to_string(port.shape));
}

} // namespace

std::optional<Layout> reshape_layout(const Layout& layout, const Shape& shape) {
  if (layout.shape == shape) return layout;
  cpu::Operand operand;
  operand.dtype = layout.dtype;
  operand.shape = layout.shape;
  operand.strides = layout.strides;
  const int64_t size = cpu::element_size(layout.dtype);
  for (int64_t& stride : operand.strides) stride /= size;
  const auto view = cpu::reshape_view(operand, shape);
  if (!view) return std::nullopt;
  Layout result{layout.dtype, shape, view->strides};
  for (int64_t& stride : result.strides) stride *= size;
  return result;
}

std::pair<Layout, Layout> in_common_shape(const Layout& a, const Layout& b) {
  if (const auto reshaped = reshape_layout(b, a.shape)) return {a, *reshaped};
  if (const auto reshaped = reshape_layout(a, b.shape)) return {*reshaped, b};
  if (const auto shape = common_refinement(a.shape, b.shape)) {
    const auto x = reshape_layout(a, *shape), y = reshape_layout(b, *shape);
    if (x && y) return {*x, *y};
  }
  fail(Status::unsupported, "expected layouts with rows in common, seen ",
       mil::shape_to_string(a.shape), " and ", mil::shape_to_string(b.shape));
}

std::vector<PortBinding> bind_ports(std::span<const mil::Type> sources,
                                    std::span<const LoweredPort> lowered,
                                    std::span<const EnginePort> ports) {
  const auto count = [&](const std::string& symbol) {
    return std::count_if(lowered.begin(), lowered.end(),
                         [&](const LoweredPort& other) { return other.symbol == symbol; });
  };
  std::vector<PortBinding> bindings;
  for (size_t i = 0; i < lowered.size(); ++i) {
    const bool alone = count(lowered[i].symbol) == 1;
    PortBinding binding;
    binding.engine_port = find_port(ports, lowered[i].symbol);
    const EnginePort& port = ports[binding.engine_port];
    const bool packed = !alone || port.shape != lowered[i].type.shape;
    check_port(lowered[i], port, packed);
    const Layout native = packed ? columns_of(port, lowered[i]) : layout_of(port);
    if (packed) {
      binding.offset = static_cast<size_t>(lowered[i].row * port.strides[2] +
                                           lowered[i].column * port.strides[3]);
    }
    const auto reshaped = reshape_layout(native, sources[i].shape);
    binding.layout = reshaped ? canonical(*reshaped) : native;
    binding.direct = reshaped && !packed && sources[i].dtype == port.dtype;
    bindings.push_back(std::move(binding));
  }
  return bindings;
}

} // namespace anet::backend::ane
