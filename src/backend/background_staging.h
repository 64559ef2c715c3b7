// Renews the copies of a staged array on a thread of its own, so that kernels can run meanwhile
// which need only the first of them.
#pragma once

#include "backend/staged_array.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>

namespace anet::backend {

// Thread class: one thread at a time. The array's values may not change between `start` and the
// end of `finish`.
class BackgroundStaging {
public:
  // Both outlive this object. The thread, made by the first `start`, converts with the pool.
  BackgroundStaging(StagedArray& array, ThreadPool& pool) : array_(array), pool_(pool) {}
  ~BackgroundStaging();
  BackgroundStaging(const BackgroundStaging&) = delete;
  BackgroundStaging& operator=(const BackgroundStaging&) = delete;

  // Begins to renew all copies in order; the last ones must have been finished.
  void start();
  // Returns when the first `copies` are renewed. Rethrows what went wrong.
  void wait(size_t copies);
  // Waits for all; returns the bytes written since `start`. Rethrows as well; afterwards all is
  // quiet in any case.
  uint64_t finish();

private:
  void work();

  StagedArray& array_;
  ThreadPool& pool_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t done_ = 0; // copies renewed since start
  uint64_t bytes_ = 0;
  std::exception_ptr error_;
  bool active_ = false;
  bool stop_ = false;
};

} // namespace anet::backend
