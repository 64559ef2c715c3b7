// A logger is a value that holders pass down; the default one is silent. Text is made only when
// somebody listens.
#pragma once

#include "base/status.h"

#include <cstdint>
#include <string>

namespace anet {

enum class LogLevel : int32_t { off = 0, error = 1, warning = 2, info = 3, debug = 4 };

const char* log_level_name(LogLevel level);

// `category` and `text` live for the call only. Called from any thread that logs; must not throw.
using LogCallback = void (*)(void* user_data, LogLevel level, const char* category,
                             const char* text);

class Logger {
public:
  Logger() = default;
  // Messages up to `level` go to `callback`; nullptr is silent.
  Logger(LogLevel level, LogCallback callback, void* user_data)
      : callback_(callback), user_data_(user_data),
        level_(callback == nullptr ? LogLevel::off : level) {}

  bool enabled(LogLevel level) const { return level != LogLevel::off && level <= level_; }

  // write(LogLevel::info, "plan", "placed ", 12, " kernels").
  template <typename... Parts>
  void write(LogLevel level, const char* category, const Parts&... parts) const {
    if (!enabled(level)) return;
    const std::string text = concat(parts...);
    callback_(user_data_, level, category, text.c_str());
  }

private:
  LogCallback callback_ = nullptr;
  void* user_data_ = nullptr;
  LogLevel level_ = LogLevel::off;
};

} // namespace anet
