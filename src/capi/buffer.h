#pragma once

#include "capi/call_scope.h"
#include "capi/device.h"

#include <memory>
#include <utility>

namespace anet::capi {

// Memory of the caller's: says exactly once when the library no longer needs it.
class ImportedMemory {
public:
  ImportedMemory() = default;
  ImportedMemory(anet_release_callback release, void* user_data)
      : release_(release), user_data_(user_data) {}
  ImportedMemory(ImportedMemory&& other) noexcept
      : release_(std::exchange(other.release_, nullptr)), user_data_(other.user_data_) {}
  ImportedMemory& operator=(ImportedMemory other) noexcept {
    std::swap(release_, other.release_);
    std::swap(user_data_, other.user_data_);
    return *this;
  }
  ~ImportedMemory() {
    if (release_ != nullptr) release_(user_data_);
  }

private:
  anet_release_callback release_ = nullptr;
  void* user_data_ = nullptr;
};

} // namespace anet::capi

struct anet_buffer : anet::capi::Handle<anet::capi::HandleKind::buffer> {
  anet_buffer(anet_device& parent, std::unique_ptr<anet::backend::Buffer> made,
              anet::capi::ImportedMemory imported = {})
      : device(parent), memory(std::move(imported)), buffer(std::move(made)) {}

  // Members are destroyed from the last to the first.
  anet::capi::Ref<anet_device> device;
  anet::capi::ImportedMemory memory;
  std::unique_ptr<anet::backend::Buffer> buffer;
  int32_t mappings = 0;
  mutable anet::capi::CallState calls;
};
