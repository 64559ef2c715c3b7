// Splits a joint function (outputs and gradients in one) into what runs forward and what runs
// backward. Internal to differentiation.
#pragma once

#include "mil/differentiate.h"
#include "mil/program.h"

#include <vector>

namespace anet::mil::gradient {

struct Joint {
  Function function;
  std::vector<bool> is_forward; // by value: part of the original function
  std::vector<bool> is_seed;    // by value
  std::vector<ValueId> outputs; // of the original function
  std::vector<ValueId> gradients;
};

// The forward values, neither inputs nor constants, that backward is to receive: those that it
// reads, directly or to compute others again. In the order of the function.
// `listed` marks values by id, and is read under Taps::listed only, `costs` under Taps::automatic.
std::vector<ValueId> choose_taps(const Joint& joint, Taps taps, const std::vector<bool>& listed,
                                 const TapCosts& costs);

// The forward inputs that backward reads when it receives `taps`.
std::vector<ValueId> inputs_read(const Joint& joint, const std::vector<ValueId>& taps);

} // namespace anet::mil::gradient
