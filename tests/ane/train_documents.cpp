// Documents in a row and rows in parts, on the emulated engine.
#include "train_support.h"

#include "backend/run_totals.h"
#include "generate/generator.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace anet;
using namespace anet::test;

namespace {

// Rows of documents of 3 to 9 tokens that follow from the seed, in parts of the row.
io::Batch document_rows(const train::SessionOptions& options, int64_t parts, uint64_t seed) {
  io::Batch data;
  data.resize(options.batch_size, options.sequence_length);
  data.parts = parts;
  const int64_t part = options.sequence_length / parts;
  const auto tokens = patterned_tokens(data.inputs.size() + 1, seed);
  Random random(seed);
  int32_t position = 0;
  uint64_t left = 0;
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    if (left == 0 || static_cast<int64_t>(i) % part == 0) {
      left = options.documents ? 3 + random.below(7) : static_cast<uint64_t>(part);
      position = 0;
    }
    data.inputs[i] = tokens[i];
    data.targets[i] = --left == 0 ? io::ignored_target : tokens[i + 1];
    data.positions[i] = position++;
  }
  return data;
}

backend::RunTotals compare(AneFixture& f, const train::SessionOptions& options,
                           const model::Config& config, int steps) {
  const auto cpu = make_session(backend::open_device("cpu", {.threads = 2}), options, config);
  const auto ane = make_session(f.open(), options, config);
  backend::RunTotals work;
  for (int step = 0; step < steps; ++step) {
    CAPTURE(step);
    const int64_t parts = int64_t{1} << (step % (options.length_buckets + 1));
    const io::Batch data = document_rows(options, parts, 100 + static_cast<uint64_t>(step));
    const train::Batch batch = train::batch_of(data);
    const train::StepResult expected = cpu->step({&batch, 1});
    const train::StepResult seen = ane->step({&batch, 1});
    CHECK(seen.loss == doctest::Approx(expected.loss).epsilon(0.01));
    CHECK(seen.grad_norm == doctest::Approx(expected.grad_norm).epsilon(0.05));
    CHECK(ane->eval(batch).loss == doctest::Approx(cpu->eval(batch).loss).epsilon(0.01));
    // A forward and a backward evaluation a layer; the rest are the head's.
    CHECK(seen.work.evaluations <= static_cast<uint64_t>(2 * config.layer_count + 2));
    backend::add_totals(work, seen.work);
  }
  CHECK(work.fallbacks == 0);
  CHECK(work.retries == 0);
  return work;
}

} // namespace

TEST_CASE("packed documents train on the engine as on the CPU") {
  for (const std::string profile : {"m1", "m4", "a17"}) {
    for (const int32_t kv_heads : {1, 2, 4}) {
      CAPTURE(profile);
      CAPTURE(kv_heads);
      AneFixture f;
      f.emulator.set("profile", profile);
      train::SessionOptions options = half_options();
      options.documents = true;
      model::Config config = small_config();
      config.kv_head_count = kv_heads;
      config.qk_norm = kv_heads == 1;
      config.qkv_bias = kv_heads == 4;
      const backend::RunTotals work = compare(f, options, config, 4);
      CHECK(work.host_flops == 0); // every product is on the engine
      CHECK(work.engine_flops > 0);
    }
  }
}

TEST_CASE("rows in parts train on the engine as on the CPU") {
  for (const bool documents : {false, true}) {
    CAPTURE(documents);
    AneFixture f;
    train::SessionOptions options = half_options();
    options.documents = documents;
    options.length_buckets = 2;
    const backend::RunTotals work = compare(f, options, small_config(), 6);
    CHECK(work.host_flops == 0);
    CHECK(work.engine_flops > 0);
  }
}

TEST_CASE("prompts are decoded together on the engine") {
  AneFixture f;
  const auto model = small_model();
  generate::Generator generator(f.open(), model,
                                {.context_length = 0, .dtype = {}, .batch_size = 3});
  const std::vector<std::vector<int32_t>> prompts = {{1, 2, 3}, {60}, {9, 8, 7, 6, 5}, {30, 31}};
  const std::vector<std::span<const int32_t>> spans(prompts.begin(), prompts.end());
  generate::BatchOptions options;
  options.each.max_tokens = 6;
  std::vector<std::vector<int32_t>> seen(prompts.size());
  generator.generate_batch(spans, options, [&](size_t index, int32_t id) {
    seen[index].push_back(id);
    return true;
  });
  for (size_t i = 0; i < prompts.size(); ++i) {
    CAPTURE(i);
    std::vector<int32_t> alone;
    generator.generate(prompts[i], options.each, [&](int32_t id) {
      alone.push_back(id);
      return true;
    });
    CHECK(seen[i] == alone);
    CHECK(alone.size() == 6);
  }
}
