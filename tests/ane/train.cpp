// Training on the emulated engine against training on the CPU in fp16.
#include "train_support.h"

#include "backend/run_totals.h"
#include "base/status.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <set>
#include <thread>

using namespace anet;
using namespace anet::test;
using backend::Part;
using backend::PlacementPolicy;

namespace {

// Losses of both within one percent, step by step; returns what the engine's session did.
backend::RunTotals compare_with_cpu(AneFixture& f, const train::SessionOptions& options,
                                    const model::Config& config, int steps) {
  const auto cpu = make_session(cpu_device(), options, config);
  const auto ane = make_session(f.open(), options, config);
  const Comparison runs = compare_steps(*cpu, *ane, steps);
  for (size_t i = 0; i < runs.expected.size(); ++i) {
    CAPTURE(i);
    if (!runs.expected[i].skipped)
      CHECK(runs.seen[i].grad_norm == doctest::Approx(runs.expected[i].grad_norm).epsilon(0.05));
  }
  return runs.work;
}

// Steps of a model with norms of heads that do not blow up what rounding leaves of small gradients:
// AdamW's first moves every weight as far, and one whose gradient is nearly 0 either way.
train::SessionOptions small_steps() {
  train::SessionOptions options = half_options();
  options.learning_rate = 1e-3;
  return options;
}

} // namespace

TEST_CASE("training on the engine follows training on the CPU") {
  AneFixture f;
  const backend::RunTotals work = compare_with_cpu(f, half_options(), small_config(), 40);
  CHECK(engine_share(work) >= 0.95);
  CHECK(work.engine_seconds > 0);
  CHECK(work.bytes_in > 0);
  CHECK(work.bytes_out > 0);
}

TEST_CASE("so do other shapes and options") {
  AneFixture f;
  train::SessionOptions options = half_options();
  SUBCASE("heads that share keys, biases, norms of heads, odd extents") {
    options = small_steps();
    options.batch_size = 3;
    options.sequence_length = 30;
    compare_with_cpu(f, options, odd_config(), 8);
  }
  SUBCASE("one sequence") {
    options.batch_size = 1;
    compare_with_cpu(f, options, small_config(), 8);
  }
  SUBCASE("activations computed again") {
    options.activation_checkpointing = true;
    compare_with_cpu(f, options, small_config(), 8);
  }
  SUBCASE("the head in chunks, the last one smaller") {
    options.loss_chunk = 12;
    compare_with_cpu(f, options, small_config(), 8);
  }
}

TEST_CASE("so it does on every chip") {
  for (const std::string profile : {"m1", "m3", "m4", "m5", "a17"}) {
    CAPTURE(profile);
    AneFixture f;
    f.emulator.set("profile", profile);
    train::SessionOptions options = small_steps();
    options.initial_loss_scale = 256; // with which no step overflows
    const backend::RunTotals work = compare_with_cpu(f, options, odd_config(), 5);
    CHECK(engine_share(work) >= 0.95);
  }
}

TEST_CASE("a vocabulary of more rows than a convolution reads is in several ports") {
  for (const std::string profile : {"m1", "m3", "m4", "m5", "a17"}) {
    CAPTURE(profile);
    AneFixture f;
    f.emulator.set("profile", profile);
    const train::SessionOptions options = half_options();
    const model::Config config = wide_config(profile != "m5");
    const auto ane = make_session(f.open(), options, config);
    const auto cpu = make_session(cpu_device(), options, config);
    backend::RunTotals work;
    for (uint64_t step = 0; step < 3; ++step) {
      const OwnedBatch owned = wide_batch(step, options);
      const train::Batch batch = owned.view();
      const train::StepResult seen = ane->step({&batch, 1}), expected = cpu->step({&batch, 1});
      CHECK(seen.loss == doctest::Approx(expected.loss).epsilon(0.01));
      CHECK(seen.grad_norm == doctest::Approx(expected.grad_norm).epsilon(0.05));
      CHECK(seen.skipped == expected.skipped);
      backend::add_totals(work, seen.work);
    }
    CHECK(engine_share(work) >= 0.95);
    CHECK(work.fallbacks == 0);
    const OwnedBatch owned = wide_batch(9, options);
    const train::Batch batch = owned.view();
    const train::EvalResult seen = ane->eval(batch), expected = cpu->eval(batch);
    CHECK(seen.loss == doctest::Approx(expected.loss).epsilon(0.01));
  }
}

