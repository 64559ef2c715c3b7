#include "backend/ane/background.h"

namespace anet::backend::ane {

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Background::submit(Job& job) {
  {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    job.next_ = nullptr;
    job.pending_ = true;
    (last_ == nullptr ? first_ : last_->next_) = &job;
    last_ = &job;
  }
  wake_.notify_one();
}

void Background::wait(const Job& job) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return !job.pending_; });
}

void Background::drain() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return first_ == nullptr && !busy_; });
}

void Background::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || first_ != nullptr; });
    if (first_ == nullptr) return;
    Job& job = *first_;
    first_ = job.next_;
    if (first_ == nullptr) last_ = nullptr;
    busy_ = true;
    lock.unlock();
    job.run();
    lock.lock();
    busy_ = false;
    job.pending_ = false;
    done_.notify_all();
  }
}

} // namespace anet::backend::ane
