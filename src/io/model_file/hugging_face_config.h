// config.json of Hugging Face directories, as transformers 4 and 5 write it.
#pragma once

#include "base/json.h"
#include "model/config.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace anet::io {

struct HuggingFaceConfig {
  model::Config config; // resolved
  std::vector<int32_t> stop_ids;
};

// LlamaForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM. Throws invalid_config for a value that
// makes no sense, unsupported naming an architecture or option that changes the arithmetic in a way
// that we do not have. `json` names the file in errors.
HuggingFaceConfig read_hugging_face_config(const JsonView& json);

// eos_token_id of config.json or generation_config.json, an id or a list of them.
std::vector<int32_t> read_stop_ids(const JsonView& json, int32_t vocab_size);

// Readable by transformers 4 and 5: RoPE's parameters and the type of the weights are given in both
// forms. Throws unsupported if no architecture has both biases and norms of queries and keys.
Json write_hugging_face_config(const model::Config& config, std::string_view dtype);

} // namespace anet::io
