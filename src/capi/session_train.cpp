// Sessions: steps, evaluation and fit.
#include "capi/arguments.h"
#include "capi/dataset.h"
#include "capi/guard.h"
#include "capi/session.h"
#include "capi/session_options.h"
#include "capi/structs.h"

#include <algorithm>
#include <vector>

namespace anet::capi {

namespace {

train::Batch batch_of(const anet_batch& batch, const train::SessionOptions& options) {
  // Before anything is read from the arrays, whose length these two numbers tell.
  if (batch.sequence_count != options.batch_size ||
      batch.sequence_length != options.sequence_length)
    fail(Status::shape_mismatch, "expected a batch of ", options.batch_size, " sequences of ",
         options.sequence_length, " tokens, seen ", batch.sequence_count, " of ",
         batch.sequence_length);
  const auto count =
      static_cast<size_t>(batch.sequence_count) * static_cast<size_t>(batch.sequence_length);
  train::Batch result{batch.sequence_count, batch.sequence_length,
                      read_array(batch.tokens, count, "batch.tokens"),
                      read_array(batch.targets, count, "batch.targets")};
  if (batch.positions != nullptr) result.positions = {batch.positions, count};
  if (batch.parts != 0) result.parts = batch.parts;
  return result;
}

train::Batch read_batch(const anet_batch* batch, const train::SessionOptions& options) {
  return batch_of(read_struct(batch, "batch"), options);
}

// The caller's structs may be larger than ours: their own size is the distance between them.
std::vector<train::Batch> read_batches(const anet_batch* batches, size_t count,
                                       const train::SessionOptions& options) {
  std::vector<train::Batch> result;
  const size_t stride = count == 0 ? 0 : require(batches, "batches").struct_size;
  const auto* bytes = reinterpret_cast<const std::byte*>(batches);
  for (size_t i = 0; i < count; ++i) {
    const auto* batch = reinterpret_cast<const anet_batch*>(bytes + i * stride);
    if (batch->struct_size != stride)
      fail(Status::invalid_struct_size, "expected batches of one struct_size, seen ", stride,
           " and ", batch->struct_size);
    result.push_back(batch_of(read_struct(batch, "batches"), options));
  }
  return result;
}

// The caller's callback, with the session open to calls that do not step.
class FitCallback {
public:
  FitCallback(const anet_session& session, const anet_fit_options& options)
      : session_(&session), callback_(options.callback), user_data_(options.user_data) {}

  int32_t operator()(const train::FitEvent& event) const {
    const anet_step_result result = struct_of(event.step);
    anet_fit_event copy = struct_of(event);
    copy.result = &result;
    const Opened opened(*session_);
    return callback_(&copy, user_data_);
  }

private:
  struct Opened {
    explicit Opened(const anet_session& opened_session) : session(opened_session) {
      session.in_callback.store(true);
    }
    ~Opened() { session.in_callback.store(false); }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    const anet_session& session;
  };

  const anet_session* session_;
  anet_fit_callback callback_;
  void* user_data_;
};

train::FitOptions fit_options_of(const anet_session& session, const anet_fit_options& options) {
  train::FitOptions result;
  result.steps = options.steps;
  result.eval_every = options.eval_every;
  result.eval_windows = options.eval_windows;
  result.save_every = options.save_every;
  if (options.save_every != 0)
    result.checkpoint_root = read_path(options.checkpoint_root, "options.checkpoint_root");
  result.keep_last = options.keep_last;
  result.patience = options.patience;
  result.min_delta = options.min_delta;
  result.sample_every = options.sample_every;
  result.eval_at_end =
      check_flag(options.eval_at_end, Status::unsupported_option, "options.eval_at_end");
  if (options.callback != nullptr) result.callback = FitCallback(session, options);
  return result;
}

train::FitResult fit(const SessionCall& call, const anet_dataset& train,
                     const anet_dataset* validation, const anet_fit_options& options) {
  // Kept until the end, also when the callback releases them.
  const Ref train_reference(train);
  std::optional<Ref<const anet_dataset>> validation_reference;
  const io::Dataset* validation_rows = nullptr;
  if (validation != nullptr) {
    validation_reference.emplace(check_handle(validation, "validation"));
    validation_rows = validation->rows.get();
  }
  return call->fit(*train.rows, validation_rows, fit_options_of(call.handle(), options));
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_session_step(anet_session* session, const anet_batch* batches, size_t batch_count,
                              anet_step_result* result, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::train);
    const auto output = OutputStruct<anet_step_result>::optional(result, "result");
    output.write(struct_of(call->step(read_batches(batches, batch_count, call->options()))));
  });
}

anet_status anet_session_forward_backward(anet_session* session, const anet_batch* batch,
                                          anet_step_result* result, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::train);
    const auto output = OutputStruct<anet_step_result>::optional(result, "result");
    output.write(struct_of(call->forward_backward(read_batch(batch, call->options()))));
  });
}

anet_status anet_session_optimizer_step(anet_session* session, anet_step_result* result,
                                        anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::train);
    const auto output = OutputStruct<anet_step_result>::optional(result, "result");
    output.write(struct_of(call->optimizer_step()));
  });
}

anet_status anet_session_zero_gradients(anet_session* session, anet_error** error) {
  return guard(error, [&] { SessionCall(session, SessionUse::gradients)->zero_gradients(); });
}

anet_status anet_session_eval(anet_session* session, const anet_batch* batch,
                              anet_eval_result* result, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::read_model);
    const OutputStruct output(result, "result");
    output.write(struct_of(call->eval(read_batch(batch, call->options()))));
  });
}

anet_status anet_session_evaluate(anet_session* session, const anet_dataset* dataset,
                                  uint64_t max_windows, anet_eval_result* result,
                                  anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::read_model);
    const Ref reference(check_handle(dataset, "dataset"));
    const OutputStruct output(result, "result");
    output.write(struct_of(call->evaluate(*reference->rows, max_windows)));
  });
}

anet_status anet_session_score(anet_session* session, const anet_dataset* dataset,
                               uint64_t max_rows, anet_document_loss* losses, size_t capacity,
                               size_t* count, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::read_model);
    const Ref reference(check_handle(dataset, "dataset"));
    require(count, "count");
    const auto result = call->score(*reference->rows, max_rows);
    if (check_capacity(result.size(), losses, capacity, count, "losses"))
      std::transform(result.begin(), result.end(), losses,
                     [](const auto& document) { return struct_of(document); });
  });
}

anet_status anet_session_fit(anet_session* session, const anet_dataset* train,
                             const anet_dataset* validation, const anet_fit_options* options,
                             anet_fit_result* result, anet_error** error) {
  return guard(error, [&] {
    const SessionCall call(session, SessionUse::train);
    const auto output = OutputStruct<anet_fit_result>::optional(result, "result");
    output.write(struct_of(
        fit(call, check_handle(train, "train"), validation, read_struct(options, "options"))));
  });
}
