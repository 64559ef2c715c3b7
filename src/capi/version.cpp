#include "base/version.h"
#include "backend/backend.h"
#include "base/status.h"

#include <ane_train.h>

#include <string>

namespace {

static_assert(ANET_VERSION_NUMBER ==
              10000 * ANET_VERSION_MAJOR + 100 * ANET_VERSION_MINOR + ANET_VERSION_PATCH);

#if defined(__clang__)
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "gcc " __VERSION__;
#endif

std::string build_info() {
  std::string devices;
  for (const auto& device : anet::backend::list_devices())
    devices += (devices.empty() ? "" : ", ") + device.name;
  return anet::concat("libane_train ", anet::library_version, ", ", compiler,
                      ", devices: ", devices);
}

} // namespace

uint32_t anet_version_number(void) { return ANET_VERSION_NUMBER; }

const char* anet_version_string(void) { return anet::library_version; }

uint32_t anet_abi_version(void) { return ANET_ABI_VERSION; }

const char* anet_build_info(void) {
  try {
    static const std::string info = build_info();
    return info.c_str();
  } catch (...) {
    return anet::library_version; // no memory for more
  }
}
