// Generation on the emulated engine against generation on the CPU in fp16.
#include "train_support.h"

#include "base/random.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "generate/generator.h"
#include "io/model_file/quantize_model.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

using namespace anet;
using namespace anet::test;

namespace {

// More than one pass of the prompt, and a head that the embedding does not share.
model::Config config(bool tied) {
  model::Config c;
  c.vocab_size = 50;
  c.hidden_size = 24;
  c.intermediate_size = 40;
  c.layer_count = 3;
  c.head_count = 4;
  c.kv_head_count = 2;
  c.context_length = 90;
  c.qk_norm = true;
  c.tie_embeddings = tied;
  return model::resolve(c);
}

std::shared_ptr<model::Model> make_model(bool tied) {
  auto model = std::make_shared<model::Model>(config(tied));
  model::initialize(model->parameters(), model->config(), 3, model->weights());
  for (const model::Parameter& parameter : model->parameters().all())
    if (parameter.decay)
      for (float& weight : model->values(parameter)) weight *= 4; // sharper choices
  return model;
}

std::vector<int32_t> prompt_of(size_t size) {
  std::vector<int32_t> ids(size);
  for (size_t i = 0; i < size; ++i) ids[i] = static_cast<int32_t>(i * 17 % 50);
  return ids;
}

generate::Generator open_generator(std::shared_ptr<backend::Device> device,
                                   const std::shared_ptr<model::Model>& model) {
  return {std::move(device), model, {.context_length = 0, .dtype = mil::DataType::fp16}};
}

} // namespace

TEST_CASE("logits on the engine are those of the CPU, however long the prompt") {
  for (const bool tied : {true, false}) {
    CAPTURE(tied);
    AneFixture f;
    const auto model = make_model(tied);
    generate::Generator ane = open_generator(f.open(), model);
    generate::Generator cpu = open_generator(backend::open_device("cpu", {.threads = 2}), model);
    for (const size_t length : {1u, 5u, 64u, 65u, 90u}) {
      CAPTURE(length);
      const auto expected = cpu.logits(prompt_of(length));
      const auto seen = ane.logits(prompt_of(length));
      float largest = 0;
      for (const float value : expected) largest = std::max(largest, std::fabs(value));
      for (size_t i = 0; i < expected.size(); ++i)
        CHECK(std::fabs(seen[i] - expected[i]) <= 0.02f * largest);
    }
    CHECK(f.emulator.count("evaluations") > 0);
  }
}

TEST_CASE("adapters change on the engine without a new program, over a model in 8 bits") {
  AneFixture f;
  const auto device = f.open();
  ThreadPool pool(2);
  const std::shared_ptr<model::Model> base =
      io::quantize_model(*make_model(true), {}, pool, {}).model;
  const auto make_adapter = [&](uint64_t seed) {
    auto adapter = std::make_shared<model::Adapter>(base, model::LoraOptions{.rank = 4}, seed);
    Random random(seed, 99);
    random.fill_uniform(adapter->weights(), -0.3f, 0.3f); // B too: something to see
    return adapter;
  };
  const std::vector<model::WeightedAdapter> sets[] = {
      {{make_adapter(1), 1.0}}, {{make_adapter(2), 0.5}}, {}};
  generate::Generator ane = open_generator(device, base);
  generate::Generator cpu = open_generator(backend::open_device("cpu", {.threads = 2}), base);
  const auto compare = [&](const std::vector<model::WeightedAdapter>& set) {
    ane.set_adapters(set);
    cpu.set_adapters(set);
    const auto expected = cpu.logits(prompt_of(9));
    const auto seen = ane.logits(prompt_of(9));
    float largest = 0;
    for (const float value : expected) largest = std::max(largest, std::fabs(value));
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(std::fabs(seen[i] - expected[i]) <= 0.02f * largest);
    return std::vector<float>(expected.begin(), expected.end());
  };
  const std::vector<float> first = compare(sets[0]);
  const int64_t compiled = f.emulator.count("compiles");
  CHECK(compiled > 0);
  CHECK(compare(sets[1]) != first);
  CHECK(compare(sets[2]) != first);
  CHECK(compare(sets[0]) == first);
  CHECK(f.emulator.count("compiles") == compiled);
  CHECK(f.emulator.count("evaluations") > 0);
}

TEST_CASE("the engine writes what the CPU writes, and sees new weights") {
  AneFixture f;
  const auto model = make_model(true);
  generate::Generator ane = open_generator(f.open(), model);
  generate::Generator cpu = open_generator(backend::open_device("cpu", {.threads = 2}), model);
  const auto write = [](generate::Generator& generator) {
    std::vector<int32_t> ids;
    const auto keep = [&](int32_t id) {
      ids.push_back(id);
      return true;
    };
    generator.generate(prompt_of(7), {.max_tokens = 30}, keep);
    return ids;
  };
  const auto first = write(ane);
  CHECK(first == write(cpu));
  for (float& weight : model->weights()) weight = -weight;
  model->touch();
  CHECK(write(ane) == write(cpu));
  CHECK(write(ane) != first);
}

TEST_CASE("a generator runs between the steps of a session on the same device") {
  AneFixture f;
  const auto device = f.open();
  const auto session = make_session(device, half_options());
  const auto alone = make_session(f.open(), half_options());
  generate::Generator generator = open_generator(device, session->model());
  for (int step = 0; step < 4; ++step) {
    train_steps(*session, 1, step);
    const auto logits = generator.logits(patterned_tokens(5, 1));
    for (const float logit : logits) REQUIRE(std::isfinite(logit));
    train_steps(*alone, 1, step);
  }
  CHECK(copy(session->weights()) == copy(alone->weights()));
}

TEST_CASE("a generator in f32 is refused on the engine") {
  AneFixture f;
  const auto device = f.open();
  try {
    generate::Generator made(device, make_model(true), {.dtype = mil::DataType::fp32});
    FAIL("expected a refusal");
  } catch (const Error& error) {
    CHECK(error.status() == Status::unsupported_option);
    CHECK(error.message().find("f16") != std::string::npos);
  }
}
