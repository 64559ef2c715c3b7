#include "model/parameters.h"

#include "base/random.h"
#include "base/status.h"

#include <algorithm>
#include <cmath>

namespace anet::model {

namespace {

constexpr int64_t alignment = 16; // elements: 64 bytes of fp32

struct LayerEntry {
  const char* name;
  const char* port;
  mil::Shape shape;
  Initialization initialization;
};

std::vector<LayerEntry> layer_entries(const Config& c) {
  using enum Initialization;
  const int64_t hidden = c.hidden_size;
  const int64_t intermediate = c.intermediate_size;
  std::vector<LayerEntry> entries = {
      {"input_layernorm.weight", "input_norm_weight", {hidden}, ones},
      {"self_attn.q_proj.weight", "q_proj_weight", {c.query_size(), hidden}, normal},
      {"self_attn.k_proj.weight", "k_proj_weight", {c.kv_size(), hidden}, normal},
      {"self_attn.v_proj.weight", "v_proj_weight", {c.kv_size(), hidden}, normal},
  };
  if (c.qkv_bias) {
    entries.push_back({"self_attn.q_proj.bias", "q_proj_bias", {c.query_size()}, zeros});
    entries.push_back({"self_attn.k_proj.bias", "k_proj_bias", {c.kv_size()}, zeros});
    entries.push_back({"self_attn.v_proj.bias", "v_proj_bias", {c.kv_size()}, zeros});
  }
  if (c.qk_norm) {
    entries.push_back({"self_attn.q_norm.weight", "q_norm_weight", {c.head_dim}, ones});
    entries.push_back({"self_attn.k_norm.weight", "k_norm_weight", {c.head_dim}, ones});
  }
  entries.push_back(
      {"self_attn.o_proj.weight", "o_proj_weight", {hidden, c.query_size()}, residual_projection});
  entries.push_back({"post_attention_layernorm.weight", "post_norm_weight", {hidden}, ones});
  entries.push_back({"mlp.gate_proj.weight", "gate_proj_weight", {intermediate, hidden}, normal});
  entries.push_back({"mlp.up_proj.weight", "up_proj_weight", {intermediate, hidden}, normal});
  entries.push_back(
      {"mlp.down_proj.weight", "down_proj_weight", {hidden, intermediate}, residual_projection});
  return entries;
}

} // namespace

ParameterTable::ParameterTable(const Config& config)
    : ParameterTable(config, [](const Parameter&) { return false; }) {}

ParameterTable::ParameterTable(const Config& config,
                               const std::function<bool(const Parameter&)>& compressed)
    : layer_count_(config.layer_count) {
  const auto append = [&](Parameter parameter) {
    const bool matrix = parameter.shape.size() > 1;
    if (matrix && compressed(parameter)) parameter.offset = -1;
    this->append(std::move(parameter));
  };
  const mil::Shape vocabulary = {config.vocab_size, config.hidden_size};
  append({.name = "model.embed_tokens.weight", .port = "embedding_weight", .shape = vocabulary});
  const auto entries = layer_entries(config);
  per_layer_ = static_cast<int32_t>(entries.size());
  for (int32_t layer = 0; layer < config.layer_count; ++layer) {
    for (const LayerEntry& entry : entries) {
      append({.name = concat("model.layers.", layer, ".", entry.name),
              .port = entry.port,
              .layer = layer,
              .shape = entry.shape,
              .initialization = entry.initialization});
    }
  }
  append({.name = "model.norm.weight",
          .port = "final_norm_weight",
          .shape = {config.hidden_size},
          .initialization = Initialization::ones});
  if (!config.tie_embeddings)
    append({.name = "lm_head.weight", .port = "head_weight", .shape = vocabulary});
}

void ParameterTable::append(Parameter parameter) {
  parameter.elements = mil::element_count(parameter.shape);
  parameter.decay = parameter.shape.size() > 1;
  if (!parameter.is_compressed()) {
    parameter.offset = flat_size_;
    flat_size_ += (parameter.elements + alignment - 1) / alignment * alignment;
  }
  weight_count_ += parameter.elements;
  parameters_.push_back(std::move(parameter));
}

std::span<const Parameter> ParameterTable::layer(int32_t index) const {
  return all().subspan(1 + static_cast<size_t>(index) * static_cast<size_t>(per_layer_),
                       static_cast<size_t>(per_layer_));
}

const Parameter& ParameterTable::final_norm() const {
  return parameters_[1 + static_cast<size_t>(layer_count_) * static_cast<size_t>(per_layer_)];
}

const Parameter& ParameterTable::head() const {
  const Parameter& last = parameters_.back();
  return last.port == "head_weight" ? last : embedding();
}

const Parameter* ParameterTable::find(std::string_view name) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const Parameter& p) { return p.name == name; });
  return found == parameters_.end() ? nullptr : &*found;
}

void initialize(const ParameterTable& table, const Config& config, uint64_t seed,
                std::span<float> weights) {
  std::fill(weights.begin(), weights.end(), 0.0f);
  const float deviation = 0.02f;
  const float residual = deviation / std::sqrt(2.0f * static_cast<float>(config.layer_count));
  uint64_t stream = 0;
  for (const Parameter& parameter : table.all()) {
    if (parameter.is_compressed())
      fail(Status::unsupported, "expected fp32 weights of '", parameter.name, "' to initialize");
    const auto values = weights.subspan(static_cast<size_t>(parameter.offset),
                                        static_cast<size_t>(parameter.elements));
    Random random(seed, stream++);
    switch (parameter.initialization) {
    case Initialization::normal:
      random.fill_normal(values, 0.0f, deviation);
      break;
    case Initialization::residual_projection:
      random.fill_normal(values, 0.0f, residual);
      break;
    case Initialization::ones:
      std::fill(values.begin(), values.end(), 1.0f);
      break;
    case Initialization::zeros:
      break;
    }
  }
}

} // namespace anet::model
