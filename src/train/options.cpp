#include "train/options.h"

#include "base/json_fields.h"

#include <cmath>

namespace anet::train {

namespace {

using Field = JsonField<SessionOptions, PrecisionMode, OptimizerKind, ScheduleKind>;
using PrecisionMember = EnumMember<SessionOptions, PrecisionMode>;
using OptimizerMember = EnumMember<SessionOptions, OptimizerKind>;
using ScheduleMember = EnumMember<SessionOptions, ScheduleKind>;

constexpr std::string_view precision_names[] = {"default", "f32", "f16", "bf16"};
constexpr std::string_view optimizer_names[] = {"adamw", "sgd"};
constexpr std::string_view schedule_names[] = {"constant", "linear", "cosine", "wsd"};

std::span<const Field> option_fields() {
  using O = SessionOptions;
  static const Field fields[] = {
      {"precision", PrecisionMember{&O::precision, precision_names}},
      {"batch_size", &O::batch_size},
      {"sequence_length", &O::sequence_length},
      {"accumulation_steps", &O::accumulation_steps},
      {"activation_checkpointing", &O::activation_checkpointing},
      {"documents", &O::documents},
      {"length_buckets", &O::length_buckets},
      {"loss_chunk", &O::loss_chunk},
      {"optimizer", OptimizerMember{&O::optimizer, optimizer_names}},
      {"learning_rate", &O::learning_rate},
      {"beta1", &O::beta1},
      {"beta2", &O::beta2},
      {"epsilon", &O::epsilon},
      {"momentum", &O::momentum},
      {"weight_decay", &O::weight_decay},
      {"clip_norm", &O::clip_norm},
      {"schedule", ScheduleMember{&O::schedule, schedule_names}},
      {"warmup_steps", &O::warmup_steps},
      {"total_steps", &O::total_steps},
      {"decay_steps", &O::decay_steps},
      {"min_learning_rate", &O::min_learning_rate},
      {"initial_loss_scale", &O::initial_loss_scale},
      {"loss_scale_growth_steps", &O::loss_scale_growth_steps},
      {"seed", &O::seed},
      {"max_memory", &O::max_memory},
      {"optimizer_precision", PrecisionMember{&O::optimizer_precision, precision_names}},
      {"trainable", &O::trainable},
  };
  return fields;
}

template <typename T>
void check_at_least(const char* field, T value, T minimum) {
  if (!(value >= minimum) || !std::isfinite(static_cast<double>(value)))
    fail(Status::invalid_argument, "expected ", field, " of at least ", minimum, ", seen ", value);
}

void check_below_one(const char* field, double value) {
  if (!(value >= 0 && value < 1))
    fail(Status::invalid_argument, "expected ", field, " of at least 0 and below 1, seen ", value);
}

// An option that belongs to something that is not chosen would be ignored in silence.
void check_unused(const char* field, double value, const char* owner) {
  if (value != 0)
    fail(Status::unsupported_option, "expected ", field, " only with ", owner, ", seen ", value);
}

void resolve_batch(SessionOptions& o, const model::Config& config) {
  if (o.batch_size == 0) o.batch_size = 1;
  if (o.sequence_length == 0) o.sequence_length = config.context_length;
  if (o.accumulation_steps == 0) o.accumulation_steps = 1;
  check_at_least("batch_size", o.batch_size, 1);
  check_at_least("sequence_length", o.sequence_length, 1);
  check_at_least("accumulation_steps", o.accumulation_steps, 1);
  check_at_least("loss_chunk", o.loss_chunk, 0);
  if (o.sequence_length > config.context_length)
    fail(Status::invalid_argument, "expected sequence_length up to the model's context_length ",
         config.context_length, ", seen ", o.sequence_length);
  constexpr int64_t max_positions = 1 << 22;
  const int64_t positions = int64_t{o.batch_size} * o.sequence_length;
  if (positions > max_positions)
    fail(Status::invalid_argument, "expected batch_size * sequence_length up to ", max_positions,
         ", seen ", positions);
  if (o.length_buckets < 0 || o.length_buckets > max_length_buckets)
    fail(Status::invalid_argument, "expected length_buckets from 0 to ", max_length_buckets,
         ", seen ", o.length_buckets);
  if (o.sequence_length % (1 << o.length_buckets) != 0)
    fail(Status::invalid_argument, "expected a sequence_length that is a multiple of ",
         1 << o.length_buckets, " because length_buckets is ", o.length_buckets, ", seen ",
         o.sequence_length);
  if (o.loss_chunk > positions)
    fail(Status::invalid_argument,
         "expected loss_chunk up to batch_size * sequence_length = ", positions, ", seen ",
         o.loss_chunk);
}

void resolve_optimizer(SessionOptions& o) {
  if (o.learning_rate == 0) o.learning_rate = 3e-4;
  check_at_least("learning_rate", o.learning_rate, 0.0);
  check_at_least("weight_decay", o.weight_decay, 0.0);
  check_at_least("clip_norm", o.clip_norm, 0.0);
  if (o.optimizer == OptimizerKind::adamw) {
    check_unused("momentum", o.momentum, "the sgd optimizer");
    if (o.beta1 == 0) o.beta1 = 0.9;
    if (o.beta2 == 0) o.beta2 = 0.999;
    if (o.epsilon == 0) o.epsilon = 1e-8;
    check_below_one("beta1", o.beta1);
    check_below_one("beta2", o.beta2);
    check_at_least("epsilon", o.epsilon, 0.0);
    return;
  }
  check_unused("beta1", o.beta1, "the adamw optimizer");
  check_unused("beta2", o.beta2, "the adamw optimizer");
  check_unused("epsilon", o.epsilon, "the adamw optimizer");
  check_below_one("momentum", o.momentum);
}

void resolve_optimizer_precision(SessionOptions& o) {
  if (o.optimizer_precision == PrecisionMode::device_default)
    o.optimizer_precision = PrecisionMode::f32;
  if (o.optimizer_precision == PrecisionMode::f16)
    fail(Status::unsupported_option, "expected optimizer_precision f32 or bf16, seen f16, whose ",
         "range squares of gradients leave");
  const bool stateless = o.optimizer == OptimizerKind::sgd && o.momentum == 0;
  if (stateless && o.optimizer_precision != PrecisionMode::f32)
    fail(Status::unsupported_option, "expected optimizer_precision only where there is a state to ",
         "hold, seen bf16 with sgd without momentum");
}

void resolve_schedule(SessionOptions& o) {
  check_at_least("warmup_steps", o.warmup_steps, int64_t{0});
  check_at_least("total_steps", o.total_steps, int64_t{0});
  check_at_least("min_learning_rate", o.min_learning_rate, 0.0);
  if (o.min_learning_rate > o.learning_rate)
    fail(Status::invalid_argument, "expected min_learning_rate up to learning_rate ",
         o.learning_rate, ", seen ", o.min_learning_rate);
  if (o.schedule != ScheduleKind::wsd)
    check_unused("decay_steps", static_cast<double>(o.decay_steps), "the wsd schedule");
  if (o.schedule == ScheduleKind::constant) {
    check_unused("min_learning_rate", o.min_learning_rate, "a schedule that decays");
    return;
  }
  if (o.total_steps <= o.warmup_steps)
    fail(Status::invalid_argument, "expected total_steps above warmup_steps ", o.warmup_steps,
         " because the schedule decays, seen ", o.total_steps);
  if (o.schedule != ScheduleKind::wsd) return;
  const int64_t after_warmup = o.total_steps - o.warmup_steps;
  if (o.decay_steps == 0)
    o.decay_steps = std::min(std::max(o.total_steps / 5, int64_t{1}), after_warmup);
  if (o.decay_steps < 1 || o.decay_steps > after_warmup)
    fail(Status::invalid_argument,
         "expected decay_steps between 1 and total_steps - warmup_steps = ", after_warmup,
         ", seen ", o.decay_steps);
}

void resolve_loss_scale(SessionOptions& o) {
  if (o.precision != PrecisionMode::f16) {
    check_unused("initial_loss_scale", o.initial_loss_scale, "precision f16");
    check_unused("loss_scale_growth_steps", static_cast<double>(o.loss_scale_growth_steps),
                 "precision f16");
    return;
  }
  // Gradients are sums over tokens, so this is 65536 for their mean.
  const double positions = static_cast<double>(o.batch_size) * o.sequence_length;
  if (o.initial_loss_scale == 0)
    o.initial_loss_scale = std::exp2(std::floor(16 - std::log2(positions)));
  if (o.loss_scale_growth_steps == 0) o.loss_scale_growth_steps = 2000;
  check_at_least("initial_loss_scale", o.initial_loss_scale, 0.0);
  check_at_least("loss_scale_growth_steps", o.loss_scale_growth_steps, int64_t{1});
}

} // namespace

SessionOptions resolve(SessionOptions options, const model::Config& config,
                       PrecisionMode default_precision) {
  if (options.precision == PrecisionMode::device_default) options.precision = default_precision;
  resolve_batch(options, config);
  resolve_optimizer(options);
  resolve_optimizer_precision(options);
  resolve_schedule(options);
  resolve_loss_scale(options);
  return options;
}

void read_options(const JsonView& json, SessionOptions& options) {
  read_fields<SessionOptions, PrecisionMode, OptimizerKind, ScheduleKind>(json, option_fields(),
                                                                          options);
}

Json write_options(const SessionOptions& options) {
  return write_fields<SessionOptions, PrecisionMode, OptimizerKind, ScheduleKind>(option_fields(),
                                                                                  options);
}

} // namespace anet::train
