// anet_model_config and model::Config.
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/model.h"
#include "capi/structs.h"
#include "model/config.h"

namespace anet::capi {

model::Config config_of(const anet_model_config& config) {
  model::Config result;
  result.vocab_size = config.vocab_size;
  result.hidden_size = config.hidden_size;
  result.intermediate_size = config.intermediate_size;
  result.layer_count = config.layer_count;
  result.head_count = config.head_count;
  result.kv_head_count = config.kv_head_count;
  result.head_dim = config.head_dim;
  result.context_length = config.context_length;
  result.tie_embeddings =
      check_flag(config.tie_embeddings, Status::invalid_config, "tie_embeddings");
  result.qkv_bias = check_flag(config.qkv_bias, Status::invalid_config, "qkv_bias");
  result.qk_norm = check_flag(config.qk_norm, Status::invalid_config, "qk_norm");
  result.rope_theta = config.rope_theta;
  result.norm_epsilon = config.norm_epsilon;
  return result;
}

anet_model_config struct_of(const model::Config& config) {
  anet_model_config result{};
  result.vocab_size = config.vocab_size;
  result.hidden_size = config.hidden_size;
  result.intermediate_size = config.intermediate_size;
  result.layer_count = config.layer_count;
  result.head_count = config.head_count;
  result.kv_head_count = config.kv_head_count;
  result.head_dim = config.head_dim;
  result.context_length = config.context_length;
  result.tie_embeddings = config.tie_embeddings;
  result.qkv_bias = config.qkv_bias;
  result.qk_norm = config.qk_norm;
  result.rope_theta = config.rope_theta;
  result.norm_epsilon = config.norm_epsilon;
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
