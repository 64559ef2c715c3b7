// Adapters on the emulated engine: the base is baked into the programs, only adapters move.
#include "../unit/train/lora_support.h"
#include "train_support.h"

#include "backend/ane/lower.h"
#include "backend/run_totals.h"
#include "base/status.h"
#include "model/transformer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string_view>

using namespace anet;
using namespace anet::test;

namespace {

// Queries share keys, as in Qwen3, at a fraction of its width.
model::Config deep_config(int32_t layers) {
  model::Config config = small_config();
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.head_dim = 16;
  config.layer_count = layers;
  config.qk_norm = true;
  return model::resolve(config);
}

std::shared_ptr<model::Model> model_of(const model::Config& config) {
  auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), model->config(), 1, model->weights());
  return model;
}

std::unique_ptr<train::Session> adapter_session(std::shared_ptr<backend::Device> device,
                                                std::shared_ptr<const model::Model> model,
                                                const model::LoraOptions& lora,
                                                const train::SessionOptions& options) {
  return std::make_unique<train::Session>(std::move(device), small_adapter(std::move(model), lora),
                                          options);
}

// Losses of both within one percent, step by step; returns what the engine's session did.
backend::RunTotals compare_with_cpu(AneFixture& f, std::shared_ptr<const model::Model> model,
                                    const model::LoraOptions& lora, int steps) {
  const auto cpu = adapter_session(cpu_device(), model, lora, half_options());
  const auto ane = adapter_session(f.open(), model, lora, half_options());
  const Comparison runs = compare_steps(*cpu, *ane, steps);
  for (const train::StepResult& step : runs.seen)
    CHECK(step.bytes_staged == runs.seen.front().bytes_staged);
  return runs.work;
}

} // namespace

TEST_CASE("adapters are trained on the engine as on the CPU") {
  AneFixture f;
  model::LoraOptions lora;
  lora.rank = 4;
  SUBCASE("seven projections") {}
  SUBCASE("DoRA") { lora.dora = true; }
  SUBCASE("dropout") { lora.dropout = 0.1; }
  SUBCASE("embedding and projections of the last layer") {
    lora.targets = {"embed_tokens", "q_proj", "down_proj"};
  }
  const auto work = compare_with_cpu(f, model_of(deep_config(2)), lora, 10);
  CHECK(engine_share(work) >= 0.95);
}

TEST_CASE("so they are on every chip, also over compressed weights") {
  for (const std::string profile : {"m1", "m3", "m4", "m5", "a17"}) {
    CAPTURE(profile);
    AneFixture f;
    f.emulator.set("profile", profile);
    const auto model = compressed_copy(*model_of(deep_config(2)));
    const auto work = compare_with_cpu(f, model, {}, 4);
    CHECK(engine_share(work) >= 0.95);
  }
}

TEST_CASE("a frozen head of more rows than a convolution reads is in several constants") {
  for (const std::string profile : {"m1", "m3", "m4", "m5", "a17"}) {
    CAPTURE(profile);
    AneFixture f;
    f.emulator.set("profile", profile);
    const auto device = f.open();
    const train::SessionOptions options = half_options();
    const auto model = model_of(wide_config(profile != "m5"));
    const train::StepWeights weights(*device, small_adapter(model));
    CHECK(weights.head_rows() == std::vector<int64_t>{10016, 9984});
    const auto ane = adapter_session(device, model, {}, options);
    const auto cpu = adapter_session(cpu_device(), model, {}, options);
    backend::RunTotals work;
    for (uint64_t step = 0; step < 3; ++step) {
      const OwnedBatch owned = wide_batch(step, options);
      const train::Batch batch = owned.view();
      const train::StepResult seen = ane->step({&batch, 1}), expected = cpu->step({&batch, 1});
      CHECK(seen.loss == doctest::Approx(expected.loss).epsilon(0.01));
      CHECK(seen.grad_norm == doctest::Approx(expected.grad_norm).epsilon(0.05));
      backend::add_totals(work, seen.work);
    }
    CHECK(engine_share(work) >= 0.95);
    CHECK(work.fallbacks == 0);
    const OwnedBatch owned = wide_batch(9, options);
    const train::Batch batch = owned.view();
    CHECK(ane->eval(batch).loss == doctest::Approx(cpu->eval(batch).loss).epsilon(0.01));
  }
}

TEST_CASE("those constants are the rows of the head, one after the other") {
  AneFixture f;
  for (const bool tied : {false, true}) {
    const auto model = model_of(wide_config(tied));
    const train::StepWeights weights(*f.open(), small_adapter(model));
    const auto constants = weights.constants(weights.head(), mil::DataType::fp32);
    CHECK(constants.count("head_weight") == 0);
    std::vector<double> rows;
    for (size_t part = 0; part < 2; ++part) {
      const auto values =
          std::get<mil::Literal>(constants.at(model::head_part_port(part))).numbers();
      rows.insert(rows.end(), values.begin(), values.end());
    }
    const auto head = model->values(model->parameters().head());
    CHECK(std::equal(rows.begin(), rows.end(), head.begin(), head.end()));
  }
}

