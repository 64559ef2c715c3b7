#include "capi/parameters.h"

#include "base/json.h"
#include "base/status.h"
#include "capi/arguments.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace anet::capi {

const model::Parameter& parameter_at(std::span<const model::Parameter> parameters, size_t index) {
  check_index(index, parameters.size(), "parameter");
  return parameters[index];
}

size_t find_parameter(std::span<const model::Parameter> parameters, const std::string& name) {
  std::vector<std::string_view> names;
  for (const model::Parameter& parameter : parameters) {
    if (parameter.name == name) return names.size();
    names.push_back(parameter.name);
  }
  const auto nearest = nearest_key(name, names);
  fail(Status::not_found, "expected the name of a parameter, seen '", name, "'",
       nearest ? concat(", did you mean '", *nearest, "'") : std::string());
}

void check_value_count(const model::Parameter& parameter, size_t count) {
  if (count != static_cast<size_t>(parameter.elements))
    fail(Status::shape_mismatch, "expected ", parameter.elements, " values for '", parameter.name,
         "' of shape ", mil::shape_to_string(parameter.shape), ", seen ", count);
}

anet_parameter struct_of(const model::Parameter& parameter) {
  anet_parameter result{};
  result.rank = static_cast<uint32_t>(parameter.shape.size());
  result.name = parameter.name.c_str();
  std::copy(parameter.shape.begin(), parameter.shape.end(), result.shape);
  result.offset =
      parameter.is_compressed() ? ANET_NO_OFFSET : static_cast<uint64_t>(parameter.offset);
  result.element_count = static_cast<uint64_t>(parameter.elements);
  result.compression = ANET_COMPRESSION_NONE;
  result.bytes = result.element_count * sizeof(float);
  return result;
}

} // namespace anet::capi
