#include "train/background_norm.h"

namespace anet::train {

BackgroundNorm::BackgroundNorm(NarrowGradients& gradients, Optimizer& optimizer, ThreadPool& pool)
    : gradients_(gradients), optimizer_(optimizer), pool_(pool),
      worker_([this](size_t index) { sum(parts_[index]); }) {
  parts_.reserve(gradients.count());
}

void BackgroundNorm::start() {
  worker_.start(0);
  parts_.clear();
  optimizer_.forget_squares();
}

void BackgroundNorm::add(size_t part) {
  parts_.push_back(part);
  worker_.add();
}

void BackgroundNorm::sum(size_t part) {
  const NarrowGradients::Access access(gradients_, part);
  optimizer_.sum_squares(pool_, part, access.values());
}

} // namespace anet::train
