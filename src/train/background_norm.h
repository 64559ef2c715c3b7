// Squares of the gradients that a pass returns in fp16, summed on a thread of its own while the
// engine computes those of the layers below.
#pragma once

#include "base/background_worker.h"
#include "base/thread_pool.h"
#include "train/narrow_gradients.h"
#include "train/optimizer.h"

#include <cstddef>
#include <vector>

namespace anet::train {

// Thread class: one thread at a time.
class BackgroundNorm {
public:
  // All outlive this object. The thread, made by the first part, sums with the pool.
  BackgroundNorm(NarrowGradients& gradients, Optimizer& optimizer, ThreadPool& pool);

  // Forgets what was summed; the last part must have been finished.
  void start();
  // This part of the gradients is complete. Allocates nothing.
  void add(size_t part);
  // Waits for all that were added. What could not be read is left to Optimizer::gradient_norm,
  // which finds out why.
  void finish() noexcept { worker_.settle(); }

private:
  void sum(size_t part);

  NarrowGradients& gradients_;
  Optimizer& optimizer_;
  ThreadPool& pool_;
  std::vector<size_t> parts_; // since start; never moves
  BackgroundWorker worker_;
};

} // namespace anet::train
