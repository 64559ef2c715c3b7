// What a session is asked to do. Field names and meanings are those of anet_session_options in
// include/ane_train.h.
#pragma once

#include "base/json.h"
#include "model/config.h"

#include <cstdint>
#include <string>
#include <vector>

namespace anet::train {

enum class PrecisionMode : int32_t { device_default = 0, f32 = 1, f16 = 2, bf16 = 3 };
enum class OptimizerKind : int32_t { adamw = 0, sgd = 1 };
enum class ScheduleKind : int32_t { constant = 0, linear = 1, cosine = 2, wsd = 3 };

inline constexpr int32_t max_length_buckets = 6;

struct SessionOptions {
  PrecisionMode precision = PrecisionMode::device_default;
  int32_t batch_size = 0;
  int32_t sequence_length = 0;
  int32_t accumulation_steps = 0;
  bool activation_checkpointing = false;
  // Attention is confined to documents, which begin where a batch's positions are 0.
  bool documents = false;
  // Rows may be divided into up to 2^length_buckets parts, each a sequence of its own.
  int32_t length_buckets = 0;
  int32_t loss_chunk = 0;
  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 0;
  double beta1 = 0;
  double beta2 = 0;
  double epsilon = 0;
  double momentum = 0;
  double weight_decay = 0;
  double clip_norm = 0;
  ScheduleKind schedule = ScheduleKind::constant;
  int64_t warmup_steps = 0;
  int64_t total_steps = 0;
  int64_t decay_steps = 0;
  double min_learning_rate = 0;
  double initial_loss_scale = 0;
  int64_t loss_scale_growth_steps = 0;
  uint64_t seed = 0;
  uint64_t max_memory = 0;
  // Of the state: f32 or bf16.
  PrecisionMode optimizer_precision = PrecisionMode::device_default;
  // Patterns of the parameters that are trained (TrainedTensors); empty: all of the model's. Not
  // with an adapter, which is trained alone.
  std::vector<std::string> trainable;

  bool operator==(const SessionOptions&) const = default;
};

// Fills in the defaults and checks every field, and that fields belong together: an option that
// would do nothing is an error. Throws invalid_argument or unsupported_option naming the field.
SessionOptions resolve(SessionOptions options, const model::Config& config,
                       PrecisionMode default_precision = PrecisionMode::f32);

void read_options(const JsonView& json, SessionOptions& options);
Json write_options(const SessionOptions& options);

} // namespace anet::train
