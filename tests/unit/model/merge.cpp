// Merged weights against the formulas, element by element.
#include "model/merge.h"

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"
#include "model_cases.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <functional>

using namespace anet;
using model::Adapter;
using model::LoraOptions;

namespace {

std::shared_ptr<Adapter> random_adapter(const std::shared_ptr<const model::Model>& base,
                                        const LoraOptions& options, uint64_t seed) {
  auto adapter = std::make_shared<Adapter>(base, options, seed);
  for (const model::LoraModule& module : adapter->modules())
    Random(seed, static_cast<uint64_t>(module.lora_b))
        .fill_normal(adapter->values(adapter->parameters()[static_cast<size_t>(module.lora_b)]),
                     0.0f, 0.1f);
  return adapter;
}

std::vector<float> values_of(const model::Model& model, std::string_view name) {
  const model::Parameter* parameter = model.parameters().find(name);
  REQUIRE(parameter != nullptr);
  std::vector<float> values(static_cast<size_t>(parameter->elements));
  model.read(*parameter, values);
  return values;
}

// Element (i, j) of B A, of the embedding of (B A)^T.
double product(const Adapter& adapter, const model::LoraModule& module, int64_t i, int64_t j) {
  const auto at = [&](int32_t index, int64_t row, int64_t column) {
    const model::Parameter& p = adapter.parameters()[static_cast<size_t>(index)];
    return double{adapter.values(p)[static_cast<size_t>(row * p.shape[1] + column)]};
  };
  if (module.port == "embed_tokens") std::swap(i, j);
  double sum = 0;
  for (int64_t k = 0; k < module.target.rank; ++k)
    sum += at(module.lora_b, i, k) * at(module.lora_a, k, j);
  return sum;
}

std::vector<double> expected_matrix(const model::Model& base,
                                    std::span<const model::WeightedAdapter> adapters,
                                    const model::Parameter& parameter) {
  const std::vector<float> weights = values_of(base, parameter.name);
  std::vector<double> result(weights.begin(), weights.end());
  const int64_t rows = parameter.shape[0], columns = parameter.shape[1];
  for (const auto& [adapter, weight] : adapters) {
    const model::LoraModule* module = adapter->find(module_name(parameter));
    if (module == nullptr) continue;
    for (int64_t i = 0; i < rows; ++i) {
      double squares = 0;
      double* row = result.data() + i * columns;
      for (int64_t j = 0; j < columns; ++j) {
        row[j] += weight * module->scale * product(*adapter, *module, i, j);
        squares += row[j] * row[j];
      }
      if (module->magnitude < 0) continue;
      const model::Parameter& m = adapter->parameters()[static_cast<size_t>(module->magnitude)];
      const double magnitude = adapter->values(m)[static_cast<size_t>(i)];
      for (int64_t j = 0; j < columns; ++j) row[j] *= magnitude / std::sqrt(squares);
    }
  }
  return result;
}

void check_merged(const model::Model& merged, const model::Model& base,
                  std::span<const model::WeightedAdapter> adapters) {
  for (const model::Parameter& parameter : base.parameters().all()) {
    const std::vector<float> seen = values_of(merged, parameter.name);
    if (parameter.shape.size() < 2) {
      CHECK(seen == values_of(base, parameter.name));
      continue;
    }
    const std::vector<double> expected = expected_matrix(base, adapters, parameter);
    for (size_t i = 0; i < seen.size(); ++i)
      REQUIRE(std::fabs(seen[i] - expected[i]) <= 1e-7 * (1 + std::fabs(expected[i])));
  }
}

LoraOptions targeting(std::vector<std::string> targets) {
  LoraOptions options;
  options.targets = std::move(targets);
  return options;
}

Status status_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

// The projections as int8 with a scale of 1/1024 a row: codes count.
std::shared_ptr<model::Model> compressed_model(int32_t layers, bool tied) {
  auto model = std::make_shared<model::Model>(test::small_config(layers, tied),
                                              [](const model::Parameter&) { return true; });
  for (const model::Parameter& parameter : model->parameters().all()) {
    if (!parameter.is_compressed()) {
      for (float& value : model->values(parameter)) value = 1;
      continue;
    }
    std::vector<std::byte> codes(static_cast<size_t>(parameter.elements));
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i * 37 % 251);
    std::vector<std::byte> scales(static_cast<size_t>(parameter.shape[0]) * 2);
    const uint16_t half = float_to_half(1.0f / 1024);
    for (size_t i = 0; i < scales.size(); i += 2) std::memcpy(&scales[i], &half, 2);
    model->set_compressed(parameter,
                          {mil::Compression::int8_channel, parameter.shape[0], parameter.shape[1],
                           0, mil::Bytes(std::move(codes)), mil::Bytes(std::move(scales))});
  }
  return model;
}

} // namespace

