// The buffers between the kernels of a step. Internal to step_plan.cpp and step_calls.cpp.
#pragma once

#include "train/step_plan.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace anet::train {

struct StepPlan::Buffers {
  using Owned = std::unique_ptr<backend::Buffer>;
  Owned tokens;        // int32 [n]
  Owned targets;       // int32 [n]
  Owned target_weight; // fp32 [n]
  Owned rope_cos;
  Owned rope_sin;
  Owned mask;
  Owned losses; // fp32 [n], of an evaluation
  Owned loss;   // fp32 [1], a sum
  Owned d_loss; // fp32 [1], the seed

  // An evaluation keeps nothing: the input of layer i is in hidden[i % size], which has one more
  // than the largest group has layers, and all groups write their taps to the same place.
  std::vector<Owned> hidden;
  std::vector<std::vector<Owned>> taps; // by place in the group, by slot

  // In training the inputs of the layers that backward reaches are kept, and their taps; those of
  // the last group in the buffers above.
  std::vector<Owned> kept;
  std::vector<backend::Buffer*> layer_hidden;            // by layer, the last one of the head
  std::vector<std::vector<backend::Buffer*>> layer_taps; // by layer and slot
  // The gradient of the input of group i is in d_hidden[i % 2].
  std::array<Owned, 2> d_hidden;

  std::vector<int32_t> host_targets;
  std::vector<float> host_weights;
  std::vector<float> host_losses;
  // What the tables and the mask were made from; they are kept while it stays the same.
  std::vector<int32_t> positions;
  std::optional<size_t> bucket;
  std::vector<float> cosines, sines; // to write from
  std::vector<float> mask_rows;      // of one sequence
};

} // namespace anet::train
