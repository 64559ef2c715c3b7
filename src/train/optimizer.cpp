#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace anet::train {

namespace {

constexpr int64_t segment_elements = 1 << 16; // 256 KB of each array: fits the second-level cache

// Eight running sums, so that the compiler may vectorise without reassociating.
double sum_of_squares(std::span<const float> values) {
  double lanes[8] = {};
  const size_t whole = values.size() / 8 * 8;
  for (size_t at = 0; at < whole; at += 8)
    for (size_t lane = 0; lane < 8; ++lane) {
      const double value = values[at + lane];
      lanes[lane] += value * value;
    }
  for (size_t at = whole; at < values.size(); ++at) {
    const double value = values[at];
    lanes[at - whole] += value * value;
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

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

double Optimizer::gradient_norm(ThreadPool& pool, std::span<const float> gradients) const {
  std::vector<double> sums(segments_.size());
  pool.parallel_for(static_cast<int64_t>(segments_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Segment& segment = segments_[static_cast<size_t>(i)];
      const auto size = static_cast<size_t>(segment.end - segment.begin);
      sums[static_cast<size_t>(i)] =
          sum_of_squares(gradients.subspan(static_cast<size_t>(segment.begin), size));
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

void Optimizer::update(ThreadPool& pool, const Update& update, std::span<float> weights,
                       std::span<const float> gradients) {
  state_.updates += 1;
  pool.parallel_for(static_cast<int64_t>(segments_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Segment& segment = segments_[static_cast<size_t>(i)];
      if (options_.optimizer == OptimizerKind::adamw)
        update_adamw(segment, update, weights.data(), gradients.data());
      else
        update_sgd(segment, update, weights.data(), gradients.data());
    }
  });
}

// w -= lr wd w;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
// w -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + epsilon)
void Optimizer::update_adamw(const Segment& segment, const Update& update, float* weights,
                             const float* gradients) {
  const auto t = static_cast<double>(state_.updates);
  const auto factor = static_cast<float>(update.gradient_factor);
  const auto beta1 = static_cast<float>(options_.beta1);
  const auto beta2 = static_cast<float>(options_.beta2);
  const auto epsilon = static_cast<float>(options_.epsilon);
  const double correction1 = 1 - std::pow(options_.beta1, t);
  const double correction2 = 1 - std::pow(options_.beta2, t);
  const auto step_size = static_cast<float>(update.learning_rate / correction1);
  const auto root_correction = static_cast<float>(1 / std::sqrt(correction2));
  const double decay = segment.decay ? options_.weight_decay : 0;
  const auto keep = static_cast<float>(1 - update.learning_rate * decay);

  const auto n = segment.end - segment.begin;
  float* __restrict w = weights + segment.weights;
  const float* __restrict g = gradients + segment.begin;
  float* __restrict m = state_.arrays[0].values().data() + segment.begin;
  float* __restrict v = state_.arrays[1].values().data() + segment.begin;
  for (int64_t i = 0; i < n; ++i) {
    const float gradient = g[i] * factor;
    m[i] = beta1 * m[i] + (1 - beta1) * gradient;
    v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
    w[i] = w[i] * keep - step_size * m[i] / (std::sqrt(v[i]) * root_correction + epsilon);
  }
}

// w -= lr wd w;  b = momentum b + g;  w -= lr b
void Optimizer::update_sgd(const Segment& segment, const Update& update, float* weights,
                           const float* gradients) {
  const auto factor = static_cast<float>(update.gradient_factor);
  const auto momentum = static_cast<float>(options_.momentum);
  const auto rate = static_cast<float>(update.learning_rate);
  const double decay = segment.decay ? options_.weight_decay : 0;
  const auto keep = static_cast<float>(1 - update.learning_rate * decay);

  float* buffer = state_.arrays.empty() ? nullptr : state_.arrays[0].values().data();
  float* w = weights + (segment.weights - segment.begin);
  for (int64_t i = segment.begin; i < segment.end; ++i) {
    float direction = gradients[i] * factor;
    if (buffer != nullptr) direction = buffer[i] = momentum * buffer[i] + direction;
    w[i] = w[i] * keep - rate * direction;
  }
}

} // namespace anet::train
