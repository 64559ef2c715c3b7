// Configurations of the Llama family: Llama, SmolLM2, TinyLlama, Qwen2.5, Qwen3.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace anet::model {

struct Config {
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t layer_count = 0;
  int32_t head_count = 0;
  int32_t kv_head_count = 0;  // 0: head_count
  int32_t head_dim = 0;       // 0: hidden_size / head_count
  int32_t context_length = 0; // 0: 2048
  bool tie_embeddings = false;
  bool qkv_bias = false;
  bool qk_norm = false;
  double rope_theta = 0;   // 0: 10000
  double norm_epsilon = 0; // 0: 1e-5
  // Llama 3's stretching of long wavelengths; all four or none.
  double rope_scaling_factor = 0; // 0: none
  double rope_low_frequency_factor = 0;
  double rope_high_frequency_factor = 0;
  int32_t rope_original_context_length = 0;

  int64_t query_size() const { return int64_t{head_count} * head_dim; }
  int64_t kv_size() const { return int64_t{kv_head_count} * head_dim; }
  int64_t group_size() const { return head_count / kv_head_count; } // query heads a kv head

  bool operator==(const Config&) const = default;
};

// Radians a position of pair i of a head's values, i in [0, head_dim / 2): theta^(-2i/head_dim),
// stretched as Llama 3 does where the config says so.
double rope_frequency(const Config& config, int64_t i);

// Fills in the defaults and checks every field. Throws invalid_config naming the field.
Config resolve(Config config);

struct NamedConfig {
  const char* name;
  Config config; // resolved
};

// Reference configurations (formats-and-features.md 3) and "tiny", a byte-level model for trials.
std::span<const NamedConfig> named_configs();
// Throws not_found with the nearest name.
const Config& named_config(std::string_view name);

// Field names are those of the struct. Reading keeps the fields that have no key.
void read_config(const JsonView& json, Config& config);
Json write_config(const Config& config);

} // namespace anet::model
