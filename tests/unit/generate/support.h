// What the tests of generation share.
#pragma once

#include "base/status.h"

namespace anet {

// How an action ended.
template <typename Action>
Status status_of(Action&& action) {
  try {
    action();
    return Status::ok;
  } catch (const Error& error) {
    return error.status();
  }
}

} // namespace anet
