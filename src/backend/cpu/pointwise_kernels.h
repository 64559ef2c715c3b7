// Element-wise functions over contiguous runs. A new op is one line in each table of
// pointwise_kernels.cpp (vectorised, float) or pointwise_double.cpp (plain, double).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace anet::backend::cpu {

inline constexpr size_t max_pointwise_inputs = 3;

// alpha, beta, epsilon: what each op reads is said in its table.
using PointwiseParameters = std::array<float, 3>;

// `scalars` has bit i set when input i is one value for the whole run. The output may be the same
// memory as an input, but not overlap it otherwise.
using PointwiseFloat = void (*)(const float* const* inputs, unsigned scalars, float* output,
                                int64_t n, const PointwiseParameters& parameters);
using PointwiseDouble = void (*)(const double* const* inputs, double* output, int64_t n,
                                 const PointwiseParameters& parameters);

// nullptr when the op has no kernel of that kind.
PointwiseFloat pointwise_float(std::string_view op);
PointwiseDouble pointwise_double(std::string_view op);

} // namespace anet::backend::cpu
