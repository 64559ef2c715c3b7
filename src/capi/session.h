#pragma once

#include "capi/adapter.h"
#include "capi/call_scope.h"
#include "capi/device.h"
#include "capi/model.h"
#include "train/session.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct anet_session : anet::capi::Handle<anet::capi::HandleKind::session> {
  anet_session(anet_device& parent, anet::capi::Ref<anet_model> trained,
               std::unique_ptr<anet::train::Session> made);
  // Trains an adapter of its model.
  anet_session(anet_device& parent, anet_adapter& trained,
               std::unique_ptr<anet::train::Session> made)
      : device(parent), model(trained.model), adapter(trained), session(std::move(made)) {}

  // Members are destroyed from the last to the first.
  anet::capi::Ref<anet_device> device;
  anet::capi::Ref<anet_model> model;
  anet::capi::Ref<anet_adapter> adapter; // empty: the model is trained
  std::unique_ptr<anet::train::Session> session;
  std::string trainable;                                         // the patterns of the options
  mutable std::vector<anet::train::KernelReport> kernel_reports; // as last asked for, by index
  // The thread inside anet_session_fit is in its callback, between two steps.
  mutable std::atomic<bool> in_callback{false};
  mutable anet::capi::CallState calls;
};

namespace anet::capi {

enum class SessionUse {
  state,      // the session's own values
  read_model, // evaluates or saves
  gradients,  // refused in a fit callback, as the next one
  train       // changes the weights
};

// The session for one call. Throws invalid_argument, invalid_handle, busy.
class SessionCall {
public:
  SessionCall(const anet_session* handle, SessionUse use)
      : handle_(check_handle(handle, "session")),
        session_(handle_, Access::exclusive, nesting(handle_, use), "session") {
    if (use != SessionUse::read_model && use != SessionUse::train) return;
    const Access access = use == SessionUse::train ? Access::exclusive : Access::shared;
    const bool adapted = bool(handle_.adapter);
    model_.emplace(enter_model(*handle_.model, adapted ? Access::shared : access));
    if (adapted) adapter_.emplace(enter_adapter(*handle_.adapter, access));
  }

  const anet_session& handle() const { return handle_; }
  train::Session& operator*() const { return *handle_.session; }
  train::Session* operator->() const { return handle_.session.get(); }

private:
  // Another thread's callback changes nothing here: its access refuses this call in any case.
  static Nesting nesting(const anet_session& handle, SessionUse use) {
    const bool allowed = use == SessionUse::state || use == SessionUse::read_model;
    return allowed && handle.in_callback.load() ? Nesting::allowed : Nesting::refused;
  }

  const anet_session& handle_;
  CallScope<const anet_session> session_;
  std::optional<CallScope<const anet_model>> model_;
  std::optional<CallScope<const anet_adapter>> adapter_;
};

} // namespace anet::capi
