#include "args.h"
#include "commands.h"
#include "handles.h"

#include <cstdio>

namespace cli {

int run_devices(const Arguments& arguments) {
  const CommandLine line{"devices", "Lists the devices that this build knows.", "", {}};
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  for (size_t i = 0; i < anet_device_listing_count(); ++i) {
    auto listing = initialised<anet_device_listing>();
    call(anet_device_listing_get, i, &listing);
    std::printf("%-6s %-14s %s", listing.name, listing.available ? "available" : "not available",
                listing.description);
    if (!listing.available) std::printf(": %s", listing.reason);
    std::printf("\n");
  }
  const Device device = create<Device>(anet_device_open, "auto", nullptr);
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, device.get(), &info);
  std::printf("\nauto is %s: %s\n", info.name, info.description);
  return exit_ok;
}

} // namespace cli