TEST_CASE("its gradients in fp16 update as their sums in fp32 do") {
  for (const bool tied : {false, true}) {
    AneFixture f;
    const train::SessionOptions options = half_options();
    const auto device = f.open();
    const auto narrow = make_session(device, options, wide_config(tied));
    const auto summed = make_session(device, options, wide_config(tied));
    for (uint64_t step = 0; step < 2; ++step) {
      const OwnedBatch owned = wide_batch(step, options);
      const train::Batch batch = owned.view();
      const train::StepResult seen = narrow->step({&batch, 1});
      summed->forward_backward(batch);
      const train::StepResult expected = summed->optimizer_step();
      REQUIRE(seen.skipped == expected.skipped);
      if (!seen.skipped) CHECK(seen.grad_norm == doctest::Approx(expected.grad_norm).epsilon(1e-9));
    }
    const auto a = narrow->weights(), b = summed->weights();
    for (size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == doctest::Approx(b[i]).epsilon(1e-6));
  }
}

// M2 Max and M3 Ultra compile nothing that changes the length of rows (ane-facts.md 4.4).
TEST_CASE("so it does where rows keep their length") {
  for (const std::string profile : {"m1", "m3"}) {
    CAPTURE(profile);
    AneFixture f;
    f.options.ane.cache_directory = f.temporary.path() + "/cache"; // other answers than the chip's
    f.emulator.set("profile", profile);
    for (const char* refused :
         {"reject_width_reshape", "reject_width_concat", "reject_width_slice"})
      f.emulator.set(refused, "1");
    train::SessionOptions options = half_options();
    options.batch_size = 4;
    const backend::RunTotals work = compare_with_cpu(f, options, odd_config(), 4);
    CHECK(engine_share(work) >= 0.95);
  }
}

// Trained models have such channels, at the first position above all (Sun et al. 2024). The error
// of a norm that counts them as infinite is 0.02 here.
TEST_CASE("so it does with a residual stream of some thousands, however the engine adds squares") {
  for (const char* narrow_squares : {"0", "1"}) {
    CAPTURE(narrow_squares);
    AneFixture f;
    f.options.ane.cache_directory = f.temporary.path() + "/cache";
    f.emulator.set("narrow_squares", narrow_squares);
    model::Config config = odd_config();
    config.tie_embeddings = false;
    const auto model = std::make_shared<model::Model>(config);
    model::initialize(model->parameters(), config, 1, model->weights());
    const std::span<float> embedding = model->values(model->parameters().embedding());
    for (size_t at = 5; at < embedding.size(); at += 3 * static_cast<size_t>(config.hidden_size))
      embedding[at] = at % 2 == 0 ? 6000 : -3000;
    const OwnedBatch batch(1);
    train::SessionOptions options = half_options();
    const double seen = train::Session(f.open(), model, options).eval(batch.view()).loss;
    options.precision = train::PrecisionMode::f32;
    const double expected = train::Session(cpu_device(), model, options).eval(batch.view()).loss;
    CHECK(seen == doctest::Approx(expected).epsilon(5e-4));
  }
}

// RoPE is written in two ways.
TEST_CASE("so it does whether an op may broadcast both of its operands or not") {
  for (const char* refused : {"0", "1"}) {
    CAPTURE(refused);
    AneFixture f;
    f.options.ane.cache_directory = f.temporary.path() + "/cache";
    f.emulator.set("reject_broadcast_of_both", refused);
    for (const model::Config& config : {small_config(), odd_config()})
      CHECK(engine_share(compare_with_cpu(f, small_steps(), config, 5)) >= 0.95);
  }
}

TEST_CASE("parts of training run where they are placed") {
  const Part parts[] = {Part::forward, Part::loss, Part::input_gradient, Part::weight_gradient};
  for (const Part part : parts) {
    CAPTURE(static_cast<int>(part));
    AneFixture f;
    f.options.ane.placement.fill(PlacementPolicy::host);
    f.options.ane.placement[static_cast<size_t>(part)] = PlacementPolicy::engine;
    const backend::RunTotals alone = compare_with_cpu(f, half_options(), small_config(), 3);
    CHECK(alone.engine_flops > 0);
    f.options.ane.placement.fill(PlacementPolicy::engine);
    f.options.ane.placement[static_cast<size_t>(part)] = PlacementPolicy::host;
    const backend::RunTotals others = compare_with_cpu(f, half_options(), small_config(), 3);
    CHECK(others.host_flops > 0);
    CHECK(others.engine_flops > 0);
    // Each product is on one side, and what is on the engine in one run is on the host in the
    // other.
    CHECK(others.engine_flops == alone.host_flops);
    CHECK(others.host_flops == alone.engine_flops);
  }
  AneFixture f;
  f.options.ane.placement.fill(PlacementPolicy::host);
  const backend::RunTotals host = compare_with_cpu(f, half_options(), small_config(), 3);
  CHECK(host.evaluations == 0);
}

