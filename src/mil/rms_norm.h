// The heart of an RMS norm (Zhang & Sennrich 2019), as programs write it and as gradients find it.
#pragma once

#include "mil/builder.h"

#include <optional>

namespace anet::mil {

// factor / sqrt(mean(x^2) + epsilon) along one axis, which stays with extent 1. fp16 holds no
// squares from 256 on, and a trained model's residual stream has channels of some thousands (Sun et
// al. 2024); so in fp16 it is written with the root of their sum, which fp16 holds up to 65504.
ValueId inverse_rms(Builder& b, ValueId x, int64_t axis, double epsilon, double factor = 1);

struct InverseRms {
  ValueId x = no_value;
  double factor = 1;
};

// What `id` is the inverse RMS of, in either form; nothing when it is something else.
std::optional<InverseRms> find_inverse_rms(const Function& function, ValueId id);

// The x of reduce_mean(x * x), keep_dims; no_value when `id` is something else.
ValueId squared_operand_of_mean(const Function& function, ValueId id);

} // namespace anet::mil
