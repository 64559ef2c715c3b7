#include "train/background_norm.h"

namespace anet::train {

BackgroundNorm::BackgroundNorm(NarrowGradients& gradients, Optimizer& optimizer, ThreadPool& pool)
    : gradients_(gradients), optimizer_(optimizer), pool_(pool) {
  tensors_.reserve(gradients.count());
}

BackgroundNorm::~BackgroundNorm() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundNorm::start() {
  const std::lock_guard lock(mutex_);
  tensors_.clear();
  done_ = 0;
  optimizer_.forget_squares();
}

void BackgroundNorm::add(size_t tensor) {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  {
    const std::lock_guard lock(mutex_);
    tensors_.push_back(tensor);
  }
  changed_.notify_all();
}

void BackgroundNorm::finish() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ == tensors_.size(); });
}

void BackgroundNorm::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || done_ < tensors_.size(); });
    if (stop_) return;
    const size_t tensor = tensors_[done_];
    lock.unlock();
    try {
      const NarrowGradients::Access access(gradients_, tensor);
      optimizer_.sum_squares(pool_, tensor, access.values());
    } catch (...) { // NOLINT(bugprone-empty-catch): see finish
    }
    lock.lock();
    done_ += 1;
    changed_.notify_all();
  }
}

} // namespace anet::train
