#include "train/optimizer.h"

#include "train/optimizer_kernels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace anet::train {

namespace {

constexpr int64_t segment_elements = 1 << 16; // 256 KB of each array: fits the second-level cache

} // namespace

std::vector<std::string> Optimizer::state_names(const SessionOptions& options) {
  if (options.optimizer == OptimizerKind::adamw) return {"exp_avg", "exp_avg_sq"};
  if (options.momentum != 0) return {"momentum_buffer"};
  return {};
}

Optimizer::Optimizer(const SessionOptions& options, const TrainedTensors& tensors)
    : options_(options), names_(state_names(options)), flat_size_(tensors.flat_size()) {
  for (const TrainedTensor& tensor : tensors.all()) {
    const int64_t end = tensor.offset + tensor.parameter->elements;
    const int64_t distance = tensor.parameter->offset - tensor.offset;
    for (int64_t begin = tensor.offset; begin < end; begin += segment_elements)
      segments_.push_back({begin, std::min(begin + segment_elements, end), begin + distance,
                           tensor.parameter->decay});
  }
  segment_sums_.resize(segments_.size());
}

OptimizerState Optimizer::fresh_state() const {
  OptimizerState state;
  for (size_t i = 0; i < names_.size(); ++i) state.arrays.emplace_back(flat_size_);
  return state;
}

void Optimizer::allocate() {
  if (!is_allocated()) state_.arrays = fresh_state().arrays;
}

OptimizerState Optimizer::exchange(OptimizerState state) noexcept {
  return std::exchange(state_, std::move(state));
}

double Optimizer::gradient_norm(ThreadPool& pool, std::span<const float> gradients) {
  pool.parallel_for(static_cast<int64_t>(segments_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Segment& segment = segments_[static_cast<size_t>(i)];
      const auto size = static_cast<size_t>(segment.end - segment.begin);
      segment_sums_[static_cast<size_t>(i)] =
          sum_of_squares(gradients.subspan(static_cast<size_t>(segment.begin), size));
    }
  });
  return std::sqrt(std::accumulate(segment_sums_.begin(), segment_sums_.end(), 0.0));
}

template <typename Kernel>
void Optimizer::sweep(ThreadPool& pool, const Update& update, const UpdateArrays& arrays,
                      Kernel&& kernel) {
  const auto keep = [&](double decay) {
    return static_cast<float>(1 - update.learning_rate * decay);
  };
  const float decayed = keep(options_.weight_decay), kept = keep(0);
  const auto state = [&](size_t index, int64_t at) {
    return index < state_.arrays.size() ? this->state(index).data() + at : nullptr;
  };
  pool.parallel_for(static_cast<int64_t>(segments_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Segment& segment = segments_[static_cast<size_t>(i)];
      const bool mirrored = !arrays.bfloat16_weights.empty();
      kernel(UpdateRange{.count = segment.end - segment.begin,
                         .weights = arrays.weights.data() + segment.weights,
                         .gradients = arrays.gradients.data() + segment.begin,
                         .first = state(0, segment.begin),
                         .second = state(1, segment.begin),
                         .bfloat16_weights =
                             mirrored ? arrays.bfloat16_weights.data() + segment.weights : nullptr},
             segment.decay ? decayed : kept);
    }
  });
}

void Optimizer::update(ThreadPool& pool, const Update& update, const UpdateArrays& arrays) {
  state_.updates += 1;
  const auto gradient = static_cast<float>(update.gradient_factor);
  if (options_.optimizer == OptimizerKind::sgd) {
    const SgdFactors factors{.gradient = gradient,
                             .momentum = static_cast<float>(options_.momentum),
                             .learning_rate = static_cast<float>(update.learning_rate)};
    return sweep(pool, update, arrays,
                 [&](const UpdateRange& range, float keep) { update_sgd(range, factors, keep); });
  }
  const auto t = static_cast<double>(state_.updates);
  const double correction1 = 1 - std::pow(options_.beta1, t);
  const double correction2 = 1 - std::pow(options_.beta2, t);
  const AdamWFactors factors{.gradient = gradient,
                             .beta1 = static_cast<float>(options_.beta1),
                             .beta2 = static_cast<float>(options_.beta2),
                             .epsilon = static_cast<float>(options_.epsilon),
                             .step_size = static_cast<float>(update.learning_rate / correction1),
                             .root_correction = static_cast<float>(1 / std::sqrt(correction2))};
  sweep(pool, update, arrays,
        [&](const UpdateRange& range, float keep) { update_adamw(range, factors, keep); });
}

} // namespace anet::train