TEST_CASE("few programs and evaluations, whatever the number of layers") {
  const auto measure = [](int32_t layers) {
    AneFixture f;
    const auto device = f.open();
    const int64_t probed = f.emulator.count("compiles");
    model::Config config = small_config();
    config.layer_count = layers;
    const auto session = make_session(device, half_options(), config);
    const int64_t compiled = f.emulator.count("compiles") - probed;
    const auto results = train_steps(*session, 2);
    CHECK(engine_share(results.back().work) >= 0.95);
    // The head's share is the rest of the sum.
    CHECK(results.back().work.evaluations <= static_cast<uint64_t>(6 * layers));
    CHECK(f.emulator.count("compiles") - probed == compiled);
    return compiled;
  };
  const int64_t few = measure(4);
  CHECK(few <= 20);
  CHECK(few == measure(28));
}

TEST_CASE("micro-batches are summed, and steps make nothing new") {
  AneFixture f;
  const auto ane = make_session(f.open(), half_options());
  const auto cpu = make_session(cpu_device(), half_options());
  const OwnedBatch batches[] = {OwnedBatch(1), OwnedBatch(2), OwnedBatch(3)};
  const train::Batch views[] = {batches[0].view(), batches[1].view(), batches[2].view()};
  int64_t surfaces = 0;
  for (int step = 0; step < 5; ++step) {
    const train::StepResult seen = ane->step(views);
    const train::StepResult expected = cpu->step(views);
    CHECK(seen.loss == doctest::Approx(expected.loss).epsilon(0.01));
    CHECK(seen.grad_norm == doctest::Approx(expected.grad_norm).epsilon(0.03));
    if (step == 0) surfaces = f.emulator.count("live_surfaces");
    CHECK(f.emulator.count("live_surfaces") == surfaces);
  }
}

TEST_CASE("one micro-batch's gradients in fp16 update as their sums in fp32 do") {
  for (const auto& config : {small_config(), odd_config()}) {
    AneFixture f;
    train::SessionOptions options = half_options();
    options.clip_norm = 0.5;
    const auto device = f.open();
    const auto narrow = make_session(device, options, config);
    const auto summed = make_session(device, options, config);
    for (uint64_t step = 0; step < 4; ++step) {
      const OwnedBatch owned(100 + step, options.batch_size, options.sequence_length);
      const train::Batch batch = owned.view();
      const train::StepResult seen = narrow->step({&batch, 1});
      summed->forward_backward(batch);
      const train::StepResult expected = summed->optimizer_step();
      CHECK(seen.skipped == expected.skipped);
      if (!seen.skipped)
        CHECK(seen.grad_norm == doctest::Approx(expected.grad_norm).epsilon(1e-12));
    }
    CHECK(narrow->steps_done() >= 2);
    // Rows of a shared embedding are added up in another order, where they were looked up.
    const auto a = narrow->weights(), b = summed->weights();
    for (size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == doctest::Approx(b[i]).epsilon(1e-6));
    const auto left = narrow->gradients();
    CHECK(std::all_of(left.begin(), left.end(), [](float value) { return value == 0; }));
  }
}

TEST_CASE("the reports of kernels add up to those of steps") {
  AneFixture f;
  const auto session = make_session(f.open(), half_options());
  const int64_t before = f.emulator.count("evaluations");
  backend::RunTotals steps;
  for (const train::StepResult& result : train_steps(*session, 4))
    backend::add_totals(steps, result.work);
  backend::RunTotals kernels;
  std::set<std::string> engine;
  for (size_t i = 0; i < session->kernel_count(); ++i) {
    const train::KernelReport report = session->kernel_report(i);
    backend::add_totals(kernels, report.totals);
    if (report.placement.where != "cpu") engine.insert(report.label);
    CAPTURE(report.label);
    CHECK((report.placement.where == "ane") == report.placement.reason.empty());
  }
  CHECK(engine == std::set<std::string>{"block_forward", "block_backward", "block_backward_narrow",
                                        "head_training", "head_training_narrow",
                                        "head_evaluation"});
  CHECK(kernels.evaluations == steps.evaluations);
  CHECK(kernels.engine_flops == steps.engine_flops);
  CHECK(kernels.host_flops == steps.host_flops);
  CHECK(steps.evaluations == static_cast<uint64_t>(f.emulator.count("evaluations") - before));
}

