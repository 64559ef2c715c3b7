#pragma once

#include "capi/call_scope.h"
#include "io/model_file/model_source.h"
#include "model/merge.h"
#include "model/model.h"
#include "quant/quantize.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

struct anet_model : anet::capi::Handle<anet::capi::HandleKind::model> {
  explicit anet_model(std::shared_ptr<anet::model::Model> made) : model(std::move(made)) {}
  explicit anet_model(anet::io::LoadedModel loaded);

  std::shared_ptr<anet::model::Model> model;
  // What its files said; empty for a model that was made.
  std::string format;
  anet::io::ModelExtras extras;
  std::vector<std::string> warnings;
  std::vector<const char*> warning_pointers; // to `warnings`
  // What this process compressed, one a parameter; else empty.
  std::vector<anet::quant::TensorReport> quantization;
  std::optional<anet::model::Merge> merge; // adapters that are in the weights
  // Exclusive while the weights change, shared while they are read: generators and evaluations of
  // one model may run side by side. The thread that changes them may read them from a callback,
  // which runs between steps.
  mutable anet::capi::CallState calls;
};

namespace anet::capi {

// `config` was read by read_struct. Throws invalid_config for a flag that is neither 0 nor 1.
model::Config config_of(const anet_model_config& config);
anet_model_config struct_of(const model::Config& config);
// With how its values are held.
anet_parameter describe_parameter(const model::Model& model, const model::Parameter& parameter);
// Progress by tensors; empty without a callback.
io::TensorCallback tensor_callback(anet_progress_callback callback, void* user_data);

inline CallScope<const anet_model> enter_model(const anet_model& model, Access access) {
  return {model, access, Nesting::allowed, "model"};
}

} // namespace anet::capi
