// AdamW (Loshchilov & Hutter 2019) and SGD with momentum over one flat array of parameters.
#pragma once

#include "base/flat_array.h"
#include "base/thread_pool.h"
#include "model/parameters.h"
#include "train/options.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

// What one update needs to know beyond the options.
struct Update {
  int64_t step = 1; // number of this update, from 1: Adam's bias correction
  double learning_rate = 0;
  double gradient_factor = 1; // multiplies the accumulated gradient: mean, unscale and clip in one
};

class Optimizer {
public:
  // Names of the state arrays: {"exp_avg", "exp_avg_sq"}, {"momentum_buffer"} or none.
  static std::vector<std::string> state_names(const SessionOptions& options);

  Optimizer(const SessionOptions& options, const model::ParameterTable& parameters);

  // L2 norm, accumulated in double over fixed segments: the same bits for any number of threads.
  double gradient_norm(ThreadPool& pool, std::span<const float> gradients) const;
  // Cannot fail: a session's step is atomic because this is its last act.
  void update(ThreadPool& pool, const Update& update, std::span<float> weights,
              std::span<const float> gradients);

  const std::vector<std::string>& names() const { return names_; }
  std::span<float> state(size_t index) { return states_[index].values(); }
  std::span<const float> state(size_t index) const { return states_[index].values(); }

private:
  struct Segment {
    int64_t begin = 0;
    int64_t end = 0;
    bool decay = false;
  };

  void update_adamw(const Segment& segment, const Update& update, float* weights,
                    const float* gradients);
  void update_sgd(const Segment& segment, const Update& update, float* weights,
                  const float* gradients);

  SessionOptions options_;
  std::vector<std::string> names_;
  std::vector<FlatArray> states_;
  std::vector<Segment> segments_;
};

} // namespace anet::train
