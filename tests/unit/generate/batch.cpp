// Prompts decoded together against the same prompts one by one.
#include "generate/generator.h"

#include "base/random.h"
#include "base/status.h"
#include "support.h"

#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

using namespace anet;
using generate::FinishReason;

namespace {

using Ids = std::vector<int32_t>;

std::shared_ptr<model::Model> make_model(int32_t kv_heads) {
  model::Config config;
  config.vocab_size = 50;
  config.hidden_size = 24;
  config.intermediate_size = 32;
  config.layer_count = 3;
  config.head_count = 4;
  config.kv_head_count = kv_heads;
  config.context_length = 90;
  config.qk_norm = true;
  config.qkv_bias = true;
  auto model = std::make_shared<model::Model>(model::resolve(config));
  model::initialize(model->parameters(), model->config(), 3, model->weights());
  for (const model::Parameter& parameter : model->parameters().all())
    if (parameter.decay)
      for (float& weight : model->values(parameter)) weight *= 4; // sharper choices
  return model;
}

// Shorter and longer than the 64 tokens that one pass of a prompt takes.
std::vector<Ids> make_prompts() {
  std::vector<Ids> prompts;
  for (const size_t length : {3, 1, 70, 12, 64, 5, 33}) {
    Random random(length);
    Ids& ids = prompts.emplace_back(length);
    for (int32_t& id : ids) id = static_cast<int32_t>(random.below(50));
  }
  return prompts;
}

struct Outcome {
  std::vector<Ids> ids;
  std::vector<generate::GenerationResult> results;
};

Outcome one_by_one(generate::Generator& generator, const std::vector<Ids>& prompts,
                   const generate::BatchOptions& options) {
  Outcome outcome;
  for (size_t i = 0; i < prompts.size(); ++i) {
    generate::GenerationOptions each = options.each;
    if (!options.seeds.empty()) each.sampling.seed = options.seeds[i];
    Ids& ids = outcome.ids.emplace_back();
    outcome.results.push_back(generator.generate(prompts[i], each, [&](int32_t id) {
      ids.push_back(id);
      return true;
    }));
  }
  return outcome;
}

Outcome together(generate::Generator& generator, const std::vector<Ids>& prompts,
                 const generate::BatchOptions& options) {
  Outcome outcome;
  outcome.ids.resize(prompts.size());
  const std::vector<std::span<const int32_t>> spans(prompts.begin(), prompts.end());
  outcome.results = generator.generate_batch(spans, options, [&](size_t index, int32_t id) {
    outcome.ids[index].push_back(id);
    return true;
  });
  return outcome;
}

void check_same(const Outcome& seen, const Outcome& expected) {
  CHECK(seen.ids == expected.ids);
  REQUIRE(seen.results.size() == expected.results.size());
  for (size_t i = 0; i < expected.results.size(); ++i) {
    CAPTURE(i);
    CHECK(seen.results[i].finish_reason == expected.results[i].finish_reason);
    CHECK(seen.results[i].prompt_tokens == expected.results[i].prompt_tokens);
    CHECK(seen.results[i].generated_tokens == expected.results[i].generated_tokens);
  }
}

} // namespace

TEST_CASE("a batch generates what its prompts generate one by one") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  const std::vector<Ids> prompts = make_prompts();
  for (const int32_t kv_heads : {1, 2, 4}) {
    const auto model = make_model(kv_heads);
    generate::Generator single(device, model, {});
    // Fewer rows than prompts, as many, and more.
    for (const int32_t rows : {1, 2, 3, 7, 9}) {
      CAPTURE(kv_heads);
      CAPTURE(rows);
      generate::Generator generator(device, model,
                                    {.context_length = 0, .dtype = {}, .batch_size = rows});
      CHECK(generator.batch_size() == rows);
      generate::BatchOptions options;
      options.each.max_tokens = 12;
      check_same(together(generator, prompts, options), one_by_one(single, prompts, options));

      // The rows end at different times: by stop tokens, and when the context is full.
      options.each.max_tokens = 0;
      options.each.stop_ids = {4, 7, 11};
      options.each.sampling = {.temperature = 0.8, .top_p = 0.95, .repetition_penalty = 1.1};
      options.seeds = {10, 11, 12, 13, 14, 15, 16};
      const Outcome expected = one_by_one(single, prompts, options);
      check_same(together(generator, prompts, options), expected);
      // A generator of several rows also goes one by one.
      check_same(one_by_one(generator, prompts, options), expected);
    }
  }
}