TEST_CASE("the engine computes in fp16 alone") {
  AneFixture f;
  const auto device = f.open();
  train::SessionOptions options = small_options();
  CHECK(make_session(device, options)->options().precision == train::PrecisionMode::f16);
  options.precision = train::PrecisionMode::f32;
  for (const bool plan : {true, false}) {
    try {
      if (plan)
        train::Session::plan_memory(*device, small_config(), options);
      else
        make_session(device, options);
      FAIL("expected a refusal");
    } catch (const Error& error) {
      CHECK(error.status() == Status::unsupported_option);
      CHECK(error.message().find("f16") != std::string::npos);
      CHECK(error.message().find("cpu") != std::string::npos);
    }
  }
}

TEST_CASE("matrices are staged transposed too, where the engine takes them as kernels") {
  const auto staged = [](const char* ignored) {
    AneFixture f;
    f.options.ane.cache_directory = f.temporary.path() + "/cache"; // other answers than the chip's
    f.emulator.set("weight_param_ignored", ignored);
    compare_with_cpu(f, small_steps(), odd_config(), 5);
    return train::Session::plan_memory(*f.open(), odd_config(), half_options()).staged;
  };
  const model::ParameterTable table(odd_config());
  uint64_t matrices = 0;
  for (int32_t layer = 0; layer < odd_config().layer_count; ++layer)
    for (const model::Parameter& parameter : table.layer(layer))
      if (parameter.shape.size() == 2) matrices += static_cast<uint64_t>(parameter.elements) * 2;
  CHECK(staged("0") >= staged("1") + matrices);
}

TEST_CASE("the memory plan counts padded rows") {
  AneFixture f;
  const auto device = f.open();
  model::Config config = small_config();
  const auto staged = [&](backend::Device& on) {
    return train::Session::plan_memory(on, config, half_options()).staged;
  };
  const uint64_t dense = staged(*cpu_device());
  CHECK(staged(*device) > dense); // vectors take a row for each element
  config.hidden_size = 20;        // 40 bytes in rows of 64
  config.head_count = 2;
  config.kv_head_count = 2;
  config.head_dim = 10;
  CHECK(staged(*device) > staged(*cpu_device()) * 5 / 4);
}

TEST_CASE("an overflow on the engine skips the step and lowers the scale") {
  AneFixture f;
  train::SessionOptions options = half_options();
  options.initial_loss_scale = 1e7;
  const auto session = make_session(f.open(), options);
  const std::vector<float> before = copy(session->weights());
  const OwnedBatch batch(1);
  const train::Batch view = batch.view();
  train::StepResult result = session->step({&view, 1});
  CHECK(result.skipped);
  CHECK(result.step == 0);
  CHECK(copy(session->weights()) == before);
  for (int i = 0; i < 30 && result.skipped; ++i) result = session->step({&view, 1});
  CHECK_FALSE(result.skipped);
  CHECK(result.step == 1);
  CHECK(result.loss_scale < 1e7);
}

// Its channels are finite, and so is the residual stream behind it; its inverse is 0.
TEST_CASE("a norm that overflows skips the step, on both devices") {
  AneFixture f;
  const OwnedBatch batch(1);
  const train::Batch view = batch.view();
  for (const auto& device : {f.open(), cpu_device()}) {
    const model::Config config = odd_config();
    const auto model = std::make_shared<model::Model>(config);
    model::initialize(model->parameters(), config, 1, model->weights());
    train::Session session(device, model, half_options());
    const auto width = static_cast<size_t>(config.hidden_size);
    const std::span<float> row = model->values(model->parameters().embedding())
                                     .subspan(static_cast<size_t>(batch.tokens[0]) * width, width);
    for (const float value : {10000.0f, 30000.0f}) {
      std::fill(row.begin(), row.end(), value);
      model->touch();
      CHECK(session.step({&view, 1}).skipped == (value > 20000));
    }
  }
}

