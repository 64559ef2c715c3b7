// Which element-wise kernel an op is.
#pragma once

#include "backend/cpu/pointwise_kernels.h"
#include "mil/program.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anet::backend::cpu {

// A call of one kernel of make_pointwise_step, which knows the variants for fp16 and integers.
struct ElementwiseCall {
  std::string kernel;
  std::vector<std::string_view> inputs; // names of arguments
  PointwiseParameters parameters{};
};

// nullopt for ops of other families and for cast, which is more than one kernel.
std::optional<ElementwiseCall> elementwise_call(const mil::Function& function,
                                                const mil::Operation& op);

} // namespace anet::backend::cpu
