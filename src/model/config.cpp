#include "model/config.h"

#include "base/json_fields.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace anet::model {

namespace {

using Field = JsonField<Config>;

std::span<const Field> config_fields() {
  static const Field fields[] = {
      {"vocab_size", &Config::vocab_size},
      {"hidden_size", &Config::hidden_size},
      {"intermediate_size", &Config::intermediate_size},
      {"layer_count", &Config::layer_count},
      {"head_count", &Config::head_count},
      {"kv_head_count", &Config::kv_head_count},
      {"head_dim", &Config::head_dim},
      {"context_length", &Config::context_length},
      {"tie_embeddings", &Config::tie_embeddings},
      {"qkv_bias", &Config::qkv_bias},
      {"qk_norm", &Config::qk_norm},
      {"rope_theta", &Config::rope_theta},
      {"norm_epsilon", &Config::norm_epsilon},
      {"rope_scaling_factor", &Config::rope_scaling_factor},
      {"rope_low_frequency_factor", &Config::rope_low_frequency_factor},
      {"rope_high_frequency_factor", &Config::rope_high_frequency_factor},
      {"rope_original_context_length", &Config::rope_original_context_length},
  };
  return fields;
}

// Large enough for any published model, small enough that no product of two overflows.
constexpr int32_t max_extent = 1 << 24;

// A table of parameters is made before any file's size is compared with it.
constexpr int32_t max_layers = 1 << 12;

void check_extent(const char* field, int32_t value, int32_t maximum = max_extent) {
  if (value < 1 || value > maximum)
    fail(Status::invalid_config, "expected ", field, " between 1 and ", maximum, ", seen ", value);
}

void check_rope_scaling(const Config& config) {
  const double factor = config.rope_scaling_factor;
  const double low = config.rope_low_frequency_factor;
  const double high = config.rope_high_frequency_factor;
  if (factor == 0 && low == 0 && high == 0 && config.rope_original_context_length == 0) return;
  if (!(std::isfinite(factor) && factor >= 1))
    fail(Status::invalid_config, "expected rope_scaling_factor of at least 1, seen ", factor);
  if (!(low > 0 && high > low && std::isfinite(high)))
    fail(Status::invalid_config,
         "expected rope_low_frequency_factor above 0 and "
         "rope_high_frequency_factor above that, seen ",
         low, " and ", high);
  check_extent("rope_original_context_length", config.rope_original_context_length);
}

} // namespace

double rope_frequency(const Config& config, int64_t i) {
  const double frequency =
      std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / config.head_dim);
  if (config.rope_scaling_factor == 0) return frequency;
  // Periods of the pair in the original context: few of them are stretched, many are kept.
  const double periods = config.rope_original_context_length * frequency / (2 * std::numbers::pi);
  const double low = config.rope_low_frequency_factor;
  const double high = config.rope_high_frequency_factor;
  const double kept = std::clamp((periods - low) / (high - low), 0.0, 1.0);
  return (1 - kept) * frequency / config.rope_scaling_factor + kept * frequency;
}

Config resolve(Config config) {
  check_extent("vocab_size", config.vocab_size);
  check_extent("hidden_size", config.hidden_size);
  check_extent("intermediate_size", config.intermediate_size);
  check_extent("layer_count", config.layer_count, max_layers);
  check_extent("head_count", config.head_count);
  if (config.kv_head_count == 0) config.kv_head_count = config.head_count;
  check_extent("kv_head_count", config.kv_head_count);
  if (config.head_count % config.kv_head_count != 0)
    fail(Status::invalid_config, "expected kv_head_count to divide head_count ", config.head_count,
         ", seen ", config.kv_head_count);
  if (config.head_dim == 0) {
    if (config.hidden_size % config.head_count != 0)
      fail(Status::invalid_config, "expected head_count to divide hidden_size ", config.hidden_size,
           " because head_dim is not given, seen ", config.head_count);
    config.head_dim = config.hidden_size / config.head_count;
  }
  check_extent("head_dim", config.head_dim);
  if (config.head_dim % 2 != 0)
    fail(Status::invalid_config, "expected an even head_dim, seen ", config.head_dim);
  if (config.query_size() > max_extent)
    fail(Status::invalid_config, "expected head_count * head_dim up to ", max_extent, ", seen ",
         config.query_size());
  if (config.context_length == 0) config.context_length = 2048;
  check_extent("context_length", config.context_length);
  if (config.rope_theta == 0) config.rope_theta = 1e4;
  if (!(std::isfinite(config.rope_theta) && config.rope_theta > 0))
    fail(Status::invalid_config, "expected rope_theta above 0, seen ", config.rope_theta);
  if (config.norm_epsilon == 0) config.norm_epsilon = 1e-5;
  if (!(std::isfinite(config.norm_epsilon) && config.norm_epsilon > 0))
    fail(Status::invalid_config, "expected norm_epsilon above 0, seen ", config.norm_epsilon);
  check_rope_scaling(config);
  return config;
}

std::span<const NamedConfig> named_configs() {
  // vocab, hidden, intermediate, layers, heads, kv heads, head_dim, context, tied, bias, qk_norm,
  // theta, epsilon; factor, low, high, original context of Llama 3's RoPE.
  static const NamedConfig configs[] = {
      {"tiny", {258, 128, 352, 4, 4, 2, 32, 256, true, false, false, 1e4, 1e-5}},
      {"stories260K", {512, 64, 172, 5, 8, 4, 8, 512, true, false, false, 1e4, 1e-5}},
      {"stories15M", {32000, 288, 768, 6, 6, 6, 48, 256, true, false, false, 1e4, 1e-5}},
      {"stories42M", {32000, 512, 1376, 8, 8, 8, 64, 1024, true, false, false, 1e4, 1e-5}},
      {"stories110M", {32000, 768, 2048, 12, 12, 12, 64, 1024, true, false, false, 1e4, 1e-5}},
      {"smollm2-135m", {49152, 576, 1536, 30, 9, 3, 64, 8192, true, false, false, 1e5, 1e-5}},
      {"smollm2-360m", {49152, 960, 2560, 32, 15, 5, 64, 8192, true, false, false, 1e5, 1e-5}},
      {"qwen2.5-0.5b", {151936, 896, 4864, 24, 14, 2, 64, 32768, true, true, false, 1e6, 1e-6}},
      {"qwen3-0.6b", {151936, 1024, 3072, 28, 16, 8, 128, 40960, true, false, true, 1e6, 1e-6}},
      {"llama3.2-1b",
       {128256, 2048, 8192, 16, 32, 8, 64, 131072, true, false, false, 5e5, 1e-5, 32, 1, 4, 8192}},
      {"tinyllama-1.1b", {32000, 2048, 5632, 22, 32, 4, 64, 2048, false, false, false, 1e4, 1e-5}},
  };
  return configs;
}

const Config& named_config(std::string_view name) {
  std::vector<std::string_view> names;
  for (const NamedConfig& entry : named_configs()) {
    if (name == entry.name) return entry.config;
    names.emplace_back(entry.name);
  }
  const auto nearest = nearest_key(name, names);
  fail(Status::not_found, "expected the name of a built-in configuration, seen '", name, "'",
       nearest ? concat(", did you mean '", *nearest, "'") : std::string());
}

void read_config(const JsonView& json, Config& config) {
  read_fields<Config>(json, config_fields(), config);
}

Json write_config(const Config& config) { return write_fields<Config>(config_fields(), config); }

} // namespace anet::model
