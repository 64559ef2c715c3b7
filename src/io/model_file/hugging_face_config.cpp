#include "io/model_file/hugging_face_config.h"

#include "base/status.h"

#include <array>
#include <limits>
#include <optional>
#include <string>

namespace anet::io {
namespace {

constexpr int32_t max_int = std::numeric_limits<int32_t>::max();

struct Architecture {
  std::string_view name;       // "architectures"
  std::string_view model_type; // "model_type"
  bool qkv_bias;
  bool qk_norm;
  bool sliding_window; // has "use_sliding_window"
};

constexpr std::array<Architecture, 3> architectures = {{
    {"LlamaForCausalLM", "llama", false, false, false},
    {"Qwen2ForCausalLM", "qwen2", true, false, true},
    {"Qwen3ForCausalLM", "qwen3", false, true, true},
}};

template <typename... Parts>
[[noreturn]] void refuse(const JsonView& at, const Parts&... parts) {
  fail(Status::unsupported, parts..., " at ", at.place());
}

const Architecture& architecture_of(const JsonView& json) {
  if (const auto list = json.find("architectures"); list && list->size() > 0) {
    const JsonView first = list->at(size_t{0});
    for (const Architecture& known : architectures)
      if (first.string() == known.name) return known;
    refuse(first,
           "expected architecture LlamaForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM, "
           "seen '",
           first.string(), "'");
  }
  const JsonView type = json.at("model_type");
  for (const Architecture& known : architectures)
    if (type.string() == known.model_type) return known;
  refuse(type, "expected model_type llama, qwen2 or qwen3, seen '", type.string(), "'");
}

// The member, unless it is missing or says that there is none: null, false, 0 or an empty list.
std::optional<JsonView> set_member(const JsonView& json, std::string_view key) {
  const auto member = json.find(key);
  if (!member) return std::nullopt;
  const Json& value = member->value();
  if (const bool* flag = value.if_boolean(); flag != nullptr && !*flag) return std::nullopt;
  if (const auto* list = value.if_array(); list != nullptr && list->empty()) return std::nullopt;
  if (value.to_double() == 0.0) return std::nullopt;
  return member;
}

void require_number(const JsonView& json, std::string_view key, double expected) {
  const auto member = json.find(key);
  if (member && member->number() != expected)
    refuse(*member, "expected ", key, " ", expected, ", seen ", member->number());
}

void check_options(const JsonView& json, const Architecture& architecture) {
  for (const std::string_view key :
       {"quantization_config", "mlp_bias", "rope_interleaved", "add_cross_attention",
        "is_encoder_decoder", "num_experts", "num_local_experts", "attn_logit_softcapping",
        "final_logit_softcapping", "no_rope_layers", "adapter_config"})
    if (const auto member = set_member(json, key))
      refuse(*member, "expected a model without ", key);
  // Qwen2's code has its biases whatever this says; the others would have one on o_proj as well.
  if (!architecture.qkv_bias)
    if (const auto bias = set_member(json, "attention_bias"))
      refuse(*bias, "expected a model without attention_bias, which puts one on o_proj");
  if (const auto act = json.find("hidden_act"); act && act->string() != "silu")
    refuse(*act, "expected hidden_act silu, seen '", act->string(), "'");
  require_number(json, "partial_rotary_factor", 1);
  require_number(json, "attention_dropout", 0);
  require_number(json, "embedding_multiplier", 1);
  require_number(json, "residual_multiplier", 1);
  require_number(json, "logits_scaling", 1);
}

void check_attention_layers(const JsonView& json, const Architecture& architecture,
                            int64_t layer_count) {
  if (const auto types = json.find("layer_types")) {
    for (size_t i = 0; i < types->size(); ++i)
      if (const JsonView type = types->at(i); type.string() != "full_attention")
        refuse(type, "expected full_attention in every layer, seen '", type.string(), "'");
    return;
  }
  const auto window = set_member(json, "sliding_window");
  if (!window || !json.boolean_or("use_sliding_window", !architecture.sliding_window)) return;
  if (architecture.sliding_window && json.integer_or("max_window_layers", 0) >= layer_count) return;
  refuse(*window, "expected a model without sliding_window, seen ", window->integer());
}

struct RopeScaling {
  double factor = 0; // 0: none
  double low = 0;
  double high = 0;
  int32_t original = 0;
  bool operator==(const RopeScaling&) const = default;
};

// "rope_type" was called "type" once.
RopeScaling read_rope_scaling(const JsonView& rope, const JsonView& json) {
  for (const std::string_view layer_type : {"full_attention", "sliding_attention"})
    if (rope.find(layer_type))
      refuse(rope, "expected one set of RoPE parameters, seen one for ", layer_type);
  require_number(rope, "partial_rotary_factor", 1);
  const std::string type = rope.string_or("rope_type", rope.string_or("type", "default"));
  if (type == "default") return {};
  if (type != "llama3") refuse(rope, "expected rope_type default or llama3, seen '", type, "'");
  constexpr std::string_view original = "original_max_position_embeddings";
  const JsonView holder = rope.find(original) ? rope : json;
  return {.factor = rope.at("factor").number(),
          .low = rope.at("low_freq_factor").number(),
          .high = rope.at("high_freq_factor").number(),
          .original = static_cast<int32_t>(holder.at(original).integer(1, max_int))};
}

// transformers 4 has rope_theta and rope_scaling, transformers 5 rope_parameters. A reader that
// looks at one place alone would take 10000 for theta and be wrong silently.
void read_rope(const JsonView& json, model::Config& config) {
  std::optional<double> theta;
  std::optional<RopeScaling> scaling;
  const auto set_theta = [&](const JsonView& seen) {
    if (theta && *theta != seen.number())
      seen.fail_here("expected rope_theta ", *theta, " as elsewhere, seen ", seen.number());
    theta = seen.number();
  };
  if (const auto member = json.find("rope_theta")) set_theta(*member);
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const auto rope = json.find(key);
    if (!rope) continue;
    if (const auto member = rope->find("rope_theta")) set_theta(*member);
    const RopeScaling seen = read_rope_scaling(*rope, json);
    if (scaling && !(seen == *scaling))
      rope->fail_here("expected the RoPE parameters of rope_scaling, seen others");
    scaling = seen;
  }
  if (!theta) json.fail_here("expected rope_theta or rope_parameters.rope_theta, seen neither");
  if (!(*theta > 0)) json.fail_here("expected a rope_theta above 0, seen ", *theta);
  config.rope_theta = *theta;
  if (!scaling) return;
  config.rope_scaling_factor = scaling->factor;
  config.rope_low_frequency_factor = scaling->low;
  config.rope_high_frequency_factor = scaling->high;
  config.rope_original_context_length = scaling->original;
}

int32_t read_extent(const JsonView& json, std::string_view key) {
  return static_cast<int32_t>(json.at(key).integer(1, max_int));
}

int32_t read_extent_or(const JsonView& json, std::string_view key, int32_t fallback) {
  return json.find(key) ? read_extent(json, key) : fallback;
}

} // namespace

