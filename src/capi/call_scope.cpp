#include "capi/call_scope.h"

namespace anet::capi {

namespace {

// Different for each running thread, even and never 0.
uintptr_t thread_token() noexcept {
  thread_local const int64_t marker = 0;
  return reinterpret_cast<uintptr_t>(&marker);
}

} // namespace

CallState::Entry CallState::enter(Access access) noexcept {
  const uintptr_t self = thread_token();
  uintptr_t state = state_.load(std::memory_order_relaxed);
  while (true) {
    if (state == self) return Entry::nested;
    const bool read_only = state % 2 == 1;
    if (state != 0 && !(read_only && access == Access::shared)) return Entry::refused;
    uintptr_t next = self;
    if (access == Access::shared) next = state == 0 ? 3 : state + 2;
    if (state_.compare_exchange_weak(state, next, std::memory_order_acquire,
                                     std::memory_order_relaxed))
      return Entry::entered;
  }
}

void CallState::leave(Access access) noexcept {
  if (access == Access::exclusive) {
    state_.store(0, std::memory_order_release);
    return;
  }
  uintptr_t state = state_.load(std::memory_order_relaxed);
  while (!state_.compare_exchange_weak(state, state == 3 ? 0 : state - 2, std::memory_order_release,
                                       std::memory_order_relaxed)) {
  }
}

} // namespace anet::capi
