// A write that goes on after the call that began it has returned, and those who wait for its end.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace anet {

// Thread class: one writer at a time; any thread may wait.
class PendingWrite {
public:
  void begin() { pending_.store(true, std::memory_order_release); }
  void end() {
    const std::lock_guard lock(mutex_);
    pending_.store(false, std::memory_order_release);
    ended_.notify_all();
  }
  // What was written is visible afterwards. Costs a load when nothing is.
  void wait() const {
    const auto is_done = [this] { return !pending_.load(std::memory_order_acquire); };
    if (is_done()) return;
    std::unique_lock lock(mutex_);
    ended_.wait(lock, is_done);
  }

private:
  std::atomic<bool> pending_{false};
  mutable std::mutex mutex_;
  mutable std::condition_variable ended_;
};

} // namespace anet
