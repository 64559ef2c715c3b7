// Dynamic loss scale for fp16 gradients (Micikevicius et al. 2018): halved when a gradient
// overflows, doubled after a run of good steps.
#pragma once

#include <algorithm>
#include <cstdint>

namespace anet::train {

struct LossScale {
  double scale = 1;
  int64_t good_steps = 0;   // since the last change
  int64_t growth_steps = 0; // 0: fixed

  static constexpr double min_scale = 1.0 / 1024;
  static constexpr double max_scale = 16777216; // 2^24: gradients of fp16 gain nothing beyond

  bool can_shrink() const { return scale > min_scale; }
  void overflowed() {
    scale = std::max(scale / 2, min_scale);
    good_steps = 0;
  }
  void succeeded() {
    if (growth_steps == 0 || ++good_steps < growth_steps) return;
    scale = std::min(scale * 2, max_scale);
    good_steps = 0;
  }
};

} // namespace anet::train
