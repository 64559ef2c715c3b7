#include "train/session.h"

#include "base/status.h"
#include "support.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

using namespace anet;
using namespace anet::test;

namespace {

double train_for(train::Session& session, int steps) {
  double loss = 0;
  for (int step = 0; step < steps; ++step) {
    const OwnedBatch batch(100 + static_cast<uint64_t>(step));
    const train::Batch view = batch.view();
    loss = session.step({&view, 1}).loss;
  }
  return loss;
}

} // namespace

TEST_CASE("training learns the pattern") {
  const auto session = small_session(small_options());
  const OwnedBatch unseen(9);
  const double before = session->eval(unseen.view()).loss;
  CHECK(before == doctest::Approx(std::log(64.0)).epsilon(0.05)); // knows nothing yet
  train_for(*session, 150);
  CHECK(session->eval(unseen.view()).loss < 0.5 * before);
}

TEST_CASE("the same seed and threads give the same bits; f16 learns too") {
  const auto one = small_session(small_options());
  const auto two = small_session(small_options());
  train_for(*one, 5);
  train_for(*two, 5);
  CHECK(copy(one->weights()) == copy(two->weights()));

  train::SessionOptions half = small_options();
  half.precision = train::PrecisionMode::f16;
  const auto narrow = small_session(half);
  const double loss = train_for(*narrow, 5);
  CHECK(loss == doctest::Approx(train_for(*small_session(small_options()), 5)).epsilon(0.02));
  train_for(*narrow, 150);
  CHECK(narrow->eval(OwnedBatch(9).view()).loss < 0.5 * std::log(64.0));
}

// Trained models have such channels, at the first position above all (Sun et al. 2024).
TEST_CASE("f16 keeps what a residual stream of some thousands says") {
  model::Config config = small_config();
  config.tie_embeddings = false;
  const auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), config, 1, model->weights());
  const auto device = backend::open_device("cpu", {.threads = 2});
  const std::span<float> embedding = model->values(model->parameters().embedding());
  for (size_t token = 0; token < 64; token += 3)
    embedding[token * static_cast<size_t>(config.hidden_size) + 5] = token % 2 == 0 ? 6000 : -3000;
  const OwnedBatch batch(1);
  train::SessionOptions options = small_options();
  const double expected = train::Session(device, model, options).eval(batch.view()).loss;
  options.precision = train::PrecisionMode::f16;
  train::Session narrow(device, model, options);
  CHECK(narrow.eval(batch.view()).loss == doctest::Approx(expected).epsilon(5e-4));
}

TEST_CASE("f16 skips a step whose gradients overflow and lowers the scale") {
  train::SessionOptions options = small_options();
  options.precision = train::PrecisionMode::f16;
  options.initial_loss_scale = 1e7;
  const auto session = small_session(options);
  const std::vector<float> before = copy(session->weights());
  const OwnedBatch batch(1);
  const train::Batch view = batch.view();
  const train::StepResult first = session->step({&view, 1});
  CHECK(first.skipped);
  CHECK(first.step == 0);
  CHECK(copy(session->weights()) == before);
  train::StepResult result = first;
  for (int i = 0; i < 30 && result.skipped; ++i) result = session->step({&view, 1});
  CHECK_FALSE(result.skipped);
  CHECK(result.step == 1);
  CHECK(result.loss_scale < 1e7);
  CHECK(copy(session->weights()) != before);
}

TEST_CASE("accumulation weighs by tokens: uneven micro-batches equal one big batch") {
  train::SessionOptions options = small_options();
  options.clip_norm = 0;
  OwnedBatch first(1);
  OwnedBatch second(2);
  std::fill(second.targets.begin() + 3, second.targets.end(), io::ignored_target);
  const auto split = small_session(options);
  const train::Batch parts[] = {first.view(), second.view()};
  const train::StepResult in_parts = split->step(parts);

  options.batch_size = 4;
  const auto whole = small_session(options);
  OwnedBatch both = first;
  both.sequences = 4;
  both.tokens.insert(both.tokens.end(), second.tokens.begin(), second.tokens.end());
  both.targets.insert(both.targets.end(), second.targets.begin(), second.targets.end());
  const train::Batch view = both.view();
  const train::StepResult at_once = whole->step({&view, 1});

  CHECK(in_parts.tokens == 35);
  CHECK(at_once.tokens == 35);
  CHECK(in_parts.loss == doctest::Approx(at_once.loss).epsilon(1e-6));
  CHECK(in_parts.grad_norm == doctest::Approx(at_once.grad_norm).epsilon(1e-5));
}