TEST_CASE("a merged model has the sum of the weights") {
  const auto base = test::random_model(2, false);
  LoraOptions options = targeting({"*_proj", "embed_tokens", "lm_head"});
  options.overrides = {{"v_proj", 3, 1}};
  for (const bool rslora : {false, true}) {
    options.rslora = rslora;
    const std::vector<model::WeightedAdapter> one = {{random_adapter(base, options, 1)}};
    check_merged(*model::merged_model(*base, one), *base, one);
    const std::vector<model::WeightedAdapter> sum = {
        {one[0].adapter, 0.25}, {random_adapter(base, targeting({"q_proj", "mlp.*"}), 2), -1.5}};
    check_merged(*model::merged_model(*base, sum), *base, sum);
  }
  CHECK(values_of(*model::merged_model(*base, {}), "lm_head.weight") ==
        values_of(*base, "lm_head.weight"));
}

TEST_CASE("a merged DoRA adapter gives rows its magnitudes") {
  const auto base = test::random_model(2, false);
  LoraOptions options;
  options.dora = true;
  const auto adapter = random_adapter(base, options, 4);
  for (const model::LoraModule& module : adapter->modules())
    for (float& value :
         adapter->values(adapter->parameters()[static_cast<size_t>(module.magnitude)]))
      value *= 1.25f;
  const std::vector<model::WeightedAdapter> one = {{adapter}};
  check_merged(*model::merged_model(*base, one), *base, one);
  const std::vector<model::WeightedAdapter> weighted = {{adapter, 0.5}};
  CHECK(status_of([&] { model::merged_model(*base, weighted); }) == Status::unsupported);
  const std::vector<model::WeightedAdapter> two = {{adapter}, {random_adapter(base, {}, 1)}};
  CHECK(status_of([&] { model::merged_model(*base, two); }) == Status::unsupported);
}

TEST_CASE("a compressed base is merged in fp32") {
  const auto base = compressed_model(1, true);
  for (const bool dora : {false, true}) {
    LoraOptions options;
    options.dora = dora;
    const std::vector<model::WeightedAdapter> one = {{random_adapter(base, options, 1)}};
    const auto merged = model::merged_model(*base, one);
    CHECK_FALSE(merged->is_compressed());
    CHECK(merged->config().tie_embeddings);
    check_merged(*merged, *base, one);
  }
}

TEST_CASE("tied embeddings are untied when the embedding is adapted") {
  const auto base = test::random_model(1, true);
  const std::vector<model::WeightedAdapter> one = {
      {random_adapter(base, targeting({"embed_tokens", "q_proj"}), 1)}};
  const auto merged = model::merged_model(*base, one);
  CHECK_FALSE(merged->config().tie_embeddings);
  check_merged(*merged, *base, one);
  CHECK(values_of(*merged, "lm_head.weight") == values_of(*base, "model.embed_tokens.weight"));
  CHECK(status_of([&] { model::Merge(base, one); }) == Status::unsupported);
}

TEST_CASE("a merge in place is taken back bit for bit") {
  const auto base = test::random_model(2, false);
  const std::vector<float> before(base->weights().begin(), base->weights().end());
  const std::vector<model::WeightedAdapter> sum = {
      {random_adapter(base, {}, 1), 0.7}, {random_adapter(base, targeting({"lm_head"}), 2), 1e6}};
  const auto expected = model::merged_model(*base, sum);
  const uint64_t revision = base->revision();
  model::Merge merge(base, sum);
  CHECK(merge.is_merged());
  CHECK(base->revision() > revision);
  CHECK(std::equal(before.begin(), before.end(), expected->weights().begin()) == false);
  CHECK(std::equal(base->weights().begin(), base->weights().end(), expected->weights().begin()));
  merge.unmerge();
  CHECK_FALSE(merge.is_merged());
  CHECK(std::memcmp(before.data(), base->weights().data(), before.size() * sizeof(float)) == 0);
  CHECK(status_of([&] { merge.unmerge(); }) == Status::invalid_state);
}

TEST_CASE("a merge that is refused leaves the model as it was") {
  const auto base = test::random_model(1, false);
  const std::vector<float> before(base->weights().begin(), base->weights().end());
  const auto other = test::random_model(2, false);
  const std::vector<model::WeightedAdapter> foreign = {{random_adapter(other, {}, 1)}};
  CHECK(status_of([&] { model::Merge(base, foreign); }) == Status::invalid_argument);
  CHECK(status_of([&] { model::merged_model(*base, foreign); }) == Status::invalid_argument);
  const std::vector<model::WeightedAdapter> good = {{random_adapter(base, {}, 1)}};
  const std::vector<model::WeightedAdapter> infinite = {{good[0].adapter, INFINITY}};
  CHECK(status_of([&] { model::Merge(base, infinite); }) == Status::invalid_argument);
  base->begin_training();
  CHECK(status_of([&] { model::Merge(base, good); }) == Status::busy);
  base->end_training();
  CHECK(std::equal(before.begin(), before.end(), base->weights().begin()));
  const auto compressed = compressed_model(1, false);
  const std::vector<model::WeightedAdapter> on_compressed = {{random_adapter(compressed, {}, 1)}};
  CHECK(status_of([&] { model::Merge(compressed, on_compressed); }) == Status::unsupported);
}
