#include "base/background_worker.h"

#include <utility>

namespace anet {

BackgroundWorker::~BackgroundWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundWorker::prepare() {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

void BackgroundWorker::start(size_t tasks) {
  if (tasks > 0) prepare();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ == tasks_; });
    tasks_ = tasks;
    done_ = 0;
    error_ = nullptr;
  }
  changed_.notify_all();
}

void BackgroundWorker::add() {
  prepare();
  {
    const std::lock_guard lock(mutex_);
    tasks_ += 1;
  }
  changed_.notify_all();
}

void BackgroundWorker::wait(size_t tasks) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || done_ == tasks_ || done_ >= tasks; });
  if (error_) std::rethrow_exception(error_);
}

void BackgroundWorker::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ == tasks_; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void BackgroundWorker::settle() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ == tasks_; });
}

void BackgroundWorker::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || done_ < tasks_; });
    if (done_ == tasks_) return;
    const size_t task = done_;
    lock.unlock();
    std::exception_ptr error;
    try {
      task_(task);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (!error_) error_ = error;
    done_ += 1;
    changed_.notify_all();
  }
}

} // namespace anet
