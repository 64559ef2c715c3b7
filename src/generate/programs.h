// The compiled programs of a generator, with their weights and buffers.
#pragma once

#include "backend/backend.h"
#include "generate/bound_weights.h"
#include "generate/cached_pass.h"
#include "model/model.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace anet::generate {

// Sizes that the programs are compiled for.
struct ProgramSizes {
  int64_t context = 0;
  int64_t rows = 1; // prompts that are decoded at once
  mil::DataType dtype = mil::DataType::fp32;
};

// The last norm and the product with the vocabulary, for a number of columns.
class LogitsHead {
public:
  // Compiles, and declares the kernel to the weights; binds nothing yet. `weights` outlives it.
  LogitsHead(backend::Device& device, BoundWeights& weights, mil::DataType dtype, int64_t columns,
             const std::shared_ptr<backend::Workspace>& workspace);
  void bind(backend::Device& device);

  // The layout of the embedding that the head shares; nullopt when it shares none.
  std::optional<backend::Layout> embedding_layout() const;
  // [vocabulary, columns] of columns of a pass's hidden states, `first` and those after it; valid
  // until the next call.
  std::span<const float> run(backend::Buffer& states, int64_t first);

private:
  BoundWeights& weights_;
  int64_t columns_;
  std::unique_ptr<backend::Kernel> kernel_;
  std::unique_ptr<backend::Buffer> hidden_;
  std::unique_ptr<backend::Buffer> logits_;
  std::vector<backend::View> inputs_;
  backend::View output_;
  std::vector<float> values_;
};

struct Programs {
  Programs(backend::Device& device, model::Model& model, const ProgramSizes& sizes,
           const AdapterRoom& room);

  // For the columns of all rows of a batch.
  LogitsHead& batch_head() { return heads.back(); }

  BoundWeights weights;
  std::shared_ptr<backend::Workspace> workspace;
  std::vector<LogitsHead> heads; // of one column, and of a batch's
  CachedPass prefill;
  CachedPass decode;
  std::optional<CachedPass> batch;
  std::optional<KeyValueCache> cache;

private:
  std::vector<LogitsHead> make_heads(backend::Device& device, const ProgramSizes& sizes);
  SharedLayouts shared_layouts(int64_t rows) const;
};

} // namespace anet::generate
