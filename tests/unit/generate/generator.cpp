#include "generate/generator.h"

#include "base/status.h"
#include "generate/bound_weights.h"
#include "mil/interpreter.h"
#include "model/transformer.h"
#include "support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

using namespace anet;

namespace {

model::Config config() { return small_config(false, true); }

std::shared_ptr<model::Model> make_model() { return sharp_model(config()); }

std::vector<int32_t> prompt_of(size_t size) {
  std::vector<int32_t> ids(size);
  for (size_t i = 0; i < size; ++i) ids[i] = static_cast<int32_t>(i * 17 % 50);
  return ids;
}

// Logits of every position at once, without a cache, by the reference interpreter.
std::vector<double> reference_logits(const model::Model& model, std::span<const int32_t> ids) {
  const model::Config& c = model.config();
  const auto n = static_cast<int64_t>(ids.size());
  mil::TensorMap inputs;
  const auto add = [&](const std::string& port, mil::Type type, auto&& values) {
    mil::Tensor tensor = mil::make_tensor(std::move(type));
    tensor.values.assign(values.begin(), values.end());
    inputs[port] = tensor;
  };
  const auto run = [&](const mil::Function& function, const char* output) {
    return mil::interpret(function, inputs, mil::Precision::f64).at(output);
  };
  const auto weight = [&](const mil::Function& function, const model::Parameter& p,
                          const std::string& port) {
    add(port, function.type(function.input(port)), model.values(p));
  };

  const mil::Function embedding = model::embedding_function(c, mil::DataType::fp32, n);
  add("tokens", {mil::DataType::int32, {n}}, ids);
  weight(embedding, model.parameters().embedding(), "embedding_weight");
  mil::Tensor hidden = run(embedding, "hidden");

  const mil::Function block = model::block_function(c, mil::DataType::fp32, 1, n);
  std::vector<int32_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<float> cosines(static_cast<size_t>(c.head_dim / 2 * n)), sines(cosines.size());
  model::rope_tables(c, positions, cosines, sines);
  std::vector<float> mask(static_cast<size_t>(n * n));
  model::causal_mask(n, mask);
  for (int32_t layer = 0; layer < c.layer_count; ++layer) {
    inputs.clear();
    inputs["hidden"] = hidden;
    add("rope_cos", {mil::DataType::fp32, {1, c.head_dim / 2, 1, n}}, cosines);
    add("rope_sin", {mil::DataType::fp32, {1, c.head_dim / 2, 1, n}}, sines);
    add("mask", {mil::DataType::fp32, {1, 1, n, n}}, mask);
    for (const model::Parameter& p : model.parameters().layer(layer)) weight(block, p, p.port);
    hidden = run(block, "hidden_out");
  }
  const mil::Function head = model::logits_function(c, mil::DataType::fp32, n);
  inputs.clear();
  inputs["hidden"] = hidden;
  weight(head, model.parameters().final_norm(), "final_norm_weight");
  weight(head, model.parameters().head(), "head_weight");
  const mil::Tensor logits = run(head, "logits");
  std::vector<double> last(static_cast<size_t>(c.vocab_size));
  for (size_t token = 0; token < last.size(); ++token)
    last[token] = logits.values[token * ids.size() + ids.size() - 1];
  return last;
}

} // namespace

TEST_CASE("prefill and decode agree with a pass over everything at once") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  const auto model = make_model();
  for (const auto dtype : {mil::DataType::fp32, mil::DataType::fp16}) {
    generate::Generator generator(device, model, {.context_length = 0, .dtype = dtype});
    // Within one prefill pass, exactly one, and several.
    for (const size_t size : {size_t{1}, size_t{5}, size_t{64}, size_t{70}}) {
      CAPTURE(size);
      const std::vector<int32_t> prompt = prompt_of(size);
      const std::vector<double> expected = reference_logits(*model, prompt);
      const std::span<const float> seen = generator.logits(prompt);
      double worst = 0, scale = 0;
      for (size_t i = 0; i < expected.size(); ++i) {
        worst = std::max(worst, std::abs(seen[i] - expected[i]));
        scale = std::max(scale, std::abs(expected[i]));
      }
      CHECK(worst <= (dtype == mil::DataType::fp32 ? 1e-4 : 3e-2) * scale);
    }
  }
}