TEST_CASE("logits that overflow skip the step, on both devices") {
  AneFixture f;
  const model::Config config = wide_config(false);
  const OwnedBatch owned = wide_batch(1, half_options());
  const train::Batch batch = owned.view();
  for (const auto& device : {f.open(), cpu_device()}) {
    const auto model = std::make_shared<model::Model>(config);
    model::initialize(model->parameters(), config, 1, model->weights());
    train::Session session(device, model, half_options());
    const std::span<float> norm = model->values(model->parameters().final_norm());
    const std::span<float> head = model->values(model->parameters().head());
    const auto step_with = [&](float scale, size_t first, size_t count, float value) {
      std::fill(norm.begin(), norm.end(), scale);
      std::fill(head.begin(), head.end(), 0.0f);
      const auto width = static_cast<size_t>(config.hidden_size);
      const auto rows = head.subspan(first * width, count * width);
      for (size_t i = 0; i < rows.size(); ++i) rows[i] = i % width == 0 ? value : 0;
      model->touch();
      return session.step({&batch, 1});
    };
    CHECK_FALSE(step_with(1, 0, 20000, 1).skipped);
    // Above the range and below it, in the second part too; then below it for targets alone.
    for (const float sign : {1.0f, -1.0f}) {
      CHECK(step_with(3e4f, 0, 20000, sign * 50).skipped);
      CHECK(step_with(3e4f, 15000, 5000, sign * 50).skipped);
    }
    const auto target = static_cast<size_t>(owned.targets.front());
    for (const float sign : {1.0f, -1.0f}) CHECK(step_with(3e4f, target, 1, sign * 50).skipped);
  }
}

TEST_CASE("a run goes on elsewhere from its checkpoint") {
  AneFixture f;
  const TemporaryFolder folder("anet-ane-resume");
  const auto session = make_session(f.open(), half_options());
  train_steps(*session, 5);
  session->save(folder.path(), 0, {});
  const double there = train_steps(*session, 5, 5).back().loss;
  const auto on_cpu = train::resume(cpu_device(), folder.path(), nullptr);
  const auto on_ane = train::resume(f.open(), folder.path(), nullptr);
  CHECK(on_ane->steps_done() == 5);
  CHECK(train_steps(*on_ane, 5, 5).back().loss == there);
  CHECK(copy(on_ane->weights()) == copy(session->weights()));
  CHECK(train_steps(*on_cpu, 5, 5).back().loss == doctest::Approx(there).epsilon(0.01));
}

TEST_CASE("evaluation between steps changes nothing, and weights that change are seen") {
  AneFixture f;
  const auto one = make_session(f.open(), half_options());
  const auto two = make_session(f.open(), half_options());
  const OwnedBatch unseen(9);
  for (int step = 0; step < 3; ++step) {
    train_steps(*one, 1, step);
    one->eval(unseen.view());
    train_steps(*two, 1, step);
  }
  CHECK(copy(one->weights()) == copy(two->weights()));
  const double before = one->eval(unseen.view()).loss;
  std::fill(one->weights().begin(), one->weights().end(), 0.0f);
  one->weights_changed();
  CHECK(one->eval(unseen.view()).loss == doctest::Approx(std::log(64.0)).epsilon(1e-3));
  CHECK(before != doctest::Approx(std::log(64.0)).epsilon(1e-3));
}

TEST_CASE("cancelling on the engine leaves weights and optimizer as they were") {
  AneFixture f;
  f.emulator.set("latency_us", "200");
  const auto session = make_session(f.open(), half_options());
  const auto untouched = make_session(f.open(), half_options());
  const OwnedBatch batch(1);
  const std::vector<train::Batch> endless(100000, batch.view());
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
  train_steps(*session, 2);
  train_steps(*untouched, 2);
  CHECK(copy(session->weights()) == copy(untouched->weights()));
}

TEST_CASE("two sessions train on one device, in turn and at once") {
  AneFixture f;
  const auto device = f.open();
  const auto one = make_session(device, half_options());
  const auto two = make_session(device, half_options());
  const auto alone = make_session(f.open(), half_options());
  std::thread other([&] { train_steps(*two, 10); });
  train_steps(*one, 10);
  other.join();
  train_steps(*alone, 10);
  CHECK(copy(one->weights()) == copy(alone->weights()));
  CHECK(copy(two->weights()) == copy(alone->weights()));
}

TEST_CASE("nothing is left when a session is gone") {
  AneFixture f;
  auto device = f.open();
  const int64_t models = f.emulator.count("live_models");
  const int64_t surfaces = f.emulator.count("live_surfaces");
  const int64_t requests = f.emulator.count("live_requests");
  for (int round = 0; round < 3; ++round) {
    const auto session = make_session(device, half_options());
    train_steps(*session, 2);
  }
  CHECK(f.emulator.count("live_surfaces") == surfaces);
  CHECK(f.emulator.count("live_requests") == requests);
  device.reset();
  CHECK(f.emulator.count("live_models") <= models);
  CHECK(f.emulator.count("live_surfaces") == 0);
}
