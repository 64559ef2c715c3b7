#include "train/background_norm.h"

namespace anet::train {

BackgroundNorm::BackgroundNorm(NarrowGradients& gradients, Optimizer& optimizer, ThreadPool& pool)
    : gradients_(gradients), optimizer_(optimizer), pool_(pool),
      worker_([this](size_t index) { sum(tensors_[index]); }) {
  tensors_.reserve(gradients.count());
}

void BackgroundNorm::start() {
  worker_.start(0);
  tensors_.clear();
  optimizer_.forget_squares();
}

void BackgroundNorm::add(size_t tensor) {
  tensors_.push_back(tensor);
  worker_.add();
}

void BackgroundNorm::sum(size_t tensor) {
  const NarrowGradients::Access access(gradients_, tensor);
  optimizer_.sum_squares(pool_, tensor, access.values());
}

} // namespace anet::train
