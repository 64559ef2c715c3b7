#include "capi/session_options.h"

#include "capi/adapter.h"
#include "capi/arguments.h"
#include "capi/counters.h"
#include "capi/guard.h"
#include "capi/structs.h"

namespace anet::capi {

namespace {

using train::FitEnd;
using train::FitEvent;
using train::OptimizerKind;
using train::PrecisionMode;
using train::ScheduleKind;

static_assert(static_cast<anet_precision>(PrecisionMode::device_default) == ANET_PRECISION_DEFAULT);
static_assert(static_cast<anet_precision>(PrecisionMode::f32) == ANET_PRECISION_F32);
static_assert(static_cast<anet_precision>(PrecisionMode::f16) == ANET_PRECISION_F16);
static_assert(static_cast<anet_precision>(PrecisionMode::bf16) == ANET_PRECISION_BF16);
static_assert(static_cast<anet_optimizer>(OptimizerKind::adamw) == ANET_OPTIMIZER_ADAMW);
static_assert(static_cast<anet_optimizer>(OptimizerKind::sgd) == ANET_OPTIMIZER_SGD);
static_assert(static_cast<anet_schedule>(ScheduleKind::constant) == ANET_SCHEDULE_CONSTANT);
static_assert(static_cast<anet_schedule>(ScheduleKind::linear) == ANET_SCHEDULE_LINEAR);
static_assert(static_cast<anet_schedule>(ScheduleKind::cosine) == ANET_SCHEDULE_COSINE);
static_assert(static_cast<anet_schedule>(ScheduleKind::wsd) == ANET_SCHEDULE_WSD);
static_assert(static_cast<int32_t>(FitEvent::Kind::step) == ANET_EVENT_STEP);
static_assert(static_cast<int32_t>(FitEvent::Kind::eval) == ANET_EVENT_EVAL);
static_assert(static_cast<int32_t>(FitEvent::Kind::save) == ANET_EVENT_SAVE);
static_assert(static_cast<int32_t>(FitEvent::Kind::sample) == ANET_EVENT_SAMPLE);
static_assert(static_cast<anet_fit_end>(FitEnd::steps) == ANET_FIT_STEPS);
static_assert(static_cast<anet_fit_end>(FitEnd::callback) == ANET_FIT_CALLBACK);
static_assert(static_cast<anet_fit_end>(FitEnd::no_improvement) == ANET_FIT_NO_IMPROVEMENT);

template <typename Enum>
Enum read_enum(int32_t value, int32_t count, const char* field) {
  return static_cast<Enum>(check_enumerator(value, 0, count, Status::unsupported_option, field));
}

// The fields that are the same on both sides of the ABI.
template <typename From, typename To>
void copy_numbers(const From& from, To& to) {
  to.batch_size = from.batch_size;
  to.sequence_length = from.sequence_length;
  to.accumulation_steps = from.accumulation_steps;
  to.loss_chunk = from.loss_chunk;
  to.learning_rate = from.learning_rate;
  to.beta1 = from.beta1;
  to.beta2 = from.beta2;
  to.epsilon = from.epsilon;
  to.momentum = from.momentum;
  to.weight_decay = from.weight_decay;
  to.clip_norm = from.clip_norm;
  to.warmup_steps = from.warmup_steps;
  to.total_steps = from.total_steps;
  to.decay_steps = from.decay_steps;
  to.min_learning_rate = from.min_learning_rate;
  to.initial_loss_scale = from.initial_loss_scale;
  to.loss_scale_growth_steps = from.loss_scale_growth_steps;
  to.seed = from.seed;
  to.max_memory = from.max_memory;
  to.length_buckets = from.length_buckets;
}

// The fields that a summary has, too.
template <typename Struct>
Struct summary_of(const train::StepResult& result) {
  Struct copy{};
  copy.struct_size = sizeof(copy);
  copy.skipped = result.skipped;
  copy.step = result.step;
  copy.loss = result.loss;
  copy.tokens = result.tokens;
  copy.grad_norm = result.grad_norm;
  copy.learning_rate = result.learning_rate;
  copy.loss_scale = result.loss_scale;
  copy.seconds = result.seconds;
  copy.forward_seconds = result.forward_seconds;
  copy.backward_seconds = result.backward_seconds;
  copy.loss_seconds = result.loss_seconds;
  copy.optimizer_seconds = result.optimizer_seconds;
  copy.staging_seconds = result.staging_seconds;
  copy.bytes_staged = result.bytes_staged;
  return copy;
}

} // namespace

train::SessionOptions options_of(const anet_session_options& options) {
  train::SessionOptions result;
  copy_numbers(options, result);
  result.precision = read_enum<PrecisionMode>(options.precision, 4, "precision");
  result.activation_checkpointing = check_flag(
      options.activation_checkpointing, Status::unsupported_option, "activation_checkpointing");
  result.optimizer_precision =
      read_enum<PrecisionMode>(options.optimizer_precision, 4, "optimizer_precision");
  result.optimizer = read_enum<OptimizerKind>(options.optimizer, 2, "optimizer");
  result.schedule = read_enum<ScheduleKind>(options.schedule, 4, "schedule");
  result.documents = check_flag(options.documents, Status::unsupported_option, "documents");
  result.trainable = read_patterns(options.trainable, "trainable");
  return result;
}

anet_session_options struct_of(const train::SessionOptions& options) {
  anet_session_options result{};
  copy_numbers(options, result);
  result.precision = static_cast<anet_precision>(options.precision);
  result.activation_checkpointing = options.activation_checkpointing;
  result.optimizer_precision = static_cast<anet_precision>(options.optimizer_precision);
  result.optimizer = static_cast<anet_optimizer>(options.optimizer);
  result.schedule = static_cast<anet_schedule>(options.schedule);
  result.documents = options.documents;
  return result;
}

anet_memory_plan struct_of(const train::MemoryPlan& plan) {
  anet_memory_plan result{};
  result.weights = plan.weights;
  result.gradients = plan.gradients;
  result.optimizer = plan.optimizer;
  result.staged = plan.staged;
  result.activations = plan.activations;
  result.workspace = plan.workspace;
  result.total = plan.total();
  return result;
}

anet_step_result struct_of(const train::StepResult& result) {
  auto copy = summary_of<anet_step_result>(result);
  copy_counters(result.work, copy);
  copy.tokens_seen = result.tokens_seen;
  return copy;
}

anet_eval_result struct_of(const train::EvalResult& result) {
  anet_eval_result copy{};
  copy.struct_size = sizeof(copy);
  copy.loss = result.loss;
  copy.tokens = result.tokens;
  copy.seconds = result.seconds;
  return copy;
}

anet_fit_event struct_of(const train::FitEvent& event) {
  anet_fit_event copy{};
  copy.struct_size = sizeof(copy);
  copy.kind = static_cast<int32_t>(event.kind);
  copy.step = summary_of<anet_step_summary>(event.step);
  copy.eval = struct_of(event.eval);
  copy.improved = event.improved;
  copy.checkpoint = event.kind == FitEvent::Kind::save ? event.checkpoint.c_str() : nullptr;
  return copy;
}

anet_document_loss struct_of(const train::DocumentLoss& loss) {
  return {static_cast<uint64_t>(loss.row), static_cast<uint32_t>(loss.document),
          static_cast<uint32_t>(loss.begin), loss.loss_sum, loss.tokens};
}

anet_fit_result struct_of(const train::FitResult& result) {
  anet_fit_result copy{};
  copy.struct_size = sizeof(copy);
  copy.end = static_cast<anet_fit_end>(result.end);
  copy.step = summary_of<anet_step_summary>(result.step);
  copy.eval = struct_of(result.evaluation.value_or(train::EvalResult{}));
  copy.has_best = result.best_loss.has_value();
  copy.best_loss = result.best_loss.value_or(0);
  copy.best_step = result.best_step;
  return copy;
}

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_session_options_from_json(const char* json, anet_session_options* options,
                                           anet_error** error) {
  return guard(error, [&] {
    const OutputStruct output(options, "options");
    const anet_session_options given = read_struct(options, "options");
    anet::train::SessionOptions result = options_of(given);
    const auto patterns = result.trainable;
    const auto parsed = anet::Json::parse(&require(json, "json"), "session options");
    anet::train::read_options(anet::JsonView(parsed), result);
    if (result.trainable != patterns)
      fail(anet::Status::invalid_config,
           "expected 'trainable' in anet_session_options alone, which "
           "borrows its text, seen it in JSON");
    anet_session_options read = struct_of(result);
    read.trainable = given.trainable;
    output.write(read);
  });
}
