// What to do about an error is done outside of its handler: inside one the framework must not be
// called (objc_exception.h).
#pragma once

#include "base/status.h"

#include <optional>
#include <utility>

namespace anet::backend::ane {

// The Error that `action` throws, or nothing.
template <typename Action>
std::optional<Error> error_of(Action&& action) {
  try {
    std::forward<Action>(action)();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

} // namespace anet::backend::ane
