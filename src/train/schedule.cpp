#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace anet::train {

double scheduled_learning_rate(const SessionOptions& options, int64_t steps_done) {
  const double rate = options.learning_rate;
  if (steps_done < options.warmup_steps)
    return rate * static_cast<double>(steps_done + 1) / static_cast<double>(options.warmup_steps);

  const double floor = options.min_learning_rate;
  const auto share = [](int64_t done, int64_t all) {
    return std::clamp(static_cast<double>(done) / static_cast<double>(all), 0.0, 1.0);
  };
  switch (options.schedule) {
  case ScheduleKind::constant:
    return rate;
  case ScheduleKind::linear:
    return rate + (floor - rate) * share(steps_done - options.warmup_steps,
                                         options.total_steps - options.warmup_steps);
  case ScheduleKind::cosine: {
    const double p =
        share(steps_done - options.warmup_steps, options.total_steps - options.warmup_steps);
    return floor + (rate - floor) * 0.5 * (1 + std::cos(std::numbers::pi * p));
  }
  case ScheduleKind::wsd: {
    const int64_t decay_start = options.total_steps - options.decay_steps;
    return rate + (floor - rate) * share(steps_done - decay_start, options.decay_steps);
  }
  }
  return rate;
}

} // namespace anet::train
