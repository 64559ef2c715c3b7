// The Neural Engine as a device, with the host at its side: what the engine does not take, and what
// it fails at, the host computes. An evaluation that never returns cannot be interrupted: the run
// hangs with it.
#pragma once

#include "backend/backend.h"

namespace anet::backend::ane {

// Opens the framework and asks the engine what it can do (probe.h). Throws unavailable with the
// reason, out_of_range or invalid_argument for options that make no sense.
std::shared_ptr<Device> open_device(const DeviceOptions& options);

// "h16g, 16 cores" without asking the engine more than its name; throws unavailable.
std::string describe(const AneOptions& options);

} // namespace anet::backend::ane
