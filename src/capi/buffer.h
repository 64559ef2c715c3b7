#pragma once

#include "capi/call_scope.h"
#include "capi/device.h"
#include "capi/release_callback.h"

#include <memory>
#include <utility>

struct anet_buffer : anet::capi::Handle<anet::capi::HandleKind::buffer> {
  anet_buffer(anet_device& parent, std::unique_ptr<anet::backend::Buffer> made,
              anet::capi::ReleaseCallback imported = {})
      : device(parent), memory(std::move(imported)), buffer(std::move(made)) {}

  // Members are destroyed from the last to the first.
  anet::capi::Ref<anet_device> device;
  anet::capi::ReleaseCallback memory;
  std::unique_ptr<anet::backend::Buffer> buffer;
  int32_t mappings = 0;
  mutable anet::capi::CallState calls;
};
