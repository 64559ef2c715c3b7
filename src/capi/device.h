#pragma once

#include "backend/backend.h"
#include "base/log.h"
#include "capi/handle.h"
#include "capi/release_callback.h"

#include <memory>

namespace anet::capi {

// The application's log callback; outlives every logger that points to it, because whoever logs
// holds the device.
struct LogSink {
  anet_log_callback callback = nullptr;
  void* user_data = nullptr;
};

} // namespace anet::capi

struct anet_device : anet::capi::Handle<anet::capi::HandleKind::device> {
  // Members are destroyed from the last to the first: whoever logs ends before the sink is given
  // back.
  anet::capi::ReleaseCallback log_release;
  std::shared_ptr<anet::backend::Device> device;
  anet::capi::LogSink sink;
  anet::Logger logger; // points to `sink`
};
