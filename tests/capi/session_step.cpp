// Steps: results, atomicity, and gradients in the caller's hands.
#include "support.h"

#include <cmath>
#include <limits>

using namespace test;

namespace {

struct Training {
  Device device = open_device();
  Model model = create_model();
  Session session;
  explicit Training(const anet_session_options& options = session_options())
      : session(create_session(device.get(), model.get(), options)) {}
};

Outcome step_outcome(anet_session* session, const std::vector<anet_batch>& batches) {
  return attempt(anet_session_step, session, batches.data(), batches.size(), nullptr);
}

void forward_backward(anet_session* session, const Tokens& tokens) {
  const anet_batch batch = tokens.batch();
  must(anet_session_forward_backward, session, &batch, nullptr);
}

bool all_zero(const std::vector<float>& values) {
  for (float value : values)
    if (value != 0) return false;
  return true;
}

// A session that failed must go on as one that never tried: weights are compared at once, the
// optimizer by the steps that follow.
void check_untouched(Training& failed, Training& control) {
  CHECK(same_bits(weights_of(failed.session.get()), weights_of(control.session.get())));
  CHECK(all_zero(gradients_of(failed.session.get())));
  for (uint64_t seed = 50; seed < 53; ++seed) {
    step(failed.session.get(), Tokens(seed));
    step(control.session.get(), Tokens(seed));
  }
  CHECK(same_bits(weights_of(failed.session.get()), weights_of(control.session.get())));
  int64_t steps = 0;
  int64_t control_steps = 0;
  must(anet_session_get_step, failed.session.get(), &steps);
  must(anet_session_get_step, control.session.get(), &control_steps);
  CHECK(steps == control_steps);
}

} // namespace

TEST_CASE("training lowers the loss and reports each step") {
  Training training;
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  auto result = initialised<anet_step_result>();
  must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  // Fresh weights predict nothing: log(258) nats.
  CHECK(result.loss == doctest::Approx(std::log(258.0)).epsilon(0.05));
  CHECK(result.step == 1);
  CHECK(result.tokens == 32);
  CHECK(result.skipped == 0);
  CHECK(result.grad_norm > 0);
  CHECK(result.learning_rate == 1e-2);
  CHECK(result.loss_scale == 1);
  CHECK(result.seconds > 0);
  CHECK(result.forward_seconds > 0);
  CHECK(result.backward_seconds > 0);
  const double first = result.loss;
  for (int i = 0; i < 30; ++i)
    must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  CHECK(result.step == 31);
  CHECK(result.loss < first / 2);
  CHECK(eval(training.session.get(), tokens) < first / 2);
}

TEST_CASE("evaluation changes nothing") {
  Training training;
  const std::vector<float> before = weights_of(training.session.get());
  const Tokens tokens(1);
  const double loss = eval(training.session.get(), tokens);
  CHECK(eval(training.session.get(), tokens) == loss);
  CHECK(same_bits(before, weights_of(training.session.get())));
  // The step's loss is that of the weights it began with.
  const anet_batch batch = tokens.batch();
  auto result = initialised<anet_step_result>();
  must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  CHECK(result.loss == doctest::Approx(loss).epsilon(1e-6));
}

TEST_CASE("ignored targets are not counted") {
  Training training;
  Tokens tokens(1);
  for (size_t i = 0; i < tokens.targets.size(); ++i)
    if (i % 4 != 0) tokens.targets[i] = -1;
  const anet_batch batch = tokens.batch();
  auto result = initialised<anet_step_result>();
  must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  CHECK(result.tokens == 8);

  for (int32_t& target : tokens.targets) target = -1;
  CHECK(step_outcome(training.session.get(), {tokens.batch()}).status == ANET_E_INVALID_DATA);
}

TEST_CASE("batches of the wrong shape are refused") {
  Training training;
  const Tokens tokens(1);
  anet_batch batch = tokens.batch();
  batch.sequence_count = batch_size + 1;
  CHECK(step_outcome(training.session.get(), {batch}).status == ANET_E_SHAPE_MISMATCH);
  batch = tokens.batch();
  batch.sequence_length = -16;
  CHECK(step_outcome(training.session.get(), {batch}).status == ANET_E_SHAPE_MISMATCH);
  batch = tokens.batch();
  batch.targets = nullptr;
  CHECK(step_outcome(training.session.get(), {batch}).status == ANET_E_INVALID_ARGUMENT);
  CHECK(step_outcome(training.session.get(), {}).status == ANET_E_INVALID_DATA);
}

