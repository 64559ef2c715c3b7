// Steps that compute each output element from one element of each input.
#pragma once

#include "backend/cpu/convert.h"
#include "backend/cpu/pointwise_kernels.h"
#include "backend/cpu/step.h"

#include <string_view>

namespace anet::backend::cpu {

// Inputs broadcast to the output's shape. The op's float kernel runs when it has one and every
// operand is floating (or a boolean); else its double kernel. The output may be the very memory of
// an input, with the same strides, when their element sizes are equal. Throws unsupported when
// there is no kernel for the element types.
std::unique_ptr<Step> make_pointwise_step(std::string_view op, std::span<const Operand> inputs,
                                          const Operand& output,
                                          const PointwiseParameters& parameters = {},
                                          HalfRule rule = HalfRule::elementwise);

// True when make_pointwise_step has a kernel for these element types.
bool has_pointwise_step(std::string_view op, std::span<const DataType> inputs, DataType output);

} // namespace anet::backend::cpu
