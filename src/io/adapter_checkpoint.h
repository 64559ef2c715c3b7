// An adapter inside a checkpoint: its settings in a section, its tensors instead of a model's.
#pragma once

#include "io/checkpoint.h"
#include "model/adapter.h"

#include <memory>
#include <string_view>

namespace anet::io {

inline constexpr std::string_view adapter_section = "adapter";

// The section.
Json write_adapter(const model::Adapter& adapter);
// Throws invalid_checkpoint.
std::shared_ptr<model::Adapter> checkpoint_adapter(const CheckpointReader& reader,
                                                   std::shared_ptr<const model::Model> base);

} // namespace anet::io
