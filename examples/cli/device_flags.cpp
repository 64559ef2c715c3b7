#include "device_flags.h"

#include <array>
#include <cstdlib>

namespace cli {
namespace {

constexpr std::array<const char*, 3> placement_names = {"measured", "engine", "host"};

anet_placement parse_placement(const std::string& text) {
  for (size_t i = 0; i < placement_names.size(); ++i) {
    if (text == placement_names[i]) return static_cast<anet_placement>(i);
  }
  throw UsageError("--placement expects measured, engine or host, got '" + text + "'");
}

// The library never reads the environment itself.
std::string framework_of(const DeviceFlags& flags) {
  if (!flags.framework.empty()) return flags.framework;
  const char* path = std::getenv("ANE_TRAIN_FRAMEWORK");
  return path == nullptr ? "" : path;
}

// Flags that have no meaning for the CPU go to the library all the same, which refuses them.
bool has_engine_flags(const DeviceFlags& flags) {
  return !flags.framework.empty() || flags.placement || flags.audit_every != 0;
}

} // namespace

std::vector<Option> device_options(DeviceFlags& flags) {
  return {{"device", "NAME", "cpu, ane, or auto for the fastest", store(flags.name)},
          {"threads", "N", "worker threads of the CPU; 0: one a core",
           store_integer("threads", flags.threads)},
          {"framework", "PATH", "the Neural Engine's framework, if not Apple's",
           store(flags.framework)},
          {"placement", "WHERE", "of work on ane: measured, engine, host",
           [&flags](const std::string& text) { flags.placement = parse_placement(text); }},
          {"audit", "N", "repeat every Nth run of the engine on the CPU and compare; 0: never",
           store_integer("audit", flags.audit_every)}};
}

bool names_framework(const DeviceFlags& flags) { return !framework_of(flags).empty(); }

Device open_device(const DeviceFlags& flags) {
  const std::string framework = framework_of(flags);
  auto ane = initialised<anet_ane_options>();
  ane.framework_path = framework.empty() ? nullptr : framework.c_str();
  ane.forward = ane.loss = ane.input_gradients = ane.weight_gradients = ane.programs =
      flags.placement.value_or(flags.default_placement);
  ane.audit_every = flags.audit_every;
  auto options = initialised<anet_device_options>();
  options.threads = flags.threads;
  if (flags.name != "cpu" || has_engine_flags(flags)) options.ane = &ane;
  return create<Device>(anet_device_open, flags.name.c_str(), &options);
}

std::string device_report(const Device& device) {
  size_t length = 0;
  call(anet_device_get_report, device.get(), nullptr, size_t{0}, &length);
  std::string text(length + 1, '\0');
  call(anet_device_get_report, device.get(), text.data(), text.size(), &length);
  text.resize(length);
  return text;
}

} // namespace cli
