// Squares of the gradients that a pass returns in fp16, summed on a thread of its own while the
// engine computes those of the layers below.
#pragma once

#include "base/thread_pool.h"
#include "train/narrow_gradients.h"
#include "train/optimizer.h"

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

namespace anet::train {

// Thread class: one thread at a time.
class BackgroundNorm {
public:
  // All outlive this object. The thread, made by the first tensor, sums with the pool.
  BackgroundNorm(NarrowGradients& gradients, Optimizer& optimizer, ThreadPool& pool);
  ~BackgroundNorm();
  BackgroundNorm(const BackgroundNorm&) = delete;
  BackgroundNorm& operator=(const BackgroundNorm&) = delete;

  // Forgets what was summed; the last tensor must have been finished.
  void start();
  // This trained tensor's gradient is complete. Allocates nothing.
  void add(size_t tensor);
  // Waits for all that were added. What could not be read is left to Optimizer::gradient_norm,
  // which finds out why.
  void finish() noexcept;

private:
  void work();

  NarrowGradients& gradients_;
  Optimizer& optimizer_;
  ThreadPool& pool_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<size_t> tensors_; // since start
  size_t done_ = 0;             // of them
  bool stop_ = false;
};

} // namespace anet::train