TEST_CASE("clipping bounds the update by the global norm") {
  // SGD at rate 1 moves the weights by exactly the clipped gradient.
  train::SessionOptions options = small_options();
  options.optimizer = train::OptimizerKind::sgd;
  options.weight_decay = 0;
  options.learning_rate = 1;
  options.clip_norm = 0.01;
  const auto session = small_session(options);
  const std::vector<float> before = copy(session->weights());
  const OwnedBatch batch(1);
  const train::Batch view = batch.view();
  CHECK(session->step({&view, 1}).grad_norm > 0.01);
  double moved = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double change = double(session->weights()[i]) - before[i];
    moved += change * change;
  }
  CHECK(std::sqrt(moved) == doctest::Approx(0.01).epsilon(1e-3));
}

TEST_CASE("a failed step leaves everything as it was") {
  const auto session = small_session(small_options());
  const auto untouched = small_session(small_options());
  train_for(*session, 2);
  train_for(*untouched, 2);
  const std::vector<float> before = copy(session->weights());
  const OwnedBatch good(1);
  OwnedBatch bad(2);
  bad.tokens[7] = 64;
  const train::Batch both[] = {good.view(), bad.view()};
  CHECK(status_of([&] { session->step(both); }) == Status::out_of_range);
  CHECK(copy(session->weights()) == before);
  CHECK(session->steps_done() == 2);
  // Nothing of the good half is left in the gradients or the moments.
  train_for(*session, 2);
  train_for(*untouched, 2);
  CHECK(copy(session->weights()) == copy(untouched->weights()));
}

TEST_CASE("wrong batches and calls out of order are refused") {
  const auto session = small_session(small_options());
  const OwnedBatch good(1);
  CHECK(status_of([&] { session->eval(OwnedBatch(1, 1, 16).view()); }) == Status::shape_mismatch);
  CHECK(status_of([&] { session->eval(OwnedBatch(1, 2, 15).view()); }) == Status::shape_mismatch);
  OwnedBatch bad = good;
  bad.targets[3] = -2;
  CHECK(status_of([&] { session->eval(bad.view()); }) == Status::out_of_range);
  bad = good;
  std::fill(bad.targets.begin(), bad.targets.end(), io::ignored_target);
  const train::Batch nothing = bad.view();
  CHECK(status_of([&] { session->eval(nothing); }) == Status::invalid_data);
  CHECK(status_of([&] { session->step({&nothing, 1}); }) == Status::invalid_data);
  CHECK(status_of([&] { session->step({}); }) == Status::invalid_data);
  CHECK(status_of([&] { session->optimizer_step(); }) == Status::invalid_state);
  session->forward_backward(good.view());
  const train::Batch view = good.view();
  CHECK(status_of([&] { session->step({&view, 1}); }) == Status::invalid_state);
  CHECK(status_of([&] { session->save("/nonexistent", 0, {}); }) == Status::invalid_state);
  session->zero_gradients();
  session->step({&view, 1});
  CHECK(status_of([&] {
          train::Session second(session->device(), session->model(), small_options());
        }) == Status::busy);
}

TEST_CASE("a loss that is not finite is an error in f32") {
  const auto session = small_session(small_options());
  session->weights()[0] = std::numeric_limits<float>::quiet_NaN();
  session->weights_changed();
  OwnedBatch batch(1);
  std::fill(batch.tokens.begin(), batch.tokens.end(), 0); // reads the poisoned row
  const train::Batch view = batch.view();
  CHECK(status_of([&] { session->step({&view, 1}); }) == Status::numeric);
}