TEST_CASE("a failing step leaves weights and optimizer alone") {
  Training failed;
  Training control;
  for (uint64_t seed = 1; seed < 4; ++seed) {
    step(failed.session.get(), Tokens(seed));
    step(control.session.get(), Tokens(seed));
  }
  const Tokens good(10);
  Tokens bad(11);
  bad.inputs[19] = 258;
  // The first micro-batch has been accumulated by then.
  Outcome outcome = step_outcome(failed.session.get(), {good.batch(), bad.batch()});
  CHECK(outcome.status == ANET_E_OUT_OF_RANGE);
  CHECK(outcome.says("258"));
  CHECK(outcome.says("19"));
  bad = Tokens(11);
  bad.targets[3] = -2;
  outcome = step_outcome(failed.session.get(), {good.batch(), bad.batch()});
  CHECK(outcome.status == ANET_E_OUT_OF_RANGE);
  CHECK(outcome.says("-2"));
  check_untouched(failed, control);
}

TEST_CASE("a loss that is not finite is an error and changes nothing") {
  Training training;
  step(training.session.get(), Tokens(1));
  size_t index = 0;
  must(anet_model_find_parameter, training.model.get(), "model.norm.weight", &index);
  std::vector<float> norm(32);
  must(anet_model_read_parameter, training.model.get(), index, norm.data(), norm.size());
  const std::vector<float> good = norm;
  norm[5] = std::numeric_limits<float>::quiet_NaN();
  must(anet_model_write_parameter, training.model.get(), index, norm.data(), norm.size());
  const std::vector<float> before = weights_of(training.session.get());
  const Tokens tokens(2);
  CHECK(step_outcome(training.session.get(), {tokens.batch()}).status == ANET_E_NUMERIC);
  CHECK(same_bits(before, weights_of(training.session.get())));
  // Mended from outside, it goes on.
  must(anet_model_write_parameter, training.model.get(), index, good.data(), good.size());
  step(training.session.get(), tokens);
}

TEST_CASE("separate calls equal one step") {
  Training whole;
  Training parts;
  const Tokens first(1);
  const Tokens second(2);
  CHECK(step_outcome(whole.session.get(), {first.batch(), second.batch()}).status == ANET_OK);
  forward_backward(parts.session.get(), first);
  forward_backward(parts.session.get(), second);
  uint64_t tokens = 0;
  must(anet_session_get_tokens, parts.session.get(), &tokens);
  CHECK(tokens == 64);
  must(anet_session_optimizer_step, parts.session.get(), nullptr);
  CHECK(same_bits(weights_of(whole.session.get()), weights_of(parts.session.get())));
}

TEST_CASE("calls out of order are refused") {
  Training training;
  CHECK(attempt(anet_session_optimizer_step, training.session.get(), nullptr).status ==
        ANET_E_INVALID_STATE);
  CHECK(attempt(anet_session_set_tokens, training.session.get(), uint64_t{5}).status ==
        ANET_E_INVALID_STATE);
  const Tokens tokens(1);
  forward_backward(training.session.get(), tokens);
  CHECK(step_outcome(training.session.get(), {tokens.batch()}).status == ANET_E_INVALID_STATE);
  const Folder folder;
  CHECK(attempt(anet_session_save, training.session.get(), folder.path().c_str(), nullptr).status ==
        ANET_E_INVALID_STATE);
  CHECK_FALSE(all_zero(gradients_of(training.session.get())));
  must(anet_session_zero_gradients, training.session.get());
  CHECK(all_zero(gradients_of(training.session.get())));
  step(training.session.get(), tokens);
}

TEST_CASE("a failing micro-batch discards what was accumulated") {
  Training training;
  forward_backward(training.session.get(), Tokens(1));
  Tokens bad(2);
  bad.inputs[0] = -1;
  const anet_batch batch = bad.batch();
  CHECK(attempt(anet_session_forward_backward, training.session.get(), &batch, nullptr).status ==
        ANET_E_OUT_OF_RANGE);
  CHECK(all_zero(gradients_of(training.session.get())));
  CHECK(attempt(anet_session_optimizer_step, training.session.get(), nullptr).status ==
        ANET_E_INVALID_STATE);
}

