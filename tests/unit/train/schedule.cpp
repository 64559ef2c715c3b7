#include "train/schedule.h"

#include "base/status.h"
#include "train/loss_scale.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

using namespace anet;
using train::ScheduleKind;
using train::SessionOptions;

namespace {

model::Config config() {
  model::Config c;
  c.vocab_size = 10;
  c.hidden_size = 4;
  c.intermediate_size = 4;
  c.layer_count = 1;
  c.head_count = 1;
  c.context_length = 16;
  return model::resolve(c);
}

SessionOptions schedule(ScheduleKind kind) {
  SessionOptions options;
  options.learning_rate = 1.0;
  options.schedule = kind;
  options.warmup_steps = 4;
  if (kind != ScheduleKind::constant) {
    options.total_steps = 24;
    options.min_learning_rate = 0.1;
  }
  if (kind == ScheduleKind::wsd) options.decay_steps = 10;
  return train::resolve(options, config());
}

} // namespace

TEST_CASE("warm-up is linear and reaches the rate with its last step") {
  const SessionOptions options = schedule(ScheduleKind::constant);
  const double expected[] = {0.25, 0.5, 0.75, 1, 1, 1};
  for (int64_t step = 0; step < 6; ++step)
    CHECK(train::scheduled_learning_rate(options, step) == doctest::Approx(expected[step]));
}

TEST_CASE("schedules go through the points of their formulas") {
  const auto rate = [](ScheduleKind kind, int64_t step) {
    return train::scheduled_learning_rate(schedule(kind), step);
  };
  CHECK(rate(ScheduleKind::linear, 4) == doctest::Approx(1));
  CHECK(rate(ScheduleKind::linear, 14) == doctest::Approx(0.55)); // half of the 20 steps
  CHECK(rate(ScheduleKind::linear, 24) == doctest::Approx(0.1));
  CHECK(rate(ScheduleKind::linear, 99) == doctest::Approx(0.1));
  CHECK(rate(ScheduleKind::cosine, 4) == doctest::Approx(1));
  CHECK(rate(ScheduleKind::cosine, 9) == doctest::Approx(0.1 + 0.45 * (1 + std::sqrt(0.5))));
  CHECK(rate(ScheduleKind::cosine, 14) == doctest::Approx(0.55));
  CHECK(rate(ScheduleKind::cosine, 24) == doctest::Approx(0.1));
  CHECK(rate(ScheduleKind::wsd, 14) == doctest::Approx(1));
  CHECK(rate(ScheduleKind::wsd, 19) == doctest::Approx(0.55));
  CHECK(rate(ScheduleKind::wsd, 24) == doctest::Approx(0.1));
}

TEST_CASE("loss scale halves on overflow, doubles after good steps, within bounds") {
  train::LossScale scale{1024, 0, 3};
  scale.succeeded();
  scale.succeeded();
  CHECK(scale.scale == 1024);
  scale.succeeded();
  CHECK(scale.scale == 2048);
  scale.succeeded();
  scale.overflowed();
  CHECK(scale.scale == 1024);
  CHECK(scale.good_steps == 0);
  for (int i = 0; i < 100; ++i) scale.overflowed();
  CHECK(scale.scale == train::LossScale::min_scale);
  CHECK_FALSE(scale.can_shrink());
  for (int i = 0; i < 1000; ++i) scale.succeeded();
  CHECK(scale.scale == train::LossScale::max_scale);
}

TEST_CASE("options that are wrong or would do nothing are refused by name") {
  struct Case {
    const char* field;
    Status status;
    void (*change)(SessionOptions&);
  };
  using O = SessionOptions;
  const std::vector<Case> cases = {
      {"batch_size", Status::invalid_argument, [](O& o) { o.batch_size = -1; }},
      {"sequence_length", Status::invalid_argument, [](O& o) { o.sequence_length = 17; }},
      {"accumulation_steps", Status::invalid_argument, [](O& o) { o.accumulation_steps = -1; }},
      {"loss_chunk", Status::invalid_argument, [](O& o) { o.loss_chunk = 17; }},
      {"learning_rate", Status::invalid_argument, [](O& o) { o.learning_rate = NAN; }},
      {"weight_decay", Status::invalid_argument, [](O& o) { o.weight_decay = -1; }},
      {"clip_norm", Status::invalid_argument, [](O& o) { o.clip_norm = -1; }},
      {"beta1", Status::invalid_argument, [](O& o) { o.beta1 = 1; }},
      {"beta2", Status::invalid_argument, [](O& o) { o.beta2 = -0.5; }},
      {"momentum", Status::unsupported_option, [](O& o) { o.momentum = 0.9; }},
      {"total_steps", Status::invalid_argument, [](O& o) { o.schedule = ScheduleKind::cosine; }},
      {"decay_steps", Status::unsupported_option, [](O& o) { o.decay_steps = 3; }},
      {"min_learning_rate", Status::unsupported_option, [](O& o) { o.min_learning_rate = 1e-5; }},
      {"min_learning_rate", Status::invalid_argument, [](O& o) { o.min_learning_rate = 1; }},
      {"initial_loss_scale", Status::unsupported_option, [](O& o) { o.initial_loss_scale = 8; }},
      {"optimizer_precision", Status::unsupported_option,
       [](O& o) { o.optimizer_precision = train::PrecisionMode::f16; }},
      {"optimizer_precision", Status::unsupported_option,
       [](O& o) {
         o.optimizer = train::OptimizerKind::sgd;
         o.optimizer_precision = train::PrecisionMode::bf16;
       }},
      {"beta1", Status::unsupported_option,
       [](O& o) {
         o.optimizer = train::OptimizerKind::sgd;
         o.beta1 = 0.9;
       }},
  };
  for (const Case& bad : cases) {
    CAPTURE(bad.field);
    SessionOptions options;
    bad.change(options);
    try {
      train::resolve(options, config());
      FAIL("expected an error");
    } catch (const Error& error) {
      CHECK(error.status() == bad.status);
      CHECK(error.message().find(bad.field) != std::string::npos);
    }
  }
}

TEST_CASE("options survive JSON") {
  SessionOptions options = schedule(ScheduleKind::wsd);
  options.precision = train::PrecisionMode::f16;
  options.optimizer_precision = train::PrecisionMode::bf16;
  options.seed = 0xfedcba9876543210u;
  options = train::resolve(options, config());
  SessionOptions read;
  const Json json = train::write_options(options);
  train::read_options(JsonView(json), read);
  CHECK(read == options);
  const Json wrong = Json::parse(R"({"schedule": "cosin"})");
  CHECK_THROWS_WITH_AS(train::read_options(JsonView(wrong), read), doctest::Contains("cosine"),
                       Error);
}
