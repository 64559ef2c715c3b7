// Sessions: making them and their state. Training is in session_train.cpp, files in checkpoint.cpp.
#include "capi/session.h"

#include "capi/arguments.h"
#include "capi/counters.h"
#include "capi/guard.h"
#include "capi/session_options.h"
#include "capi/structs.h"

#include <cstdint>
#include <limits>

namespace anet::capi {

namespace {

// Far enough from the largest integer that no step can pass it.
constexpr auto max_cursor = static_cast<uint64_t>(train::Session::max_count);

std::unique_ptr<anet_session> create(anet_device& device, anet_model& model,
                                     const anet_session_options& options) {
  const auto call = enter_model(model, Access::shared);
  auto session = std::make_unique<train::Session>(device.device, model.model, options_of(options),
                                                  device.logger);
  return std::make_unique<anet_session>(device, Ref(model), std::move(session));
}

std::unique_ptr<anet_session> create_adapter(anet_device& device, anet_adapter& adapter,
                                             const anet_session_options& options) {
  const auto model = enter_model(*adapter.model, Access::shared);
  const auto call = enter_adapter(adapter, Access::shared);
  auto session = std::make_unique<train::Session>(device.device, adapter.adapter,
                                                  options_of(options), device.logger);
  return std::make_unique<anet_session>(device, adapter, std::move(session));
}

void swap_adapter(anet_session& handle, anet_adapter& adapter) {
  const SessionCall call(&handle, SessionUse::gradients);
  const auto next = enter_adapter(adapter, Access::shared);
  call->swap_adapter(adapter.adapter);
  handle.adapter = Ref(adapter);
}

// The strings of the result are kept in the handle.
anet_kernel_report kernel_report(const anet_session& handle, size_t index) {
  auto& kept = handle.kernel_reports;
  kept.resize(handle.session->kernel_count()); // once: the strings of other indices stay
  check_index(index, kept.size(), "kernel");
  train::KernelReport& report = kept[index];
  report = handle.session->kernel_report(index);
  anet_kernel_report result{};
  result.label = report.label;
  result.where = report.placement.where.c_str();
  result.reason = report.placement.reason.c_str();
  result.runs = report.totals.runs;
  copy_counters(report.totals, result);
  return result;
}

void get_array(std::span<float> source, float** values, size_t* count) {
  *values = source.data();
  *count = source.size();
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;
using anet::Status;
using anet::train::Session;

anet_session::anet_session(anet_device& parent, Ref<anet_model> trained,
                           std::unique_ptr<Session> made)
    : device(parent), model(std::move(trained)), session(std::move(made)) {
  for (const std::string& pattern : session->options().trainable)
    trainable += (trainable.empty() ? "" : ",") + pattern;
}

anet_status anet_session_plan_memory(anet_device* device, const anet_model_config* config,
                                     const anet_session_options* options, anet_memory_plan* plan,
                                     anet_error** error) {
  return guard(error, [&] {
    const anet_device& handle = check_handle(device, "device");
    const OutputStruct output(plan, "plan");
    const auto model = config_of(read_struct(config, "config"));
    const auto session = options_of(read_optional_struct(options, "options"));
    output.write(struct_of(Session::plan_memory(*handle.device, model, session)));
  });
}

anet_status anet_session_create(anet_device* device, anet_model* model,
                                const anet_session_options* options, anet_session** session,
                                anet_error** error) {
  return guard_create(session, "session", error, [&] {
    return create(check_handle(device, "device"), check_handle(model, "model"),
                  read_optional_struct(options, "options"));
  });
}

anet_status anet_session_create_adapter(anet_device* device, anet_adapter* adapter,
                                        const anet_session_options* options, anet_session** session,
                                        anet_error** error) {
  return guard_create(session, "session", error, [&] {
    return create_adapter(check_handle(device, "device"), check_handle(adapter, "adapter"),
                          read_optional_struct(options, "options"));
  });
}

anet_status anet_session_plan_adapter_memory(anet_device* device, const anet_adapter* adapter,
                                             const anet_session_options* options,
                                             anet_memory_plan* plan, anet_error** error) {
  return guard(error, [&] {
    const anet_device& handle = check_handle(device, "device");
    const anet_adapter& trained = check_handle(adapter, "adapter");
    const OutputStruct output(plan, "plan");
    const auto session = options_of(read_optional_struct(options, "options"));
    const auto call = enter_adapter(trained, Access::shared);
    output.write(struct_of(Session::plan_memory(*handle.device, *trained.model->model,
                                                trained.adapter.get(), session)));
  });
}

anet_status anet_session_get_adapter(const anet_session* session, anet_adapter** adapter,
                                     anet_error** error) {
  return guard_create(adapter, "adapter", error, [&] {
    const SessionCall call(session, SessionUse::state);
    if (!call.handle().adapter)
      fail(Status::invalid_state, "expected a session that trains an adapter, seen one that trains "
                                  "a model");
    return call.handle().adapter;
  });
}

anet_status anet_session_swap_adapter(anet_session* session, anet_adapter* adapter,
                                      anet_error** error) {
  return guard(error, [&] {
    swap_adapter(check_handle(session, "session"), check_handle(adapter, "adapter"));
  });
}

anet_status anet_session_get_options(const anet_session* session, anet_session_options* options,
                                     anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    const OutputStruct output(options, "options");
    anet_session_options result = struct_of(call->options());
    if (!call.handle().trainable.empty()) result.trainable = call.handle().trainable.c_str();
    output.write(result);
  });
}

anet_status anet_session_get_memory_plan(const anet_session* session, anet_memory_plan* plan,
                                         anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    const OutputStruct output(plan, "plan");
    output.write(struct_of(call->memory_plan()));
  });
}