std::vector<int32_t> read_stop_ids(const JsonView& json, int32_t vocab_size) {
  std::vector<int32_t> ids;
  const auto eos = json.find("eos_token_id");
  if (!eos) return ids;
  const auto append = [&](const JsonView& id) {
    ids.push_back(static_cast<int32_t>(id.integer(0, vocab_size - 1)));
  };
  if (eos->value().if_array() == nullptr) {
    append(*eos);
  } else {
    for (size_t i = 0; i < eos->size(); ++i) append(eos->at(i));
  }
  return ids;
}

HuggingFaceConfig read_hugging_face_config(const JsonView& json) {
  const Architecture& architecture = architecture_of(json);
  check_options(json, architecture);
  model::Config config;
  config.vocab_size = read_extent(json, "vocab_size");
  config.hidden_size = read_extent(json, "hidden_size");
  config.intermediate_size = read_extent(json, "intermediate_size");
  config.layer_count = read_extent(json, "num_hidden_layers");
  config.head_count = read_extent(json, "num_attention_heads");
  config.kv_head_count = read_extent_or(json, "num_key_value_heads", config.head_count);
  config.head_dim = read_extent_or(json, "head_dim", 0);
  config.context_length = read_extent(json, "max_position_embeddings");
  config.norm_epsilon = json.at("rms_norm_eps").number();
  config.tie_embeddings = json.boolean_or("tie_word_embeddings", false);
  config.qkv_bias = architecture.qkv_bias;
  config.qk_norm = architecture.qk_norm;
  check_attention_layers(json, architecture, config.layer_count);
  read_rope(json, config);
  if (!(config.norm_epsilon > 0))
    json.at("rms_norm_eps").fail_here("expected a number above 0, seen ", config.norm_epsilon);
  HuggingFaceConfig result;
  result.config = model::resolve(config);
  result.stop_ids = read_stop_ids(json, result.config.vocab_size);
  return result;
}

Json write_hugging_face_config(const model::Config& config, std::string_view dtype) {
  const Architecture* chosen = nullptr;
  for (const Architecture& known : architectures)
    if (known.qkv_bias == config.qkv_bias && known.qk_norm == config.qk_norm) chosen = &known;
  if (chosen == nullptr)
    fail(Status::unsupported, "expected a model with qkv_bias or qk_norm, which an architecture of "
                              "transformers has without a bias on o_proj, seen both");
  Json scaling;
  if (config.rope_scaling_factor != 0) {
    scaling.set("rope_type", "llama3");
    scaling.set("factor", config.rope_scaling_factor);
    scaling.set("low_freq_factor", config.rope_low_frequency_factor);
    scaling.set("high_freq_factor", config.rope_high_frequency_factor);
    scaling.set("original_max_position_embeddings", config.rope_original_context_length);
  }
  Json parameters = scaling.is_null() ? Json::object() : scaling;
  if (scaling.is_null()) parameters.set("rope_type", "default");
  parameters.set("rope_theta", config.rope_theta);

  Json json = Json::object();
  json.set("architectures", Json::Array{Json(chosen->name)});
  json.set("model_type", chosen->model_type);
  json.set("vocab_size", config.vocab_size);
  json.set("hidden_size", config.hidden_size);
  json.set("intermediate_size", config.intermediate_size);
  json.set("num_hidden_layers", config.layer_count);
  json.set("num_attention_heads", config.head_count);
  json.set("num_key_value_heads", config.kv_head_count);
  json.set("head_dim", config.head_dim);
  json.set("max_position_embeddings", config.context_length);
  json.set("rms_norm_eps", config.norm_epsilon);
  json.set("hidden_act", "silu");
  json.set("tie_word_embeddings", config.tie_embeddings);
  json.set("attention_bias", config.qkv_bias);
  json.set("attention_dropout", 0.0);
  if (!chosen->sliding_window) json.set("mlp_bias", false);
  if (chosen->sliding_window) json.set("use_sliding_window", false);
  json.set("rope_theta", config.rope_theta);
  json.set("rope_scaling", std::move(scaling));
  json.set("rope_parameters", std::move(parameters));
  json.set("torch_dtype", dtype);
  json.set("dtype", dtype);
  return json;
}

} // namespace anet::io
