// What one chip under one system accepts and how it behaves: the answers of the probe (probe.h),
// which lowering works by. The defaults are what every chip is known to take.
#pragma once

#include <cstdint>

namespace anet::backend::ane {

// How weights that change from step to step reach the engine.
enum class ParameterRoute : uint8_t {
  inputs, // as inputs of their own
  packed, // beside the activations in one input, sliced apart inside (ane-facts.md 3.5)
};

// How a constant of few bits is written; each form is refused somewhere (ane-facts.md 3.4).
enum class QuantizedForm : uint8_t {
  none,      // as fp16
  affine,    // constexpr_affine_dequantize
  blockwise, // constexpr_blockwise_shift_scale
  palette,   // constexpr_lut_to_dense
};

// How a product with a constant matrix is written.
enum class ConstantProduct : uint8_t { convolution, matmul };

struct Rules {
  bool available = true;
  ParameterRoute parameter_route = ParameterRoute::inputs;
  ConstantProduct constant_product = ConstantProduct::convolution;
  // Weights that are inputs, reshaped, as kernels of 1x1 convolutions, which are faster than matmul
  // (ane-facts.md 7.2, R). Ignored without a word on M3 Max (3.5, R). Not for packed inputs.
  bool parameter_convolution = false;
  // Matrices that the program computes can be such kernels too. No source says so: probed alone.
  bool computed_convolution = false;
  QuantizedForm int8_form = QuantizedForm::none;
  QuantizedForm int4_form = QuantizedForm::none;
  bool has_rsqrt = true;         // else pow(x + epsilon, -0.5)
  bool has_concat = true;        // else pads and additions
  bool narrow_reduce_sum = true; // sums add up in fp16: written as matmul with ones
  bool narrow_l2_norm = true;    // its squares do: written as the norm of x / max |x|
  // One op broadcasts both of its operands, each along another axis. No source says so: probed.
  bool broadcasts_both = false; // else RoPE is two products, a swap of halves and a sum
  // Slices along the width that do not begin at 0 turn magnitudes above 4094 into infinities
  // (ane-facts.md 6, R: M1, M2): made along the height, between two transposes. Packed inputs lie
  // below each other then.
  bool clamps_width_slices = true;
  // Reshape, concat and slices that change the width do not compile on M2 Max and M3 Ultra
  // (ane-facts.md 4.4, R). What may not is done along other axes, between transposes.
  bool reshapes_width = false;
  bool concats_width = false;
  bool slices_width = false;
  bool native_causal_attention = false; // scaled_dot_product_attention that honours its mask
  bool table_activations = false;       // sigmoid and its like are coarse: written with exp
  bool fp32_ports = false;              // converted inside; else only fp16, int8 and uint8
  bool int8_ports = false;

  // Largest extents (ane-facts.md 4.5).
  int64_t max_width = 16384;
  int64_t max_height = 16384;
  int64_t max_channels = 65536;
  int64_t max_batch = 65536;
  int64_t max_rank = 4;
  int64_t max_ports = 128; // each way; the mapping struct has 128 slots (ane-facts.md 1.5)

  double dispatch_seconds = 1e-4;
  double flops_per_second = 1e12;

  bool operator==(const Rules&) const = default;
};

} // namespace anet::backend::ane
