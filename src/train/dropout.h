// Masks of dropout: which elements of an adapter's input are left out, and what the others are
// multiplied by. A mask is a function of seed, step, micro-batch, layer and input, so the backward
// pass and a resumed run see what the forward pass saw, and none is kept.
#pragma once

#include "backend/backend.h"
#include "backend/tensor_copy.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace anet::train {

struct DropoutMoment {
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t micro_batch = 0;
};

// Element i of a mask [elements]: 0 with the probability, else 1 / (1 - probability). `first`
// tells apart masks of one layer and input: they may not overlap.
void fill_dropout(ThreadPool& pool, const DropoutMoment& moment, double probability, int32_t layer,
                  const std::string& port, int64_t first, std::span<float> mask);

// The buffers of the masks, one a port, which all layers share.
class DropoutMasks {
public:
  DropoutMasks(backend::Device& device, double probability,
               const std::map<std::string, backend::Layout>& layouts);

  backend::View view(const std::string& port, const backend::Layout& layout) const;
  // Writes the mask of one layer into a view of its port.
  void fill(const DropoutMoment& moment, int32_t layer, const std::string& port, int64_t first,
            const backend::View& view);

  // What the buffers of such ports take.
  static uint64_t bytes(const std::map<std::string, backend::Layout>& layouts);

private:
  backend::Device& device_;
  double probability_;
  std::map<std::string, std::unique_ptr<backend::Buffer>> buffers_;
  std::vector<float> values_; // for buffers that cannot be written in place
};

} // namespace anet::train