TEST_CASE("in fp16 too") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  const std::vector<Ids> prompts = make_prompts();
  const auto model = make_model(2);
  generate::Generator generator(
      device, model, {.context_length = 0, .dtype = mil::DataType::fp16, .batch_size = 4});
  generate::BatchOptions options;
  options.each.max_tokens = 10;
  check_same(together(generator, prompts, options), one_by_one(generator, prompts, options));
}

TEST_CASE("a callback ends its own prompt alone") {
  const auto device = backend::open_device("cpu", {.threads = 1});
  const std::vector<Ids> prompts = make_prompts();
  const std::vector<std::span<const int32_t>> spans(prompts.begin(), prompts.end());
  generate::Generator generator(device, make_model(2),
                                {.context_length = 0, .dtype = {}, .batch_size = 3});
  generate::BatchOptions options;
  options.each.max_tokens = 6;
  std::vector<uint64_t> counts(prompts.size(), 0);
  const auto results = generator.generate_batch(
      spans, options, [&](size_t index, int32_t) { return ++counts[index] < index + 1; });
  for (size_t i = 0; i < prompts.size(); ++i) {
    CAPTURE(i);
    CHECK(results[i].generated_tokens == counts[i]);
    CHECK(counts[i] == std::min<uint64_t>(i + 1, 6));
    CHECK(results[i].finish_reason == (i < 6 ? FinishReason::callback : FinishReason::length));
  }
}

TEST_CASE("a batch that cannot be is refused before anything is generated") {
  const auto device = backend::open_device("cpu", {.threads = 1});
  generate::Generator generator(device, make_model(2),
                                {.context_length = 20, .dtype = {}, .batch_size = 2});
  const auto refusal = [&](const std::vector<Ids>& prompts, const generate::BatchOptions& options) {
    const std::vector<std::span<const int32_t>> spans(prompts.begin(), prompts.end());
    bool called = false;
    const Status status = status_of([&] {
      generator.generate_batch(spans, options, [&](size_t, int32_t) { return called = true; });
    });
    CHECK_FALSE(called);
    return status;
  };
  CHECK(refusal({{1}, {}}, {}) == Status::invalid_data);
  CHECK(refusal({{1}, Ids(21, 3)}, {}) == Status::invalid_data);
  CHECK(refusal({{1}, {50}}, {}) == Status::out_of_range);
  generate::BatchOptions options;
  options.seeds = {1};
  CHECK(refusal({{1}, {2}}, options) == Status::invalid_argument);
  options.each.max_tokens = -1;
  CHECK(refusal({{1}}, options) == Status::out_of_range);
  CHECK(refusal({}, {}) == Status::ok);
  for (const int32_t rows : {-1, 5000})
    CHECK(status_of([&] {
            generate::Generator bad(device, make_model(2),
                                    {.context_length = 20, .dtype = {}, .batch_size = rows});
          }) == Status::out_of_range);
}

TEST_CASE("cancelling ends the batch") {
  const auto device = backend::open_device("cpu", {.threads = 1});
  generate::Generator generator(device, make_model(2),
                                {.context_length = 0, .dtype = {}, .batch_size = 3});
  const std::vector<Ids> prompts = make_prompts();
  const std::vector<std::span<const int32_t>> spans(prompts.begin(), prompts.end());
  CHECK(status_of([&] {
          generator.generate_batch(spans, {}, [&](size_t, int32_t) {
            generator.cancel();
            return true;
          });
        }) == Status::cancelled);
}
