// A thread that does numbered tasks in their order, and those who wait for the first of them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace anet {

// Thread class: one thread at a time.
class BackgroundWorker {
public:
  // Called with 0, 1, 2 .. on the worker's thread. What it throws waits for `wait` or `finish`; the
  // tasks behind it are done all the same.
  explicit BackgroundWorker(std::function<void(size_t)> task) : task_(std::move(task)) {}
  // Waits for all tasks.
  ~BackgroundWorker();
  BackgroundWorker(const BackgroundWorker&) = delete;
  BackgroundWorker& operator=(const BackgroundWorker&) = delete;

  // Makes the thread, once; else the first task does. Throws std::system_error.
  void prepare();
  // Begins anew with so many tasks; waits for earlier ones, and forgets their errors.
  void start(size_t tasks);
  // One more.
  void add();
  // Returns when the first `tasks` are done. Throws the first error so far, whichever task's it
  // was.
  void wait(size_t tasks);
  // Waits for all. Throws the first error, and forgets it.
  void finish();
  // Waits for all; errors are kept.
  void settle() noexcept;

private:
  void work();

  std::function<void(size_t)> task_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t tasks_ = 0; // since start
  size_t done_ = 0;  // of them
  std::exception_ptr error_;
  bool stop_ = false;
};

} // namespace anet
