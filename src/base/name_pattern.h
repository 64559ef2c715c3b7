// Patterns for the names of tensors and modules.
#pragma once

#include <string_view>

namespace anet {

// `*` stands for any run of characters, dots included. A pattern matches the whole name, or its end
// from a dot on: "q_proj" matches "model.layers.0.self_attn.q_proj", "proj" does not.
bool matches_name(std::string_view pattern, std::string_view name);

} // namespace anet
