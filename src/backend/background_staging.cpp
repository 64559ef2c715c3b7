#include "backend/background_staging.h"

#include <utility>

namespace anet::backend {

BackgroundStaging::~BackgroundStaging() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundStaging::start() {
  if (array_.copy_count() == 0) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  {
    const std::lock_guard lock(mutex_);
    done_ = 0;
    bytes_ = 0;
    error_ = nullptr;
    active_ = true;
  }
  changed_.notify_all();
}

void BackgroundStaging::wait(size_t copies) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !active_ || done_ >= copies; });
  if (error_) std::rethrow_exception(error_);
}

uint64_t BackgroundStaging::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !active_; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return std::exchange(bytes_, 0);
}

void BackgroundStaging::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return active_ || stop_; });
    if (stop_) return;
    while (active_) {
      const size_t copy = done_;
      lock.unlock();
      uint64_t bytes = 0;
      std::exception_ptr error;
      try {
        bytes = array_.renew(copy, &pool_);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      bytes_ += bytes;
      error_ = error;
      done_ += error ? 0 : 1;
      active_ = !error && !stop_ && done_ < array_.copy_count();
      changed_.notify_all();
    }
  }
}

} // namespace anet::backend
