// What the device says about itself.
#pragma once

#include "backend/ane/environment.h"
#include "base/json.h"

namespace anet::backend::ane {

Json make_report(const Environment& environment, const Capabilities& capabilities);

} // namespace anet::backend::ane