TEST_CASE("cancelling from another thread stops the step and changes nothing") {
  train::SessionOptions options = small_options();
  const auto session = small_session(options);
  const std::vector<float> before = copy(session->weights());
  const OwnedBatch batch(1);
  std::vector<train::Batch> endless(100000, batch.view());
  std::atomic<bool> done{false};
  std::thread canceller([&] {
    while (!done.load()) {
      session->cancel();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  CHECK(status_of([&] { session->step(endless); }) == Status::cancelled);
  done = true;
  canceller.join();
  CHECK(copy(session->weights()) == before);
  const train::Batch view = batch.view();
  CHECK(session->step({&view, 1}).step == 1);
}

TEST_CASE("the plan is what is refused, and max_memory says why") {
  const auto device = backend::open_device("cpu", {.threads = 1});
  train::SessionOptions options = small_options();
  const train::MemoryPlan plan = train::Session::plan_memory(*device, small_config(), options);
  const uint64_t flat = static_cast<uint64_t>(small_model()->parameters().flat_size());
  CHECK(plan.weights == 4 * flat);
  CHECK(plan.gradients == 4 * flat);
  CHECK(plan.optimizer == 8 * flat);
  CHECK(plan.staged == 0);
  options.max_memory = plan.total();
  CHECK(status_of([&] { train::Session session(device, small_model(), options); }) == Status::ok);
  options.max_memory = plan.total() - 1;
  try {
    train::Session session(device, small_model(), options);
    FAIL("expected a refusal");
  } catch (const Error& error) {
    CHECK(error.status() == Status::memory_limit);
    CHECK(error.message().find(std::to_string(plan.total())) != std::string::npos);
    CHECK(error.message().find(std::to_string(plan.activations)) != std::string::npos);
  }
  options.activation_checkpointing = true;
  const train::MemoryPlan smaller = train::Session::plan_memory(*device, small_config(), options);
  CHECK(smaller.activations < plan.activations);
  options.precision = train::PrecisionMode::f16;
  CHECK(train::Session::plan_memory(*device, small_config(), options).staged == 2 * flat);
}

TEST_CASE("evaluate counts every window once, also in a last partial batch") {
  const auto session = small_session(small_options());
  const auto tokens = patterned_tokens(16 * 5 + 1, 4);
  const io::WindowDataset dataset(std::make_shared<io::TokenArray>(tokens, 64), {0, 16 * 5 + 1}, 16,
                                  {.shuffle = false});
  const train::EvalResult all = session->evaluate(dataset, 0);
  CHECK(all.tokens == 80);
  double sum = 0;
  for (int64_t window = 0; window < 5; ++window) {
    OwnedBatch batch(0);
    for (size_t i = 0; i < 16; ++i) {
      batch.tokens[i] = tokens[static_cast<size_t>(window) * 16 + i];
      batch.targets[i] = tokens[static_cast<size_t>(window) * 16 + i + 1];
    }
    std::fill(batch.targets.begin() + 16, batch.targets.end(), io::ignored_target);
    sum += session->eval(batch.view()).loss;
  }
  CHECK(all.loss == doctest::Approx(sum / 5).epsilon(1e-6));
  CHECK(session->evaluate(dataset, 3).tokens == 48);
}

TEST_CASE("fit reports, evaluates, saves and can be stopped") {
  TemporaryFolder folder("anet-fit");
  const auto session = small_session(small_options());
  const auto source = std::make_shared<io::TokenArray>(patterned_tokens(1000, 2), 64);
  const io::WindowDataset train(source, {0, 800}, 16, {});
  const io::WindowDataset validation(source, {800, 1000}, 16, {});
  std::vector<int> kinds;
  train::FitOptions options;
  options.steps = 6;
  options.eval_every = 2;
  options.eval_windows = 4;
  options.save_every = 3;
  options.checkpoint_root = folder.path("run");
  options.callback = [&](const train::FitEvent& event) {
    kinds.push_back(static_cast<int>(event.kind));
    if (event.kind == train::FitEvent::Kind::save) CHECK(std::filesystem::exists(event.checkpoint));
    return 0;
  };
  session->fit(train, &validation, options);
  CHECK(kinds == std::vector<int>{1, 1, 2, 1, 3, 1, 2, 1, 1, 2, 3});
  CHECK(session->cursor() == 12);

  options.callback = [](const train::FitEvent&) { return 1; };
  CHECK(session->fit(train, &validation, options).step.step == 7);
  options.callback = [](const train::FitEvent&) { return -5; };
  CHECK(status_of([&] { session->fit(train, &validation, options); }) == Status::callback);
  CHECK(session->steps_done() == 8); // the step before the failure stands

  options.callback = nullptr;
  options.steps = 0;
  CHECK(status_of([&] { session->fit(train, &validation, options); }) == Status::invalid_argument);
  options.steps = 1;
  CHECK(status_of([&] { session->fit(train, nullptr, options); }) == Status::invalid_argument);
  options.checkpoint_root.clear();
  CHECK(status_of([&] { session->fit(train, &validation, options); }) == Status::invalid_argument);
}
