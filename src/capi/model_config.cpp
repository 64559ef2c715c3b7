// anet_model_config and model::Config.
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/model.h"
#include "capi/structs.h"
#include "model/config.h"

namespace anet::capi {

namespace {

// The fields that are the same on both sides of the ABI.
template <typename From, typename To>
void copy_numbers(const From& from, To& to) {
  to.vocab_size = from.vocab_size;
  to.hidden_size = from.hidden_size;
  to.intermediate_size = from.intermediate_size;
  to.layer_count = from.layer_count;
  to.head_count = from.head_count;
  to.kv_head_count = from.kv_head_count;
  to.head_dim = from.head_dim;
  to.context_length = from.context_length;
  to.rope_theta = from.rope_theta;
  to.norm_epsilon = from.norm_epsilon;
  to.rope_scaling_factor = from.rope_scaling_factor;
  to.rope_low_frequency_factor = from.rope_low_frequency_factor;
  to.rope_high_frequency_factor = from.rope_high_frequency_factor;
  to.rope_original_context_length = from.rope_original_context_length;
}

} // namespace

model::Config config_of(const anet_model_config& config) {
  model::Config result;
  copy_numbers(config, result);
  result.tie_embeddings =
      check_flag(config.tie_embeddings, Status::invalid_config, "tie_embeddings");
  result.qkv_bias = check_flag(config.qkv_bias, Status::invalid_config, "qkv_bias");
  result.qk_norm = check_flag(config.qk_norm, Status::invalid_config, "qk_norm");
  return result;
}

anet_model_config struct_of(const model::Config& config) {
  anet_model_config result{};
  copy_numbers(config, result);
  result.tie_embeddings = config.tie_embeddings;
  result.qkv_bias = config.qkv_bias;
  result.qk_norm = config.qk_norm;
  return result;
}

} // namespace anet::capi

using namespace anet::capi;

size_t anet_model_config_count(void) { return anet::model::named_configs().size(); }

const char* anet_model_config_name(size_t index) {
  const auto configs = anet::model::named_configs();
  return index < configs.size() ? configs[index].name : nullptr;
}

anet_status anet_model_config_get(const char* name, anet_model_config* config, anet_error** error) {
  return guard(error, [&] {
    const OutputStruct output(config, "config");
    output.write(struct_of(anet::model::named_config(read_string(name, "name"))));
  });
}

anet_status anet_model_config_from_json(const char* json, anet_model_config* config,
                                        anet_error** error) {
  return guard(error, [&] {
    const OutputStruct output(config, "config");
    anet::model::Config result = config_of(read_struct(config, "config"));
    const auto parsed = anet::Json::parse(&require(json, "json"), "model configuration");
    anet::model::read_config(anet::JsonView(parsed), result);
    output.write(struct_of(result));
  });
}
