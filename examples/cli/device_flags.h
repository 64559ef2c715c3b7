// The options of every command that opens a device.
#pragma once

#include "args.h"
#include "handles.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cli {

struct DeviceFlags {
  std::string name = "auto";
  uint32_t threads = 0;
  std::string framework; // empty: ANE_TRAIN_FRAMEWORK of the environment, else Apple's
  std::optional<anet_placement> placement;
  int32_t audit_every = 0;
  anet_placement default_placement = ANET_PLACEMENT_MEASURED; // of the command
};

// --device, --threads, --framework, --placement and --audit, bound to `flags`.
std::vector<Option> device_options(DeviceFlags& flags);

// A framework other than Apple's, by flag or in the environment.
bool names_framework(const DeviceFlags& flags);

// Throws Failure; of status ANET_E_UNAVAILABLE when this machine lacks the device.
Device open_device(const DeviceFlags& flags);

// What the device knows about itself, as JSON.
std::string device_report(const Device& device);

} // namespace cli
