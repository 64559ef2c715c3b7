#include "generate/cached_pass.h"

#include "backend/host_access.h"
#include "backend/tensor_copy.h"
#include "base/status.h"
#include "model/transformer.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace anet::generate {

namespace {

using backend::Buffer;
using backend::Layout;
using backend::View;
using mil::DataType;

// A host writes a new position in one piece, and reads as far as the cache is filled.
model::CacheOrder cache_order(const backend::Device& device) {
  return device.capabilities().host_memory ? model::CacheOrder::positions_first
                                           : model::CacheOrder::channels_first;
}

// The block of the first layer, with keys and values of one layout.
std::unique_ptr<backend::Kernel> compile_first_block(backend::Device& device,
                                                     const mil::Function& block,
                                                     const std::optional<Layout>& cache,
                                                     backend::CompileOptions options) {
  if (cache) {
    options.port_layouts["key_cache"] = *cache;
    options.port_layouts["value_cache"] = *cache;
    return backend::compile_chained(device, block, options, "hidden", "hidden_out");
  }
  auto kernel = backend::compile_chained(device, block, options, "hidden", "hidden_out");
  const Layout keys = backend::find_port(kernel->inputs(), "key_cache").layout;
  if (backend::find_port(kernel->inputs(), "value_cache").layout == keys) return kernel;
  kernel.reset();
  return compile_first_block(device, block, keys, options);
}

} // namespace

KeyValueCache::KeyValueCache(backend::Device& device, const model::Config& config,
                             const Layout& layout, int64_t rows, int64_t positions)
    : capacity(positions), lengths(static_cast<size_t>(rows), 0) {
  const Layout whole = layout_of_rows(layout, rows);
  for (int32_t layer = 0; layer < config.layer_count; ++layer) {
    keys.push_back(device.allocate(whole));
    values.push_back(device.allocate(whole));
  }
}

Layout layout_of_rows(Layout layout, int64_t rows) {
  layout.shape.front() *= rows;
  return layout;
}

CachedPass::CachedPass(backend::Device& device, BoundWeights& weights, DataType dtype, int64_t rows,
                       int64_t positions, int64_t capacity, const SharedLayouts& layouts,
                       const std::shared_ptr<backend::Workspace>& workspace)
    : device_(device), weights_(weights), config_(weights.model().config()), rows_(rows),
      positions_(positions), cache_order_(cache_order(device)) {
  compile_blocks(dtype, capacity, layouts, workspace);
  compile_embedding(dtype, layouts, workspace);
}

void CachedPass::compile_blocks(DataType dtype, int64_t capacity, const SharedLayouts& layouts,
                                const std::shared_ptr<backend::Workspace>& workspace) {
  const mil::Function shared = model::cached_block_function(config_, dtype, positions_, capacity,
                                                            rows_, weights_.shape(), cache_order_);
  backend::CompileOptions options;
  options.workspace = workspace;
  options.label = "cached_block";
  options.role = backend::Role::forward;
  blocks_.push_back(
      compile_first_block(device_, weights_.with_constants(shared, 0), layouts.cache, options));
  if (weights_.has_constant_layers()) {
    // The layers' activations lie in the same buffers.
    const auto keep_layouts = [&](const std::vector<backend::Port>& ports) {
      for (const backend::Port& port : ports)
        if (!weights_.is_weight(port, 0)) options.port_layouts[port.name] = port.layout;
    };
    keep_layouts(blocks_.front()->inputs());
    keep_layouts(blocks_.front()->outputs());
    for (int32_t layer = 1; layer < config_.layer_count; ++layer)
      blocks_.push_back(device_.compile(weights_.with_constants(shared, layer), options));
  }
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    weights_.declare(block(layer), layer);
}

