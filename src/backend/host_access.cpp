#include "backend/host_access.h"

#include "base/float16.h"
#include "base/status.h"

#include <algorithm>

namespace anet::backend {

void write_floats(Buffer& buffer, std::span<const float> values) {
  if (buffer.layout().dtype == DataType::fp32) return write_elements(buffer, values);
  const Mapping mapping(buffer, true);
  auto* halves = reinterpret_cast<uint16_t*>(mapping.data());
  std::transform(values.begin(), values.end(), halves, float_to_half);
}

const Port& find_port(std::span<const Port> ports, std::string_view name) {
  const auto found =
      std::find_if(ports.begin(), ports.end(), [&](const Port& port) { return port.name == name; });
  if (found == ports.end())
    fail(Status::internal, "expected a kernel with a port '", name, "', seen none");
  return *found;
}

} // namespace anet::backend
