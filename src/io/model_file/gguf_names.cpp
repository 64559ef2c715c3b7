#include "io/model_file/gguf_names.h"

#include "base/status.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace anet::io {
namespace {

constexpr std::array<GgufArchitecture, 3> architectures = {{
    {"llama", false, false, true},
    {"qwen2", true, false, false},
    {"qwen3", false, true, false},
}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 17> names = {{
    {"embedding_weight", "token_embd.weight"},
    {"final_norm_weight", "output_norm.weight"},
    {"head_weight", "output.weight"},
    {"input_norm_weight", "attn_norm.weight"},
    {"q_proj_weight", "attn_q.weight"},
    {"k_proj_weight", "attn_k.weight"},
    {"v_proj_weight", "attn_v.weight"},
    {"q_proj_bias", "attn_q.bias"},
    {"k_proj_bias", "attn_k.bias"},
    {"v_proj_bias", "attn_v.bias"},
    {"q_norm_weight", "attn_q_norm.weight"},
    {"k_norm_weight", "attn_k_norm.weight"},
    {"o_proj_weight", "attn_output.weight"},
    {"post_norm_weight", "ffn_norm.weight"},
    {"gate_proj_weight", "ffn_gate.weight"},
    {"up_proj_weight", "ffn_up.weight"},
    {"down_proj_weight", "ffn_down.weight"},
}};

bool reproduces(std::span<const float> factors, const model::Config& config) {
  const std::vector<float> seen = rope_factors(config);
  for (size_t i = 0; i < factors.size(); ++i)
    if (!(std::fabs(seen[i] - factors[i]) <= 1e-5f * factors[i])) return false;
  return true;
}

// What is kept of a frequency is a straight line in the periods of the original context, so two
// frequencies between "kept" and "stretched" determine it. The line does not change when original
// context and both bounds are multiplied by one number: low is taken to be 1.
bool solve_line(std::span<const float> factors, model::Config& config) {
  const double factor = config.rope_scaling_factor;
  model::Config plain = config;
  plain.rope_scaling_factor = 0;
  std::vector<std::pair<double, double>> points; // frequency, kept
  for (size_t i = 0; i < factors.size(); ++i) {
    const double kept = (1 / double{factors[i]} - 1 / factor) / (1 - 1 / factor);
    if (kept > 1e-3 && kept < 1 - 1e-3)
      points.emplace_back(model::rope_frequency(plain, static_cast<int64_t>(i)), kept);
  }
  if (points.size() < 2) return false;
  const auto [f0, k0] = points.front();
  const auto [f1, k1] = points.back();
  const double slope = (k0 - k1) / (f0 - f1) * 2 * std::numbers::pi; // per period of one position
  const double low = slope / (2 * std::numbers::pi) * f0 - k0;       // low / (high - low)
  if (!(slope > 0 && low > 0)) return false;
  const double original = std::round(slope / low);
  if (!(original >= 1 && original <= 1 << 24)) return false;
  config.rope_original_context_length = static_cast<int32_t>(original);
  config.rope_low_frequency_factor = 1;
  // The parameters were short decimals; fp32 factors tell them to six digits.
  config.rope_high_frequency_factor = std::round((1 + 1 / low) * 1e4) / 1e4;
  if (reproduces(factors, config)) return true;
  config.rope_high_frequency_factor = 1 + 1 / low;
  return reproduces(factors, config);
}

} // namespace

std::span<const GgufArchitecture> gguf_architectures() { return architectures; }

std::string gguf_name(const model::Parameter& parameter) {
  for (const auto& [port, name] : names)
    if (parameter.port == port)
      return parameter.layer < 0 ? std::string(name) : concat("blk.", parameter.layer, ".", name);
  fail(Status::internal, "GGUF has no name for '", parameter.name, "'");
}

std::vector<float> rope_factors(const model::Config& config) {
  model::Config plain = config;
  plain.rope_scaling_factor = 0;
  std::vector<float> factors;
  for (int64_t i = 0; i < config.head_dim / 2; ++i)
    factors.push_back(
        static_cast<float>(model::rope_frequency(plain, i) / model::rope_frequency(config, i)));
  return factors;
}

bool solve_rope_factors(std::span<const float> factors, model::Config& config) {
  if (factors.empty() || !std::all_of(factors.begin(), factors.end(), [](float factor) {
        return std::isfinite(factor) && factor >= 1;
      }))
    return false;
  const float largest = *std::max_element(factors.begin(), factors.end());
  if (largest == 1) return true;
  model::Config solved = config;
  solved.rope_scaling_factor = largest;
  // Those of Llama 3.1 and 3.2 first.
  solved.rope_low_frequency_factor = 1;
  solved.rope_high_frequency_factor = 4;
  solved.rope_original_context_length = 8192;
  if (!reproduces(factors, solved) && !solve_line(factors, solved)) return false;
  config = solved;
  return true;
}

} // namespace anet::io