TEST_CASE("two half batches reduced by hand equal one whole batch") {
  // One session sees both sequences; two "ranks" see one each and add their gradients. SGD, because
  // AdamW would magnify the rounding of gradients near zero.
  anet_session_options options = session_options();
  options.optimizer = ANET_OPTIMIZER_SGD;
  options.momentum = 0.9;
  options.learning_rate = 0.5;
  Training whole(options);
  anet_session_options half_options = options;
  half_options.batch_size = 1;
  Training ranks[] = {Training(half_options), Training(half_options)};
  for (uint64_t seed = 1; seed < 4; ++seed) {
    const Tokens tokens(seed);
    step(whole.session.get(), tokens);
    float* gradients[2] = {};
    uint64_t counts[2] = {};
    size_t size = 0;
    for (size_t rank = 0; rank < 2; ++rank) {
      Tokens half(0, 1);
      const auto row = static_cast<ptrdiff_t>(sequence_length);
      const auto begin = static_cast<ptrdiff_t>(rank) * row;
      half.inputs.assign(tokens.inputs.begin() + begin, tokens.inputs.begin() + begin + row);
      half.targets.assign(tokens.targets.begin() + begin, tokens.targets.begin() + begin + row);
      forward_backward(ranks[rank].session.get(), half);
      must(anet_session_get_gradients, ranks[rank].session.get(), &gradients[rank], &size);
      must(anet_session_get_tokens, ranks[rank].session.get(), &counts[rank]);
    }
    for (size_t i = 0; i < size; ++i) {
      const float sum = gradients[0][i] + gradients[1][i];
      gradients[0][i] = sum;
      gradients[1][i] = sum;
    }
    for (Training& rank : ranks) {
      must(anet_session_set_tokens, rank.session.get(), counts[0] + counts[1]);
      must(anet_session_optimizer_step, rank.session.get(), nullptr);
    }
  }
  const std::vector<float> expected = weights_of(whole.session.get());
  CHECK(same_bits(weights_of(ranks[0].session.get()), weights_of(ranks[1].session.get())));
  const std::vector<float> reduced = weights_of(ranks[0].session.get());
  REQUIRE(expected.size() == reduced.size());
  double difference = 0;
  double moved = 0;
  const std::vector<float> initial = weights_of(Training().session.get());
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double{expected[i]} - reduced[i], 2);
    moved += std::pow(double{expected[i]} - initial[i], 2);
  }
  // Only the order of summation differs.
  CHECK(moved > 0);
  CHECK(std::sqrt(difference) < 1e-4 * std::sqrt(moved));
}

TEST_CASE("weights can be changed in place") {
  Training training;
  const Tokens tokens(1);
  const double before = eval(training.session.get(), tokens);
  float* values = nullptr;
  size_t count = 0;
  must(anet_session_get_weights, training.session.get(), &values, &count);
  auto norm = initialised<anet_parameter>();
  size_t index = 0;
  must(anet_model_find_parameter, training.model.get(), "model.norm.weight", &index);
  must(anet_model_get_parameter, training.model.get(), index, &norm);
  REQUIRE(norm.offset + norm.element_count <= count);
  for (uint64_t i = 0; i < norm.element_count; ++i) values[norm.offset + i] = 0;
  must(anet_session_weights_changed, training.session.get());
  // All logits are zero: every token is as likely as any other.
  CHECK(before != doctest::Approx(std::log(258.0)).epsilon(1e-7));
  CHECK(eval(training.session.get(), tokens) == doctest::Approx(std::log(258.0)).epsilon(1e-6));
}

// Five steps in F32 and in the precision of `options`; returns the result of the last.
anet_step_result follow_single_precision(const anet_session_options& options) {
  Training single(session_options());
  Training half(options);
  auto result = initialised<anet_step_result>();
  for (uint64_t seed = 1; seed < 6; ++seed) {
    const Tokens tokens(seed);
    const anet_batch batch = tokens.batch();
    step(single.session.get(), tokens);
    must(anet_session_step, half.session.get(), &batch, size_t{1}, &result);
  }
  CHECK(result.skipped == 0);
  CHECK(result.bytes_staged >= 2 * anet_model_weight_count(half.model.get()));
  const Tokens tokens(9);
  CHECK(eval(half.session.get(), tokens) ==
        doctest::Approx(eval(single.session.get(), tokens)).epsilon(0.02));
  CHECK_FALSE(same_bits(weights_of(half.session.get()), weights_of(single.session.get())));
  return result;
}

TEST_CASE("half precision follows single precision and stages its weights") {
  anet_session_options options = session_options();
  options.precision = ANET_PRECISION_F16;
  options.initial_loss_scale = 64;
  CHECK(follow_single_precision(options).loss_scale == 64);
}

TEST_CASE("bf16 follows single precision without a loss scale") {
  anet_session_options options = session_options();
  options.precision = ANET_PRECISION_BF16;
  CHECK(follow_single_precision(options).loss_scale == 1);
  options.initial_loss_scale = 64;
  anet_session* handle = nullptr;
  const Device device = open_device();
  const Model model = create_model();
  CHECK(attempt(anet_session_create, device.get(), model.get(), &options, &handle)
            .says("initial_loss_scale"));
}

