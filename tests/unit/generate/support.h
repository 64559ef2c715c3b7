// What the tests of generation share.
#pragma once

#include "base/status.h"
#include "model/model.h"

#include <memory>

namespace anet {

inline model::Config small_config(bool tied = false, bool qk_norm = false) {
  model::Config c;
  c.vocab_size = 50;
  c.hidden_size = 24;
  c.intermediate_size = 32;
  c.layer_count = 3;
  c.head_count = 4;
  c.kv_head_count = 2;
  c.context_length = 90;
  c.tie_embeddings = tied;
  c.qk_norm = qk_norm;
  return model::resolve(c);
}

// Sharper choices. Norms stay: large ones make attention so sharp that fp16 shows in it.
inline std::shared_ptr<model::Model> sharp_model(const model::Config& config) {
  auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), model->config(), 3, model->weights());
  for (const model::Parameter& parameter : model->parameters().all())
    if (parameter.decay)
      for (float& weight : model->values(parameter)) weight *= 4;
  return model;
}

// How an action ended.
template <typename Action>
Status status_of(Action&& action) {
  try {
    action();
    return Status::ok;
  } catch (const Error& error) {
    return error.status();
  }
}

} // namespace anet
