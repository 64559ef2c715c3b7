// The model inside a checkpoint.
#pragma once

#include "io/checkpoint.h"
#include "model/model.h"

#include <memory>
#include <string>

namespace anet::io {

// A checkpoint, or the newest in a folder of them that opens. Throws not_found, naming why each
// could not be opened.
CheckpointReader open_checkpoint(const std::string& path, FileSystem& files = FileSystem::real());

model::Config checkpoint_config(const CheckpointReader& reader);
// Throws invalid_checkpoint if the weights are not those that its configuration asks for.
std::shared_ptr<model::Model> checkpoint_model(const CheckpointReader& reader);

} // namespace anet::io