TEST_CASE("a compressed matrix is written in the form that the engine takes") {
  using backend::ane::QuantizedForm;
  const auto device = cpu_device();
  const auto adapter = small_adapter(compressed_copy(*model_of(deep_config(1))));
  const train::StepWeights weights(*device, adapter);
  const auto functions =
      train::block_functions(weights.config(), mil::DataType::fp16, {.batch = 2, .sequence = 16},
                             {.adapter = weights.shape(0), .trained = weights.trained_ports(0)});
  const mil::Function forward =
      train::bound(functions.forward, weights.constants(0, mil::DataType::fp16));
  const auto count = [&](QuantizedForm form, std::string_view op) {
    backend::ane::Rules rules;
    rules.int8_form = form;
    const mil::Function lowered = backend::ane::lower(forward, rules, {}).function;
    return std::count_if(lowered.ops.begin(), lowered.ops.end(), [&](const mil::Operation& each) {
      return std::string_view(each.name()) == op;
    });
  };
  CHECK(count(QuantizedForm::affine, "constexpr_affine_dequantize") == 7);
  CHECK(count(QuantizedForm::blockwise, "constexpr_blockwise_shift_scale") == 7);
  CHECK(count(QuantizedForm::none, "constexpr_affine_dequantize") == 0);
}

TEST_CASE("twenty-eight layers fit the budget, and no weight is staged") {
  AneFixture f;
  const auto device = f.open();
  const int64_t probed = f.emulator.count("compiles");
  const auto model = model_of(deep_config(28));
  const auto session = adapter_session(device, model, {}, half_options());
  const int64_t compiled = f.emulator.count("compiles") - probed;
  MESSAGE("programs: " << compiled);
  CHECK(compiled <= 110);
  const auto results = train_steps(*session, 3);
  const backend::RunTotals& work = results.back().work;
  CHECK(engine_share(work) >= 0.95);
  MESSAGE("evaluations a layer: " << double(work.evaluations) / 28);
  CHECK(work.evaluations <= 5 * 28);
  CHECK(f.emulator.count("compiles") - probed == compiled);
  // Adapters in fp16, in rows of 64 bytes, for forward and backward.
  uint64_t adapters = 0;
  for (const model::Parameter& parameter : session->adapter()->parameters())
    adapters += static_cast<uint64_t>(parameter.elements) * 2;
  CHECK(results.back().bytes_staged >= adapters);
  CHECK(results.back().bytes_staged <= 2 * adapters);
}

TEST_CASE("layers share programs, and weights are inputs, where constants exceed the budget") {
  AneFixture f;
  f.options.ane.compile_budget = 40;
  const auto model = model_of(deep_config(28));
  const auto device = f.open();
  const auto session = adapter_session(device, model, {}, half_options());
  CHECK(session->kernel_count() < 10);
  const auto cpu = adapter_session(cpu_device(), model, {}, half_options());
  const auto seen = train_steps(*session, 2), expected = train_steps(*cpu, 2);
  CHECK(engine_share(seen.back().work) >= 0.95);
  CHECK(seen.back().loss == doctest::Approx(expected.back().loss).epsilon(0.01));
  // The frozen weights are staged once.
  CHECK(seen.front().bytes_staged > 4 * seen.back().bytes_staged);
}

TEST_CASE("some parameters are trained on the engine, the others are constants") {
  AneFixture f;
  train::SessionOptions options = half_options();
  options.trainable = {"layers.1.*"};
  const auto device = f.open();
  const auto ane = make_session(device, options, deep_config(2));
  CHECK(train::Session::plan_memory(*device, deep_config(2), options).total() ==
        ane->memory_plan().total());
  const auto cpu = make_session(cpu_device(), options, deep_config(2));
  const auto seen = train_steps(*ane, 6), expected = train_steps(*cpu, 6);
  for (size_t i = 0; i < seen.size(); ++i)
    CHECK(seen[i].loss == doctest::Approx(expected[i].loss).epsilon(0.01));
  CHECK(engine_share(seen.back().work) >= 0.95);
}

TEST_CASE("swapping adapters on the engine compiles nothing and leaks nothing") {
  AneFixture f;
  const auto device = f.open();
  const auto model = model_of(deep_config(2));
  const auto session = adapter_session(device, model, {}, half_options());
  const auto first = session->adapter();
  const auto second = small_adapter(model, {}, 9);
  train_steps(*session, 1);
  session->swap_adapter(second);
  train_steps(*session, 1);
  const int64_t compiles = f.emulator.count("compiles");
  const int64_t surfaces = f.emulator.count("live_surfaces");
  for (int i = 0; i < 20; ++i) {
    session->swap_adapter(i % 2 == 0 ? first : second);
    train_steps(*session, 1, i);
  }
  CHECK(f.emulator.count("compiles") == compiles);
  CHECK(f.emulator.count("live_surfaces") == surfaces);
}

TEST_CASE("an adapter's run goes on elsewhere from its checkpoint") {
  AneFixture f;
  const TemporaryFolder folder("anet-ane-lora");
  const auto model = model_of(deep_config(2));
  model::LoraOptions lora;
  lora.dropout = 0.1;
  const auto session = adapter_session(f.open(), model, lora, half_options());
  train_steps(*session, 3);
  session->save(folder.path(), 0, {});
  const double there = train_steps(*session, 3, 3).back().loss;
  const auto on_ane = train::resume_adapter(f.open(), model, folder.path(), nullptr);
  CHECK(train_steps(*on_ane, 3, 3).back().loss == there);
  const auto on_cpu = train::resume_adapter(cpu_device(), model, folder.path(), nullptr);
  CHECK(train_steps(*on_cpu, 3, 3).back().loss == doctest::Approx(there).epsilon(0.01));
}
