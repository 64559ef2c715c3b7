// Taking a fixed number of new positions through the model, with a KV cache.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "model/config.h"
#include "model/parameters.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace anet::generate {

// Keys and values of the positions so far, [kv_heads, 1, head_dim, capacity] for each layer.
struct KeyValueCache {
  KeyValueCache(backend::Device& device, const model::Config& config,
                const backend::Layout& layout);

  int64_t capacity = 0;
  int64_t length = 0; // positions held
  std::vector<std::unique_ptr<backend::Buffer>> keys;
  std::vector<std::unique_ptr<backend::Buffer>> values;
};

// Layouts that a pass shares with other kernels; nullopt: what the device likes.
struct SharedLayouts {
  std::optional<backend::Layout> embedding;
  std::optional<backend::Layout> cache; // of keys and values
};

// The kernels and buffers of one pass. `config` outlives it.
class CachedPass {
public:
  // Compiles; binds nothing yet.
  CachedPass(backend::Device& device, const model::Config& config, mil::DataType dtype,
             int64_t positions, int64_t capacity, const SharedLayouts& layouts,
             const std::shared_ptr<backend::Workspace>& workspace);

  const backend::Layout& cache_layout() const;
  // The parts of the weights that `bind` needs.
  std::vector<backend::StagedPart> weight_parts(const model::ParameterTable& parameters) const;
  void bind(const backend::StagedArray& weights, const model::ParameterTable& parameters,
            KeyValueCache& cache);
  // Takes `ids`, at most `positions` of them, and appends their keys and values to the cache.
  // Throws cancelled between layers.
  void run(std::span<const int32_t> ids, const std::atomic<bool>& cancel);

  int64_t positions() const { return positions_; }
  // The last run's hidden states [1, hidden_size, 1, positions].
  backend::Buffer& hidden() { return *hidden_[static_cast<size_t>(config_.layer_count) % 2]; }

private:
  struct Call {
    std::vector<backend::View> inputs;
    std::vector<backend::View> outputs;
  };

  void bind_layer(int32_t layer, const backend::StagedArray& weights,
                  const model::ParameterTable& parameters);
  void load(std::span<const int32_t> ids);

  backend::Device& device_;
  const model::Config& config_;
  int64_t positions_;
  KeyValueCache* cache_ = nullptr;
  std::unique_ptr<backend::Kernel> embedding_;
  std::unique_ptr<backend::Kernel> block_;
  std::unique_ptr<backend::Buffer> tokens_, rope_cos_, rope_sin_, mask_, cache_mask_;
  std::unique_ptr<backend::Buffer> new_key_, new_value_;
  std::array<std::unique_ptr<backend::Buffer>, 2> hidden_;
  std::vector<backend::View> embedding_inputs_;
  backend::View embedding_output_;
  std::vector<Call> calls_;
};

} // namespace anet::generate
