#pragma once

#include <ane_train.h>

#include <utility>

namespace anet::capi {

// Something of the caller's: says exactly once when the library no longer needs it.
class ReleaseCallback {
public:
  ReleaseCallback() = default;
  ReleaseCallback(anet_release_callback release, void* user_data)
      : release_(release), user_data_(user_data) {}
  ReleaseCallback(ReleaseCallback&& other) noexcept
      : release_(std::exchange(other.release_, nullptr)), user_data_(other.user_data_) {}
  ReleaseCallback& operator=(ReleaseCallback other) noexcept {
    std::swap(release_, other.release_);
    std::swap(user_data_, other.user_data_);
    return *this;
  }
  ~ReleaseCallback() {
    if (release_ != nullptr) release_(user_data_);
  }

private:
  anet_release_callback release_ = nullptr;
  void* user_data_ = nullptr;
};

} // namespace anet::capi