TEST_CASE("the update leaves the bf16 weights that a renewal would make") {
  anet_session_options options = session_options();
  options.precision = ANET_PRECISION_BF16;
  Training mirrored(options), renewed(options);
  for (uint64_t seed = 1; seed < 5; ++seed) {
    step(mirrored.session.get(), Tokens(seed));
    step(renewed.session.get(), Tokens(seed));
    must(anet_session_weights_changed, renewed.session.get());
  }
  CHECK(same_bits(weights_of(mirrored.session.get()), weights_of(renewed.session.get())));
}

// The update skips rows of the embedding that no batch has seen.
TEST_CASE("weights written between gradient and update reach the bf16 programs") {
  anet_session_options options = session_options();
  options.precision = ANET_PRECISION_BF16;
  Tokens seen(1), others(2);
  std::fill(seen.inputs.begin(), seen.inputs.end(), 1);
  std::fill(others.inputs.begin(), others.inputs.end(), 0);
  double losses[2];
  for (const bool renewed : {false, true}) {
    Training training(options);
    anet_session* session = training.session.get();
    const anet_batch batch = seen.batch();
    step(session, seen);
    must(anet_session_forward_backward, session, &batch, nullptr);
    float* weights = nullptr;
    size_t count = 0;
    must(anet_session_get_weights, session, &weights, &count);
    for (size_t i = 0; i < 8; ++i) weights[i] += 1; // of the embedding's first row
    must(anet_session_weights_changed, session);
    must(anet_session_optimizer_step, session, nullptr);
    if (renewed) must(anet_session_weights_changed, session);
    losses[renewed ? 1 : 0] = eval(session, others);
  }
  CHECK(losses[0] == losses[1]);
}

TEST_CASE("a loss in bf16 that is not finite is an error") {
  anet_session_options options = session_options();
  options.precision = ANET_PRECISION_BF16;
  Training training(options);
  float* weights = nullptr;
  size_t count = 0;
  must(anet_session_get_weights, training.session.get(), &weights, &count);
  weights[0] = std::numeric_limits<float>::quiet_NaN();
  must(anet_session_weights_changed, training.session.get());
  Tokens tokens(1);
  std::fill(tokens.inputs.begin(), tokens.inputs.end(), 0); // the embedding's first row
  const anet_batch batch = tokens.batch();
  CHECK(attempt(anet_session_step, training.session.get(), &batch, size_t{1}, nullptr).status ==
        ANET_E_NUMERIC);
}

TEST_CASE("gradients that overflow half precision skip the update and halve the scale") {
  anet_session_options options = session_options();
  options.precision = ANET_PRECISION_F16;
  options.initial_loss_scale = 1e30;
  Training training(options);
  const std::vector<float> before = weights_of(training.session.get());
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  auto result = initialised<anet_step_result>();
  must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  CHECK(result.skipped == 1);
  CHECK(result.step == 0);
  CHECK(result.loss_scale == 1e30);
  CHECK(same_bits(before, weights_of(training.session.get())));
  must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  CHECK(result.loss_scale == 5e29);
}

TEST_CASE("the learning rate can be replaced") {
  Training training;
  must(anet_session_set_learning_rate, training.session.get(), 0.5);
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  auto result = initialised<anet_step_result>();
  must(anet_session_step, training.session.get(), &batch, size_t{1}, &result);
  CHECK(result.learning_rate == 0.5);
  for (double rate : {0.0, -1.0, std::numeric_limits<double>::infinity()})
    CHECK(attempt(anet_session_set_learning_rate, training.session.get(), rate).status ==
          ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("properties are strings by key") {
  Training training;
  const char* value = nullptr;
  CHECK(attempt(anet_session_get_property, training.session.get(), "epoch", &value).status ==
        ANET_E_NOT_FOUND);
  must(anet_session_set_property, training.session.get(), "epoch", "3");
  must(anet_session_get_property, training.session.get(), "epoch", &value);
  CHECK(value == std::string("3"));
  must(anet_session_set_property, training.session.get(), "epoch", "4");
  must(anet_session_get_property, training.session.get(), "epoch", &value);
  CHECK(value == std::string("4"));
  must(anet_session_set_property, training.session.get(), "epoch", nullptr);
  CHECK(attempt(anet_session_get_property, training.session.get(), "epoch", &value).status ==
        ANET_E_NOT_FOUND);
  CHECK(attempt(anet_session_set_property, training.session.get(), "", "x").status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_session_set_property, training.session.get(), "key", "\xff").status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_session_set_property, training.session.get(), nullptr, "x").status ==
        ANET_E_INVALID_ARGUMENT);
}