void CachedPass::compile_embedding(DataType dtype, const SharedLayouts& layouts,
                                   const std::shared_ptr<backend::Workspace>& workspace) {
  backend::CompileOptions options;
  options.workspace = workspace;
  options.label = "embedding";
  options.role = backend::Role::forward;
  options.port_layouts["hidden"] = backend::find_port(block(0).inputs(), "hidden").layout;
  if (layouts.embedding) options.port_layouts["embedding_weight"] = *layouts.embedding;
  const mil::Function embedding =
      model::embedding_function(config_, dtype, rows_ * positions_, weights_.shape());
  embedding_ = device_.compile(weights_.with_constants(embedding, no_layer), options);
  weights_.declare(*embedding_, no_layer);
}

backend::Kernel& CachedPass::block(int32_t layer) const {
  return *blocks_[blocks_.size() == 1 ? 0 : static_cast<size_t>(layer)];
}

const Layout& CachedPass::cache_layout() const {
  return backend::find_port(block(0).inputs(), "key_cache").layout;
}

void CachedPass::allocate_buffers() {
  const auto input = [&](std::string_view port) {
    return device_.allocate(backend::find_port(block(0).inputs(), port).layout);
  };
  const auto output = [&](std::string_view port) {
    return device_.allocate(backend::find_port(block(0).outputs(), port).layout);
  };
  tokens_ = device_.allocate(Layout::contiguous(DataType::int32, {rows_ * positions_}));
  rope_cos_ = input("rope_cos");
  rope_sin_ = input("rope_sin");
  mask_ = input("mask");
  cache_mask_ = input("cache_mask");
  new_key_ = output("key");
  new_value_ = output("value");
  for (auto& hidden : hidden_) hidden = input("hidden");

  const auto n = static_cast<size_t>(positions_);
  std::vector<float> mask(n * n);
  model::causal_mask(positions_, mask);
  backend::write_floats(*mask_, mask);
}

void CachedPass::bind(KeyValueCache& cache, int64_t first_row) {
  if (cache_ == nullptr) allocate_buffers();
  cache_ = &cache;
  embedding_inputs_.clear();
  for (const backend::Port& port : embedding_->inputs())
    embedding_inputs_.push_back(weights_.view(port, no_layer).value_or(View(*tokens_)));
  embedding_output_ = View(*hidden_[0]);
  std::vector<Call>& calls = calls_[first_row];
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    calls.push_back(layer_call(layer, first_row));
}

View CachedPass::rows_of(Buffer& cache, int64_t first_row) const {
  const int64_t bytes = cache.layout().strides.front() * config_.kv_head_count;
  return View(cache, static_cast<size_t>(first_row * bytes), cache_layout());
}

CachedPass::Call CachedPass::layer_call(int32_t layer, int64_t first_row) const {
  const auto at = static_cast<size_t>(layer);
  const std::pair<std::string_view, View> views[] = {
      {"hidden", *hidden_[at % 2]},
      {"hidden_out", *hidden_[(at + 1) % 2]},
      {"rope_cos", *rope_cos_},
      {"rope_sin", *rope_sin_},
      {"mask", *mask_},
      {"cache_mask", *cache_mask_},
      {"key_cache", rows_of(*cache_->keys[at], first_row)},
      {"value_cache", rows_of(*cache_->values[at], first_row)},
      {"key", *new_key_},
      {"value", *new_value_},
  };
  const auto view = [&](const backend::Port& port) -> View {
    for (const auto& [name, bound] : views)
      if (name == port.name) return bound;
    if (const auto weight = weights_.view(port, layer)) return *weight;
    fail(Status::internal, "expected a buffer for port '", port.name, "', seen none");
  };
  Call call;
  for (const backend::Port& port : block(layer).inputs()) call.inputs.push_back(view(port));
  for (const backend::Port& port : block(layer).outputs()) call.outputs.push_back(view(port));
  return call;
}

void CachedPass::run_layer(size_t layer, const std::vector<Call>& calls,
                           const std::atomic<bool>& cancel) {
  if (cancel.load(std::memory_order_relaxed)) fail(Status::cancelled, "cancelled by the caller");
  block(static_cast<int32_t>(layer)).run(calls[layer].inputs, calls[layer].outputs);
}

