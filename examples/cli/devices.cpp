#include "args.h"
#include "commands.h"
#include "device_flags.h"
#include "handles.h"

#include <cstdio>

namespace cli {
namespace {

struct Found {
  std::string description;
  std::string reason; // why it is not available, else ""
};

// The library's list knows Apple's framework; another one is opened to see.
Found find(const anet_device_listing& listing, const DeviceFlags& flags) {
  if (listing.name != std::string("ane") || !names_framework(flags))
    return {listing.description, listing.reason};
  DeviceFlags ane = flags;
  ane.name = "ane";
  try {
    const Device device = open_device(ane);
    auto info = initialised<anet_device_info>();
    call(anet_device_get_info, device.get(), &info);
    return {info.description, ""};
  } catch (const Failure& failure) {
    return {listing.description, failure.what()};
  }
}

} // namespace

int run_devices(const Arguments& arguments) {
  DeviceFlags flags;
  const std::vector<Option> options = device_options(flags);
  CommandLine line{"devices", "Lists the devices that this build knows.", "", {{"Options", {}}}};
  for (const Option& option : options)
    if (option.key == "framework") line.groups.front().options.push_back(option);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  for (size_t i = 0; i < anet_device_listing_count(); ++i) {
    auto listing = initialised<anet_device_listing>();
    call(anet_device_listing_get, i, &listing);
    const Found found = find(listing, flags);
    const bool available = found.reason.empty();
    std::printf("%-6s %-14s %s", listing.name, available ? "available" : "not available",
                found.description.c_str());
    if (!available) std::printf(": %s", found.reason.c_str());
    std::printf("\n");
  }
  const Device device = open_device(flags);
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, device.get(), &info);
  std::printf("\nauto is %s: %s\n", info.name, info.description);
  return exit_ok;
}

} // namespace cli
