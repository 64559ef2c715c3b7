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
using backend::StagedArray;
using backend::View;
using mil::DataType;

// Copies columns [0, count) of `source` to columns [at, at + count) of `target`; the last axis is
// the positions.
void copy_columns(Buffer& source, Buffer& target, int64_t at, int64_t count) {
  Layout from = source.layout();
  Layout to = target.layout();
  from.shape.back() = count;
  to.shape.back() = count;
  const backend::Mapping read(source, false);
  const backend::Mapping write(target, true);
  backend::TensorCopy(from, to).run(read.data(), write.data() + at * to.strides.back(), nullptr);
}

std::unique_ptr<backend::Kernel>
compile_block(backend::Device& device, const mil::Function& block,
              const std::optional<Layout>& cache,
              const std::shared_ptr<backend::Workspace>& workspace) {
  backend::CompileOptions options;
  options.workspace = workspace;
  options.label = "cached_block";
  options.role = backend::Role::forward;
  if (cache) {
    options.port_layouts["key_cache"] = *cache;
    options.port_layouts["value_cache"] = *cache;
    return backend::compile_chained(device, block, options, "hidden", "hidden_out");
  }
  auto kernel = backend::compile_chained(device, block, options, "hidden", "hidden_out");
  const Layout keys = backend::find_port(kernel->inputs(), "key_cache").layout;
  if (backend::find_port(kernel->inputs(), "value_cache").layout == keys) return kernel;
  return compile_block(device, block, keys, workspace);
}

} // namespace

KeyValueCache::KeyValueCache(backend::Device& device, const model::Config& config,
                             const Layout& layout)
    : capacity(layout.shape.back()) {
  for (int32_t layer = 0; layer < config.layer_count; ++layer) {
    keys.push_back(device.allocate(layout));
    values.push_back(device.allocate(layout));
  }
}

CachedPass::CachedPass(backend::Device& device, const model::Config& config, DataType dtype,
                       int64_t positions, int64_t capacity, const SharedLayouts& layouts,
                       const std::shared_ptr<backend::Workspace>& workspace)
    : device_(device), config_(config), positions_(positions) {
  block_ = compile_block(device, model::cached_block_function(config, dtype, positions, capacity),
                         layouts.cache, workspace);
  backend::CompileOptions options;
  options.workspace = workspace;
  options.label = "embedding";
  options.role = backend::Role::forward;
  options.port_layouts["hidden"] = backend::find_port(block_->inputs(), "hidden").layout;
  if (layouts.embedding) options.port_layouts["embedding_weight"] = *layouts.embedding;
  embedding_ = device.compile(model::embedding_function(config, dtype, positions), options);
}

const Layout& CachedPass::cache_layout() const {
  return backend::find_port(block_->inputs(), "key_cache").layout;
}

std::vector<backend::StagedPart>
CachedPass::weight_parts(const model::ParameterTable& parameters) const {
  std::vector<backend::StagedPart> parts = {
      {parameters.embedding().offset,
       backend::find_port(embedding_->inputs(), "embedding_weight").layout}};
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    for (const model::Parameter& parameter : parameters.layer(layer))
      parts.push_back(
          {parameter.offset, backend::find_port(block_->inputs(), parameter.port).layout});
  return parts;
}

void CachedPass::bind(const StagedArray& weights, const model::ParameterTable& parameters,
                      KeyValueCache& cache) {
  cache_ = &cache;
  const auto input = [&](std::string_view port) {
    return device_.allocate(backend::find_port(block_->inputs(), port).layout);
  };
  const auto output = [&](std::string_view port) {
    return device_.allocate(backend::find_port(block_->outputs(), port).layout);
  };
  tokens_ = device_.allocate(Layout::contiguous(DataType::int32, {positions_}));
  rope_cos_ = input("rope_cos");
  rope_sin_ = input("rope_sin");
  mask_ = input("mask");
  cache_mask_ = input("cache_mask");
  for (auto& hidden : hidden_) hidden = input("hidden");
  new_key_ = output("key");
  new_value_ = output("value");

  const backend::Port& embedding = backend::find_port(embedding_->inputs(), "embedding_weight");
  embedding_inputs_ = {View(*tokens_),
                       weights.view({parameters.embedding().offset, embedding.layout})};
  embedding_output_ = View(*hidden_[0]);
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    bind_layer(layer, weights, parameters);
}

void CachedPass::bind_layer(int32_t layer, const StagedArray& weights,
                            const model::ParameterTable& parameters) {
  const auto at = static_cast<size_t>(layer);
  const std::pair<std::string_view, Buffer*> buffers[] = {
      {"hidden", hidden_[at % 2].get()},
      {"hidden_out", hidden_[(at + 1) % 2].get()},
      {"rope_cos", rope_cos_.get()},
      {"rope_sin", rope_sin_.get()},
      {"mask", mask_.get()},
      {"cache_mask", cache_mask_.get()},
      {"key_cache", cache_->keys[at].get()},
      {"value_cache", cache_->values[at].get()},
      {"key", new_key_.get()},
      {"value", new_value_.get()},
  };
  const auto view = [&](const backend::Port& port) -> View {
    for (const auto& [name, buffer] : buffers)
      if (name == port.name) return View(*buffer);
    for (const model::Parameter& parameter : parameters.layer(layer))
      if (parameter.port == port.name) return weights.view({parameter.offset, port.layout});
    fail(Status::internal, "expected a buffer for port '", port.name, "', seen none");
  };
  Call& call = calls_.emplace_back();
  for (const backend::Port& port : block_->inputs()) call.inputs.push_back(view(port));
  for (const backend::Port& port : block_->outputs()) call.outputs.push_back(view(port));
}

void CachedPass::run(std::span<const int32_t> ids, const std::atomic<bool>& cancel) {
  load(ids);
  embedding_->run(embedding_inputs_, {&embedding_output_, 1});
  const auto count = static_cast<int64_t>(ids.size());
  for (size_t layer = 0; layer < calls_.size(); ++layer) {
    if (cancel.load(std::memory_order_relaxed)) fail(Status::cancelled, "cancelled by the caller");
    block_->run(calls_[layer].inputs, calls_[layer].outputs);
    copy_columns(*new_key_, *cache_->keys[layer], cache_->length, count);
    copy_columns(*new_value_, *cache_->values[layer], cache_->length, count);
  }
  cache_->length += count;
}

void CachedPass::load(std::span<const int32_t> ids) {
  const auto n = static_cast<size_t>(positions_);
  // Positions beyond the ids are computed and dropped; any valid id will do.
  std::vector<int32_t> padded(n, 0);
  std::copy(ids.begin(), ids.end(), padded.begin());
  backend::write_elements<int32_t>(*tokens_, padded);

  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), static_cast<int32_t>(cache_->length));
  std::vector<float> cosines(static_cast<size_t>(config_.head_dim / 2) * n);
  std::vector<float> sines(cosines.size());
  model::rope_tables(config_, order, cosines, sines);
  backend::write_floats(*rope_cos_, cosines);
  backend::write_floats(*rope_sin_, sines);

  std::vector<float> mask(n * n);
  model::causal_mask(positions_, mask);
  backend::write_floats(*mask_, mask);
  const auto capacity = static_cast<size_t>(cache_->capacity);
  std::vector<float> cache_mask(n * capacity, model::masked_score);
  for (size_t query = 0; query < n; ++query)
    std::fill_n(cache_mask.begin() + static_cast<ptrdiff_t>(query * capacity), cache_->length,
                0.0f);
  backend::write_floats(*cache_mask_, cache_mask);
}

} // namespace anet::generate
