// GGUF's names of what we have under others.
#pragma once

#include "model/parameters.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

struct GgufArchitecture {
  std::string_view name; // "general.architecture" and the prefix of its keys
  bool qkv_bias;
  bool qk_norm;
  bool interleaved; // rows of queries and keys
};

std::span<const GgufArchitecture> gguf_architectures();
// "blk.0.attn_q.weight" for "model.layers.0.self_attn.q_proj.weight".
std::string gguf_name(const model::Parameter& parameter);

inline constexpr const char* gguf_rope_factors = "rope_freqs.weight";

// What the frequencies of a stretched RoPE are divided by, [head_dim / 2]: GGUF keeps these and not
// the parameters that they come from.
std::vector<float> rope_factors(const model::Config& config);
// Finds parameters for which rope_factors() gives these values; false if there are none.
bool solve_rope_factors(std::span<const float> factors, model::Config& config);

} // namespace anet::io
