#pragma once

#include "capi/adapter.h"
#include "capi/call_scope.h"
#include "capi/device.h"
#include "capi/model.h"
#include "capi/tokenizer.h"
#include "generate/generator.h"

#include <memory>
#include <vector>

struct anet_generator : anet::capi::Handle<anet::capi::HandleKind::generator> {
  // Members are destroyed from the last to the first.
  anet::capi::Ref<anet_device> device;
  anet::capi::Ref<anet_model> model;
  anet::capi::Ref<const anet_tokenizer> tokenizer;           // empty: no text
  std::vector<anet::capi::Ref<const anet_adapter>> adapters; // attached ones
  std::unique_ptr<anet::generate::Generator> generator;
  mutable anet::capi::CallState calls;
};
