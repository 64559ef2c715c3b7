// Models in one safetensors file of our own: names as in the parameter table, fp32, the
// configuration in the metadata. A compressed matrix is two tensors, "<name>.codes" and
// "<name>.scales", and its scheme is in the metadata.
#pragma once

#include "base/file.h"
#include "model/model.h"

#include <string>

namespace anet::io {

// Writes a file that open_model reads, atomically.
void save_model(const model::Model& model, const std::string& path,
                FileSystem& files = FileSystem::real());

} // namespace anet::io
