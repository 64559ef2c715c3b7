// The arithmetic of the optimizers, in the widest vectors that the machine has, in sweeps over
// memory, which are what an update costs.
//
// Nothing is reassociated or fused into a multiply-add, division and square root are correctly
// rounded, and sums have an order that no width changes: from equal gradients every machine makes
// the same bits, so that a checkpoint goes on anywhere as it would have here.
#pragma once

#include <cstdint>
#include <span>

namespace anet::train {

// One number of the state of each element, in either type: in bf16 it is rounded by chance. With
// rounding to nearest an average that moves by less than 1/256 of itself would stand still.
struct StateRange {
  float* values = nullptr;
  uint16_t* bfloat16_values = nullptr;
};

// An update in one sweep, or in two with the same bits.
enum class UpdateSweep : uint8_t {
  whole,
  weights, // the first: gradients and state stay as they are
  state,   // the second: that and the gradients' zeros; weights are neither read nor written
};

// Weights and what belongs to them, element for element.
struct UpdateRange {
  int64_t count = 0;
  float* weights = nullptr;
  float* gradients = nullptr;                  // zeros afterwards; null: there are
  const uint16_t* float16_gradients = nullptr; // only these, which stay
  StateRange first = {};                       // exp_avg, or momentum_buffer or none
  StateRange second = {};                      // exp_avg_sq, for AdamW alone
  uint16_t* bfloat16_weights = nullptr;        // the new weights in bfloat16, unless null
  UpdateSweep sweep = UpdateSweep::whole;
  // Names the first element among the random numbers by which state in bfloat16 is rounded; the
  // others follow it.
  uint32_t noise = 0;
};

struct AdamWFactors {
  float gradient = 1; // multiplies the gradient first
  float beta1 = 0;
  float beta2 = 0;
  float epsilon = 0;
  float step_size = 0;       // learning rate / (1 - beta1^t)
  float root_correction = 0; // 1 / sqrt(1 - beta2^t)
};

struct SgdFactors {
  float gradient = 1;
  float momentum = 0;
  float learning_rate = 0;
};

// w = keep w - step_size m / (root_correction sqrt(v) + epsilon), after m = b1 m + (1-b1) g and
// v = b2 v + (1-b2) g^2. `keep` is 1 - learning rate * decay.
void update_adamw(const UpdateRange& range, const AdamWFactors& factors, float keep);
// w = keep w - learning_rate b, after b = momentum b + g; without `first` b is g.
void update_sgd(const UpdateRange& range, const SgdFactors& factors, float keep);
// w = keep w: either update, whole or the sweep of the weights, where gradient and state are zeros.
void scale_weights(const UpdateRange& range, float keep);

// In double; of numbers in fp16 as of the same in fp32.
double sum_of_squares(std::span<const float> values);
double sum_of_squares(std::span<const uint16_t> float16_values);

} // namespace anet::train