TEST_CASE("greedy decoding takes the reference's choice at every step") {
  const auto model = make_model();
  generate::Generator generator(backend::open_device("cpu", {.threads = 2}), model, {});
  std::vector<int32_t> ids = prompt_of(6);
  std::vector<int32_t> generated;
  generator.generate(ids, {.max_tokens = 8}, [&](int32_t id) {
    generated.push_back(id);
    return true;
  });
  REQUIRE(generated.size() == 8);
  for (const int32_t id : generated) {
    const std::vector<double> logits = reference_logits(*model, ids);
    CHECK(id == std::max_element(logits.begin(), logits.end()) - logits.begin());
    ids.push_back(id);
  }
}

TEST_CASE("generation ends where it is told to") {
  const auto model = make_model();
  generate::Generator generator(backend::open_device("cpu", {.threads = 1}), model,
                                {.context_length = 20});
  const std::vector<int32_t> prompt = prompt_of(6);
  std::vector<int32_t> all;
  auto result = generator.generate(prompt, {}, [&](int32_t id) {
    all.push_back(id);
    return true;
  });
  CHECK(result.finish_reason == generate::FinishReason::context);
  CHECK(all.size() == 15); // 14 are cached, the last one is not
  CHECK(result.generated_tokens == 15);
  CHECK(result.prompt_tokens == 6);

  result = generator.generate(prompt, {.max_tokens = 3}, nullptr);
  CHECK(result.finish_reason == generate::FinishReason::length);
  CHECK(result.generated_tokens == 3);

  generate::GenerationOptions stopping;
  stopping.stop_ids = {all[2]};
  const auto first = std::find(all.begin(), all.end(), all[2]) - all.begin();
  result = generator.generate(prompt, stopping, nullptr);
  CHECK(result.finish_reason == generate::FinishReason::stop);
  CHECK(result.generated_tokens == static_cast<uint64_t>(first));

  result = generator.generate(prompt, {}, [](int32_t) { return false; });
  CHECK(result.finish_reason == generate::FinishReason::callback);
  CHECK(result.generated_tokens == 1);
}

TEST_CASE("copies of weights are made when the model has changed") {
  const auto model = make_model();
  const auto device = backend::open_device("cpu", {.threads = 1});
  generate::BoundWeights weights(*device, *model, {});
  weights.stage();
  CHECK(weights.renew());
  CHECK_FALSE(weights.renew());
  model->touch();
  CHECK(weights.renew());
  CHECK_FALSE(weights.renew());
}

TEST_CASE("changed weights are seen; bad prompts are refused") {
  const auto model = make_model();
  for (const auto dtype : {mil::DataType::fp32, mil::DataType::fp16}) {
    generate::Generator generator(backend::open_device("cpu", {.threads = 1}), model,
                                  {.context_length = 16, .dtype = dtype});
    const std::vector<int32_t> prompt = prompt_of(4);
    const std::vector<float> before(generator.logits(prompt).begin(),
                                    generator.logits(prompt).end());
    model->values(model->parameters().final_norm())[0] += 1;
    model->touch();
    const auto after = generator.logits(prompt);
    CHECK(std::vector<float>(after.begin(), after.end()) != before);

    CHECK(status_of([&] { generator.logits({}); }) == Status::invalid_data);
    CHECK(status_of([&] { generator.logits(prompt_of(17)); }) == Status::invalid_data);
    CHECK(status_of([&] { generator.logits(std::vector<int32_t>{50}); }) == Status::out_of_range);
    CHECK(status_of([&] { generator.logits(std::vector<int32_t>{-1}); }) == Status::out_of_range);
  }
  CHECK(status_of([&] {
          generate::Generator too_long(backend::open_device("cpu", {.threads = 1}), model,
                                       {.context_length = 91});
        }) == Status::out_of_range);
  model->values(model->parameters().final_norm())[1] = NAN;
  generate::Generator broken(backend::open_device("cpu", {.threads = 1}), model, {});
  CHECK(status_of([&] { broken.generate(prompt_of(3), {.max_tokens = 1}, nullptr); }) ==
        Status::numeric);
}
