// Sessions on the emulated engine, beside the same ones on the CPU.
#pragma once

#include "../unit/train/support.h"
#include "backend/run_totals.h"
#include "support.h"

#include <doctest/doctest.h>
#include <functional>
#include <memory>
#include <vector>

namespace anet::test {

// The device, with everything on the engine that it can take.
struct AneFixture {
  TemporaryDirectory temporary;
  Emulator emulator;
  backend::DeviceOptions options;

  AneFixture() {
    options.threads = 2;
    options.ane.framework_path = emulator_path();
    options.ane.cache_directory = probe_cache();
    options.ane.placement.fill(backend::PlacementPolicy::engine);
  }
  std::shared_ptr<backend::Device> open() const { return backend::open_device("ane", options); }
};

// Heads of queries share keys; nothing is a multiple of 32.
inline model::Config odd_config() {
  model::Config config = small_config();
  config.hidden_size = 40;
  config.intermediate_size = 72;
  config.head_count = 5;
  config.kv_head_count = 1;
  config.head_dim = 8;
  config.context_length = 32;
  config.tie_embeddings = false;
  config.qkv_bias = true;
  config.qk_norm = true;
  return model::resolve(config);
}

inline train::SessionOptions half_options() {
  train::SessionOptions options = small_options();
  options.precision = train::PrecisionMode::f16;
  return options;
}

// More rows than a convolution reads.
inline model::Config wide_config(bool tied) {
  model::Config config = small_config();
  config.vocab_size = 20000;
  config.tie_embeddings = tied;
  return model::resolve(config);
}

// Tokens of every part of that vocabulary.
inline OwnedBatch wide_batch(uint64_t seed, const train::SessionOptions& options) {
  OwnedBatch batch(seed, options.batch_size, options.sequence_length);
  for (std::vector<int32_t>* ids : {&batch.tokens, &batch.targets})
    for (int32_t& id : *ids) id *= 317;
  return batch;
}

inline std::unique_ptr<train::Session> make_session(std::shared_ptr<backend::Device> device,
                                                    const train::SessionOptions& options,
                                                    const model::Config& config = small_config()) {
  auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), model->config(), 1, model->weights());
  return std::make_unique<train::Session>(std::move(device), model, options);
}

// Steps on batches that follow from the number of the step.
inline std::vector<train::StepResult> train_steps(train::Session& session, int steps,
                                                  int first = 0) {
  std::vector<train::StepResult> results;
  const train::SessionOptions& options = session.options();
  for (int step = first; step < first + steps; ++step) {
    const OwnedBatch batch(100 + static_cast<uint64_t>(step), options.batch_size,
                           options.sequence_length);
    const train::Batch view = batch.view();
    results.push_back(session.step({&view, 1}));
  }
  return results;
}

inline std::shared_ptr<backend::Device> cpu_device() {
  return backend::open_device("cpu", {.threads = 2});
}

struct Comparison {
  std::vector<train::StepResult> expected; // of the CPU
  std::vector<train::StepResult> seen;     // of the engine
  backend::RunTotals work;                 // of the engine's kernels
};

// The same steps of both: losses within one percent, nothing done twice or by the host instead.
inline Comparison compare_steps(train::Session& cpu, train::Session& ane, int steps) {
  Comparison runs{train_steps(cpu, steps), train_steps(ane, steps), {}};
  for (size_t i = 0; i < runs.expected.size(); ++i) {
    CAPTURE(i);
    CHECK(runs.seen[i].loss == doctest::Approx(runs.expected[i].loss).epsilon(0.01));
    CHECK(runs.seen[i].skipped == runs.expected[i].skipped);
    backend::add_totals(runs.work, runs.seen[i].work);
  }
  CHECK(runs.work.fallbacks == 0);
  CHECK(runs.work.retries == 0);
  return runs;
}

// Share of the work of products that the engine did.
inline double engine_share(const backend::RunTotals& work) {
  const auto engine = static_cast<double>(work.engine_flops);
  return engine / (engine + static_cast<double>(work.host_flops));
}

} // namespace anet::test
