// The one place where exceptions become statuses and error objects.
#pragma once

#include <ane_train.h>

#include <memory>

namespace anet::capi {

// Called in a catch block: the status of the current exception, described in `*error` unless
// `error` is NULL. Without memory for the description, `*error` is a permanent object.
anet_status report_exception(anet_error** error) noexcept;

template <typename Body>
anet_status guard(anet_error** error, Body&& body) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    body();
    return ANET_OK;
  } catch (...) {
    return report_exception(error);
  }
}

[[noreturn]] void fail_null(const char* argument);

template <typename T>
T& require(T* pointer, const char* argument) {
  if (pointer == nullptr) fail_null(argument);
  return *pointer;
}

// For calls that make a handle: `make` returns a unique_ptr or a Ref to it; `*output` is NULL
// unless it succeeds.
template <typename T, typename Make>
anet_status guard_create(T** output, const char* argument, anet_error** error,
                         Make&& make) noexcept {
  if (output != nullptr) *output = nullptr;
  return guard(error, [&] {
    require(output, argument);
    *output = make().release();
  });
}

} // namespace anet::capi
