// Progress callbacks of calls that take long.
#pragma once

#include "base/status.h"

#include <ane_train.h>

namespace anet::capi {

// Tells the caller, if it asked, and throws cancelled when it does not want to go on.
class ProgressReporter {
public:
  ProgressReporter(anet_progress_callback callback, void* user_data)
      : callback_(callback), user_data_(user_data) {}

  // `what` is null-terminated.
  void report(const char* what, uint64_t done, uint64_t total) const {
    if (!tell(what, done, total)) fail(Status::cancelled, "the progress callback asked to stop");
  }
  // The same, for callbacks that answer: false asks to stop.
  bool tell(const char* what, uint64_t done, uint64_t total) const {
    if (callback_ == nullptr) return true;
    const anet_progress progress{sizeof(anet_progress), 0, what, done, total};
    return callback_(&progress, user_data_) == 0;
  }

private:
  anet_progress_callback callback_;
  void* user_data_;
};

} // namespace anet::capi
