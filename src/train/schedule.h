// Learning-rate schedules; formulas in include/ane_train.h, anet_schedule.
#pragma once

#include "train/options.h"

namespace anet::train {

// The rate of the update that follows `steps_done` updates.
double scheduled_learning_rate(const SessionOptions& options, int64_t steps_done);

} // namespace anet::train
