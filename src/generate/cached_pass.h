// Taking a fixed number of new positions through the model, with a KV cache.
#pragma once

#include "backend/backend.h"
#include "generate/bound_weights.h"
#include "model/config.h"
#include "model/transformer.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace anet::generate {

// Keys and values of the positions so far of several rows, [rows*kv_heads, 1, head_dim, capacity]
// for each layer, or in the other order.
struct KeyValueCache {
  // `layout` is that of one row, which has room for so many positions.
  KeyValueCache(backend::Device& device, const model::Config& config, const backend::Layout& layout,
                int64_t rows, int64_t positions);

  int64_t capacity = 0;
  std::vector<int64_t> lengths; // positions held, by row
  std::vector<std::unique_ptr<backend::Buffer>> keys;
  std::vector<std::unique_ptr<backend::Buffer>> values;
};

// Of `rows` rows of a cache, of one of which `layout` is.
backend::Layout layout_of_rows(backend::Layout layout, int64_t rows);

// Layouts that a pass shares with other kernels; nullopt: what the device likes.
struct SharedLayouts {
  std::optional<backend::Layout> embedding;
  std::optional<backend::Layout> cache; // of keys and values
};

// The kernels and buffers of a pass that takes the same number of positions in each of its rows.
// Layers share one kernel, unless they have constants. `weights` outlives it.
class CachedPass {
public:
  // Compiles, and declares its kernels to the weights; binds nothing yet.
  CachedPass(backend::Device& device, BoundWeights& weights, mil::DataType dtype, int64_t rows,
             int64_t positions, int64_t capacity, const SharedLayouts& layouts,
             const std::shared_ptr<backend::Workspace>& workspace);

  // Of all its rows.
  const backend::Layout& cache_layout() const;
  // To the cache's rows from `first_row` on, as many as the pass has; it may be bound to several.
  void bind(KeyValueCache& cache, int64_t first_row);
  // Takes `ids`, at most `positions` of them, and appends their keys and values to one row of the
  // cache. For passes of one row. Throws cancelled between layers.
  void run(int64_t row, std::span<const int32_t> ids, const std::atomic<bool>& cancel);
  // Takes one id in each row; rows that are not live compute something that nobody sees. For passes
  // of one position, bound to row 0.
  void run_rows(std::span<const int32_t> ids, const std::vector<bool>& live,
                const std::atomic<bool>& cancel);

  int64_t positions() const { return positions_; }
  // The last run's hidden states [1, hidden_size, 1, rows*positions].
  backend::Buffer& hidden() { return *hidden_[static_cast<size_t>(config_.layer_count) % 2]; }

private:
  struct Call {
    std::vector<backend::View> inputs;
    std::vector<backend::View> outputs;
  };

  void compile_blocks(mil::DataType dtype, int64_t capacity, const SharedLayouts& layouts,
                      const std::shared_ptr<backend::Workspace>& workspace);
  void compile_embedding(mil::DataType dtype, const SharedLayouts& layouts,
                         const std::shared_ptr<backend::Workspace>& workspace);
  backend::Kernel& block(int32_t layer) const;
  void allocate_buffers();
  Call layer_call(int32_t layer, int64_t first_row) const;
  backend::View rows_of(backend::Buffer& cache, int64_t first_row) const;
  void load(std::span<const int32_t> ids, std::span<const int32_t> places,
            std::span<const int64_t> lengths);
  void run_layer(size_t layer, const std::vector<Call>& calls, const std::atomic<bool>& cancel);
  // Copies `count` new columns of one of the pass's rows behind those that a row of the cache has.
  void append(size_t layer, int64_t row, int64_t cache_row, int64_t count);

  backend::Device& device_;
  BoundWeights& weights_;
  const model::Config& config_;
  int64_t rows_;
  int64_t positions_;
  model::CacheOrder cache_order_;
  KeyValueCache* cache_ = nullptr;
  std::unique_ptr<backend::Kernel> embedding_;
  std::vector<std::unique_ptr<backend::Kernel>> blocks_; // one, or one a layer
  std::unique_ptr<backend::Buffer> tokens_, rope_cos_, rope_sin_, mask_, cache_mask_;
  std::unique_ptr<backend::Buffer> new_key_, new_value_;
  std::array<std::unique_ptr<backend::Buffer>, 2> hidden_;
  std::vector<backend::View> embedding_inputs_;
  backend::View embedding_output_;
  std::map<int64_t, std::vector<Call>> calls_; // by first row
};

} // namespace anet::generate