size_t anet_session_kernel_count(const anet_session* session) {
  size_t count = 0;
  if (!is_valid(session)) return count;
  if (guard(nullptr, [&] { count = session->session->kernel_count(); }) != ANET_OK) return 0;
  return count;
}

anet_status anet_session_get_kernel_report(const anet_session* session, size_t index,
                                           anet_kernel_report* report, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    const OutputStruct output(report, "report");
    output.write(kernel_report(call.handle(), index));
  });
}

anet_status anet_session_get_step(const anet_session* session, int64_t* step, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    require(step, "step") = call->steps_done();
  });
}

anet_status anet_session_get_cursor(const anet_session* session, uint64_t* cursor,
                                    anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    require(cursor, "cursor") = call->cursor();
  });
}

anet_status anet_session_set_cursor(anet_session* session, uint64_t cursor, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    if (cursor > max_cursor)
      fail(Status::out_of_range, "expected a cursor up to ", max_cursor, ", seen ", cursor);
    call->set_cursor(cursor);
  });
}

anet_status anet_session_set_learning_rate(anet_session* session, double learning_rate,
                                           anet_error** error) {
  return guard(error,
               [&] { SessionCall(session, SessionUse::state)->set_learning_rate(learning_rate); });
}

anet_status anet_session_get_weights(anet_session* session, float** values, size_t* count,
                                     anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    get_array(call->share_weights(), &require(values, "values"), &require(count, "count"));
  });
}

anet_status anet_session_get_gradients(anet_session* session, float** values, size_t* count,
                                       anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    get_array(call->gradients(), &require(values, "values"), &require(count, "count"));
  });
}

anet_status anet_session_get_tokens(const anet_session* session, uint64_t* tokens,
                                    anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    require(tokens, "tokens") = call->accumulated_tokens();
  });
}

anet_status anet_session_set_tokens(anet_session* session, uint64_t tokens, anet_error** error) {
  return guard(
      error, [&] { SessionCall(session, SessionUse::gradients)->set_accumulated_tokens(tokens); });
}

anet_status anet_session_weights_changed(anet_session* session, anet_error** error) {
  return guard(error, [&] { SessionCall(session, SessionUse::state)->weights_changed(); });
}

anet_status anet_session_set_property(anet_session* session, const char* key, const char* value,
                                      anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    const std::string name = read_string(key, "key");
    if (value == nullptr)
      call->remove_property(name);
    else
      call->set_property(name, read_string(value, "value"));
  });
}

anet_status anet_session_get_property(const anet_session* session, const char* key,
                                      const char** value, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::state);
    const char*& output = require(value, "value");
    const std::string name = read_string(key, "key");
    const std::string* found = call->property(name);
    if (found == nullptr)
      fail(Status::not_found, "expected a property that was set, seen '", name, "'");
    output = found->c_str();
  });
}

anet_status anet_session_get_model(const anet_session* session, anet_model** model,
                                   anet_error** error) {
  return guard_create(model, "model", error, [&] {
    const SessionCall call(session, SessionUse::state);
    return call.handle().model;
  });
}

// No lock and nothing that allocates: a signal handler may be here.
void anet_session_cancel(anet_session* session) {
  if (is_valid(session)) session->session->cancel();
}

void anet_session_retain(anet_session* session) { retain_handle(session); }

void anet_session_release(anet_session* session) { release_handle(session); }
