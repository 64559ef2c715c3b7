// Overlapping calls on one handle are refused with Status::busy instead of harming anything.
#pragma once

#include "capi/handle.h"

#include <atomic>
#include <cstdint>

namespace anet::capi {

enum class Access {
  shared,   // reads; any number of threads at once
  exclusive // one thread
};

// What a thread that is inside a call already may do: from a callback, or with a buffer that is
// bound twice.
enum class Nesting { refused, allowed };

// Who is inside the calls of a handle.
class CallState {
public:
  enum class Entry { refused, nested, entered };
  // The thread that holds the exclusive access may enter again; that is `nested`.
  Entry enter(Access access) noexcept;
  void leave(Access access) noexcept;

private:
  // 0: nobody. Odd: 2 * readers + 1. Even: the token of the thread with the exclusive access.
  std::atomic<uintptr_t> state_{0};
};

// Lasts as long as a call and keeps the handle alive, so that a release during the call, from a
// callback or from another thread, takes effect after it.
template <typename T>
class CallScope {
public:
  CallScope(T& handle, Access access, Nesting nesting, const char* argument)
      : handle_(handle), access_(access), entry_(handle.calls.enter(access)) {
    const bool nested = entry_ == CallState::Entry::nested;
    if (entry_ == CallState::Entry::refused || (nested && nesting == Nesting::refused))
      fail(Status::busy, "expected no other call in progress on '", argument, "', seen one ",
           nested ? "that this thread is inside of" : "of another thread");
  }
  CallScope(CallScope&& other) noexcept
      : handle_(std::move(other.handle_)), access_(other.access_),
        entry_(std::exchange(other.entry_, CallState::Entry::refused)) {}
  CallScope& operator=(CallScope&&) = delete;
  ~CallScope() {
    if (entry_ == CallState::Entry::entered) handle_->calls.leave(access_);
  }

private:
  Ref<T> handle_;
  Access access_;
  CallState::Entry entry_;
};

// The usual case: a handle of the class "one thread at a time" whose calls do not nest.
template <typename T>
CallScope<T> enter_call(T& handle, const char* argument) {
  return CallScope<T>(handle, Access::exclusive, Nesting::refused, argument);
}

} // namespace anet::capi