void CachedPass::append(size_t layer, int64_t row, int64_t cache_row, int64_t count) {
  const int64_t held = cache_->lengths[static_cast<size_t>(cache_row)];
  const size_t position_axis = cache_order_ == model::CacheOrder::positions_first ? 2 : 3;
  const auto copy = [&](Buffer& source, Buffer& target) {
    Layout from = source.layout();
    Layout to = target.layout();
    for (Layout* part : {&from, &to}) {
      part->shape.front() = config_.kv_head_count;
      part->shape[position_axis] = count;
    }
    const int64_t first = row * config_.kv_head_count * from.strides.front();
    const int64_t place =
        cache_row * config_.kv_head_count * to.strides.front() + held * to.strides[position_axis];
    const backend::Mapping read(source, false);
    const backend::Mapping write(target, true);
    backend::TensorCopy(from, to).run(read.data() + first, write.data() + place, nullptr);
  };
  copy(*new_key_, *cache_->keys[layer]);
  copy(*new_value_, *cache_->values[layer]);
}

void CachedPass::run(int64_t row, std::span<const int32_t> ids, const std::atomic<bool>& cancel) {
  int64_t& held = cache_->lengths[static_cast<size_t>(row)];
  // Positions beyond the ids are computed and dropped; any valid id will do.
  std::vector<int32_t> padded(static_cast<size_t>(positions_), 0);
  std::copy(ids.begin(), ids.end(), padded.begin());
  std::vector<int32_t> places(padded.size());
  std::iota(places.begin(), places.end(), static_cast<int32_t>(held));
  load(padded, places, {&held, 1});
  const std::vector<Call>& calls = calls_.at(row);
  const auto count = static_cast<int64_t>(ids.size());
  for (size_t layer = 0; layer < calls.size(); ++layer) {
    run_layer(layer, calls, cancel);
    append(layer, 0, row, count);
  }
  held += count;
}

void CachedPass::run_rows(std::span<const int32_t> ids, const std::vector<bool>& live,
                          const std::atomic<bool>& cancel) {
  const std::vector<int32_t> places(cache_->lengths.begin(), cache_->lengths.end());
  load(ids, places, cache_->lengths);
  const std::vector<Call>& calls = calls_.at(0);
  for (size_t layer = 0; layer < calls.size(); ++layer) {
    run_layer(layer, calls, cancel);
    for (int64_t row = 0; row < rows_; ++row)
      if (live[static_cast<size_t>(row)]) append(layer, row, row, 1);
  }
  for (size_t row = 0; row < live.size(); ++row) cache_->lengths[row] += live[row] ? 1 : 0;
}

// `places` are the positions of the ids, `lengths` those that each row holds.
void CachedPass::load(std::span<const int32_t> ids, std::span<const int32_t> places,
                      std::span<const int64_t> lengths) {
  backend::write_elements(*tokens_, ids);
  std::vector<float> cosines(static_cast<size_t>(config_.head_dim / 2) * places.size());
  std::vector<float> sines(cosines.size());
  model::rope_tables(config_, places, cosines, sines);
  backend::write_floats(*rope_cos_, cosines);
  backend::write_floats(*rope_sin_, sines);

  const auto capacity = static_cast<size_t>(cache_->capacity);
  const auto queries = static_cast<size_t>(positions_);
  std::vector<float> cache_mask(lengths.size() * queries * capacity, model::masked_score);
  for (size_t i = 0; i < lengths.size() * queries; ++i)
    std::fill_n(cache_mask.begin() + static_cast<ptrdiff_t>(i * capacity), lengths[i / queries],
                0.0f);
  backend::write_floats(*cache_mask_, cache_mask);
  const auto embedding_output = std::span(&embedding_output_, 1);
  embedding_->run(embedding_inputs_, embedding_output);
}

} // namespace anet::generate
