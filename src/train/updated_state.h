// What an update writes beside the weights: gradients and the optimizer's state.
#pragma once

#include "base/flat_array.h"
#include "train/optimizer.h"
#include "train/step_plan.h"

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace anet::train {

// An update may go on after the step that began it has returned. Whoever uses this waits for its
// end, because there is no other way to it.
class UpdatedState {
public:
  // The plan outlives it.
  UpdatedState(Optimizer optimizer, StepPlan& plan)
      : optimizer_(std::move(optimizer)), plan_(plan) {}

  Optimizer& optimizer() {
    plan_.settle();
    return optimizer_;
  }
  // Empty until they are allocated.
  std::span<float> gradients() {
    plan_.settle();
    return gradients_.values();
  }
  // Of so many elements, unless they are; the optimizer's state, too. Throws out_of_memory.
  void allocate(int64_t elements) {
    if (gradients().empty()) gradients_ = FlatArray(elements);
    optimizer_.allocate();
  }
  // Beside an update, which goes by the rows that were seen before it: see Optimizer.
  void see_rows(std::span<const int32_t> rows) { optimizer_.see_rows(rows); }

private:
  Optimizer optimizer_;
  FlatArray gradients_;
  StepPlan& plan_;
};

} // namespace anet::train
