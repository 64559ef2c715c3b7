// What a loaded program says of its ports (ane-facts.md 1.4, R).
#pragma once

#include "backend/ane/engine.h"
#include "backend/ane/framework.h"

#include <vector>

namespace anet::backend::ane {

// The procedures in the order of their indices; ports in the order of their symbols. `attributes`
// is the model's dictionary. Throws Error(device) where it is not as known, naming the place, and
// Error(unsupported) for ports that are not plain planes of elements (images, interleaved channels,
// more than four axes). Call inside Framework::guarded.
std::vector<EngineProcedure> read_procedures(const Framework& framework, Id attributes);

} // namespace anet::backend::ane
