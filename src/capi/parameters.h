// The tensors of models and adapters, as the C ABI tells of them.
#pragma once

#include "model/parameters.h"

#include <ane_train.h>

#include <cstddef>
#include <span>
#include <string>

namespace anet::capi {

// Throws out_of_range.
const model::Parameter& parameter_at(std::span<const model::Parameter> parameters, size_t index);
// Throws not_found with the nearest name.
size_t find_parameter(std::span<const model::Parameter> parameters, const std::string& name);
// Throws shape_mismatch unless a caller's array has room for the parameter and no more.
void check_value_count(const model::Parameter& parameter, size_t count);
// Of fp32 values.
anet_parameter struct_of(const model::Parameter& parameter);

} // namespace anet::capi
