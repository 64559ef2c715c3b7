// Element types of the safetensors format.
#pragma once

#include "mil/type.h"

#include <optional>
#include <string_view>

namespace anet::io {

struct SafetensorsType {
  std::string_view name;
  int bits;
  std::optional<mil::DataType> dtype; // nullopt: ours has no such type
};

// nullptr for a name that the format does not have.
const SafetensorsType* find_safetensors_type(std::string_view name);
const SafetensorsType* find_safetensors_type(mil::DataType dtype);

} // namespace anet::io
