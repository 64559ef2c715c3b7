// Checkpoints: saving and resuming sessions, finding and inspecting folders.
#include "io/checkpoint.h"

#include "base/file.h"
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/session.h"
#include "capi/session_options.h"
#include "capi/structs.h"

#include <cmath>

namespace anet::capi {

namespace {

std::optional<double> validation_loss(const anet_save_options& options) {
  const bool given = check_flag(options.has_validation_loss, Status::unsupported_option,
                                "options.has_validation_loss");
  const double loss = options.validation_loss;
  if (!given && loss != 0)
    fail(Status::unsupported_option,
         "expected options.validation_loss only with has_validation_loss, seen ", loss);
  if (!std::isfinite(loss))
    fail(Status::invalid_argument, "expected a finite options.validation_loss, seen ", loss);
  return given ? std::optional(loss) : std::nullopt;
}

void save(const SessionCall& call, const std::string& root, const anet_save_options& options) {
  if (options.keep_last < 0)
    fail(Status::invalid_argument, "expected options.keep_last of at least 0, seen ",
         options.keep_last);
  call->save(root, options.keep_last, validation_loss(options));
}

std::unique_ptr<anet_session> resume(anet_device& device, const std::string& path,
                                     const anet_session_options* options) {
  std::optional<train::SessionOptions> chosen;
  if (options != nullptr) chosen = options_of(read_struct(options, "options"));
  auto session = train::resume(device.device, path, chosen ? &*chosen : nullptr, device.logger);
  auto model = Ref<anet_model>::adopt(new anet_model(session->model()));
  return std::make_unique<anet_session>(device, std::move(model), std::move(session));
}

std::unique_ptr<anet_session> resume_adapter(anet_device& device, anet_model& model,
                                             const std::string& path,
                                             const anet_session_options* options) {
  std::optional<train::SessionOptions> chosen;
  if (options != nullptr) chosen = options_of(read_struct(options, "options"));
  const auto call = enter_model(model, Access::shared);
  auto session = train::resume_adapter(device.device, model.model, path,
                                       chosen ? &*chosen : nullptr, device.logger);
  const auto adapter = Ref<anet_adapter>::adopt(new anet_adapter(Ref(model), session->adapter()));
  return std::make_unique<anet_session>(device, *adapter, std::move(session));
}

[[noreturn]] void fail_none(const io::CheckpointStore& store, const char* what) {
  std::string reasons;
  for (const io::CheckpointProblem& problem : store.problems())
    reasons += concat("; ", problem.entry.path, ": ", problem.message);
  fail(Status::not_found, "expected ", what, " under '", store.root(), "', seen ",
       reasons.empty() ? "none" : "only damaged ones", reasons);
}

std::string find(const std::string& root, anet_checkpoint_choice choice) {
  const io::CheckpointStore store(root);
  if (choice == ANET_CHECKPOINT_LATEST) {
    if (const auto reader = store.open_latest()) return reader->directory();
    fail_none(store, "a checkpoint");
  }
  constexpr const char* wanted = "a checkpoint that is marked as the best";
  try {
    if (const auto best = store.best()) return io::CheckpointReader(best->entry.path).directory();
  } catch (const Error& error) {
    if (!io::is_checkpoint_damage(error.status())) throw;
    fail(Status::not_found, "expected ", wanted, " under '", root,
         "', seen a damaged one: ", error.message());
  }
  fail_none(store, wanted);
}

std::string inspect(const std::string& path) {
  const io::CheckpointReader verified(path);
  return read_file(path + "/state.json");
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;
using anet::Status;

anet_status anet_session_save(anet_session* session, const char* root,
                              const anet_save_options* options, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::read_model);
    save(call, read_path(root, "root"), read_optional_struct(options, "options"));
  });
}

anet_status anet_session_resume(anet_device* device, const char* path,
                                const anet_session_options* options, anet_session** session,
                                anet_error** error) {
  return guard_create(session, "session", error, [&] {
    return resume(check_handle(device, "device"), read_path(path, "path"), options);
  });
}

anet_status anet_session_resume_adapter(anet_device* device, anet_model* model, const char* path,
                                        const anet_session_options* options, anet_session** session,
                                        anet_error** error) {
  return guard_create(session, "session", error, [&] {
    return resume_adapter(check_handle(device, "device"), check_handle(model, "model"),
                          read_path(path, "path"), options);
  });
}

anet_status anet_checkpoint_find(const char* root, anet_checkpoint_choice choice, char* path,
                                 size_t capacity, size_t* length, anet_error** error) {
  return guard(error, [&] {
    require(length, "length");
    check_enumerator(choice, ANET_CHECKPOINT_LATEST, 2, Status::invalid_argument, "choice");
    copy_string(find(read_path(root, "root"), choice), path, capacity, length, "path");
  });
}

anet_status anet_checkpoint_inspect(const char* path, char* json, size_t capacity, size_t* length,
                                    anet_error** error) {
  return guard(error, [&] {
    require(length, "length");
    copy_string(inspect(read_path(path, "path")), json, capacity, length, "json");
  });
}
