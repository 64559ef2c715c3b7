// Small models for the tests of this layer.
#pragma once

#include "model/model.h"

#include <memory>

namespace anet::test {

inline model::Config small_config(int32_t layers, bool tied) {
  model::Config config;
  config.vocab_size = 24;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.layer_count = layers;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.tie_embeddings = tied;
  return model::resolve(config);
}

inline std::shared_ptr<model::Model> random_model(int32_t layers, bool tied) {
  auto model = std::make_shared<model::Model>(small_config(layers, tied));
  model::initialize(model->parameters(), model->config(), 3, model->weights());
  return model;
}

} // namespace anet::test
