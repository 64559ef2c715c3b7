#include "base/version.h"

#include "backend/backend.h"
#include "base/status.h"

#include <ane_train.h>

#include <string>

namespace {

// 10000 * major + 100 * minor + patch of "major.minor.patch".
consteval uint32_t version_number(std::string_view text) {
  uint32_t number = 0;
  uint32_t part = 0;
  for (char c : text) {
    if (c == '.') {
      number = (number + part) * 100;
      part = 0;
    } else {
      part = part * 10 + static_cast<uint32_t>(c - '0');
    }
  }
  return number + part;
}

static_assert(version_number(anet::library_version) == ANET_VERSION_NUMBER);
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

// A literal, and so null-terminated.
const char* anet_version_string(void) { return anet::library_version.data(); }

uint32_t anet_abi_version(void) { return ANET_ABI_VERSION; }

const char* anet_build_info(void) {
  try {
    static const std::string info = build_info();
    return info.c_str();
  } catch (...) {
    return anet_version_string(); // no memory for more
  }
}
