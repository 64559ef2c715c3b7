#pragma once

#include "capi/call_scope.h"
#include "capi/model.h"
#include "model/adapter.h"

#include <memory>
#include <span>
#include <vector>

struct anet_adapter : anet::capi::Handle<anet::capi::HandleKind::adapter> {
  anet_adapter(anet::capi::Ref<anet_model> adapted, std::shared_ptr<anet::model::Adapter> made)
      : model(std::move(adapted)), adapter(std::move(made)) {}

  // Members are destroyed from the last to the first.
  anet::capi::Ref<anet_model> model;
  std::shared_ptr<anet::model::Adapter> adapter;
  mutable anet::capi::CallState calls; // as those of anet_model
};

namespace anet::capi {

inline CallScope<const anet_adapter> enter_adapter(const anet_adapter& adapter, Access access) {
  return {adapter, access, Nesting::allowed, "adapter"};
}

// "q_proj, v_proj" as a list; NULL: none. Throws invalid_argument for an empty entry.
std::vector<std::string> read_patterns(const char* text, const char* argument);

// Adapters of a call, readable for as long as it lasts.
class WeightedAdapters {
public:
  WeightedAdapters(const anet_weighted_adapter* adapters, size_t count);
  const std::vector<model::WeightedAdapter>& values() const { return values_; }

private:
  std::vector<CallScope<const anet_adapter>> scopes_;
  std::vector<model::WeightedAdapter> values_;
};

} // namespace anet::capi
