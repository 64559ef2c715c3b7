// The programs that the probe tries. Internal to it.
#pragma once

#include "mil/builder.h"
#include "mil/interpreter.h"

namespace anet::backend::ane {

using mil::DataType;

// How a constant weight is written (ane-facts.md 3.4).
enum class Constant : uint8_t {
  fp16,
  int8_affine,
  int8_blockwise,
  int8_palette,
  int4_blockwise,
  int4_palette,
};

} // namespace anet::backend::ane

namespace anet::backend::ane::probes {

// Inputs whose names sort unlike their declaration, each counted differently.
mil::Function multiple_inputs();
// [rows, depth] x [depth, columns], both inputs.
mil::Function product(int64_t rows, int64_t depth, int64_t columns);
mil::Function parameter_matmul();
mil::Function parameter_convolution();
// Of two computed matrices, one of them transposed.
mil::Function computed_convolution();
// A weight beside the activations in one input, and one below the other.
mil::Function packed_inputs();
mil::Function concat();
// Each of several heads times each of several tables of their channels, as in RoPE.
mil::Function broadcast_of_both();
// Rows split into heads, and heads joined to rows; both keep the order of the elements.
mil::Function width_reshape();
mil::Function width_concat();
mil::Function leading_width_slice();
mil::Function rsqrt();
mil::Function causal_attention();
mil::Function constant_product(Constant form, bool convolution);
// "y": columns from the second on.
mil::Function width_slice();
// Of 4096 elements each: "over_channels", "over_width".
mil::Function reduce_sums();
// Along channels: "large" of 1024 elements, "long" of 4096 and "small" of 1024.
mil::Function l2_norms();
// Two products a result: 128 * 128 * 2.
mil::Function large_product();
mil::Function activations();
mil::TensorMap activation_inputs();
// Through fp16 inside.
mil::Function port_types(DataType dtype);
mil::Function extents(int64_t height, int64_t width);

} // namespace anet::backend::ane::probes
