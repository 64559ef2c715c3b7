#include "base/log.h"

namespace anet {

const char* log_level_name(LogLevel level) {
  switch (level) {
  case LogLevel::off:
    return "off";
  case LogLevel::error:
    return "error";
  case LogLevel::warning:
    return "warning";
  case LogLevel::info:
    return "info";
  case LogLevel::debug:
    return "debug";
  }
  return "unknown";
}

} // namespace anet
