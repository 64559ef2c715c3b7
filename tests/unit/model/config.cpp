#include "model/config.h"

#include "base/status.h"
#include "model/parameters.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

using namespace anet;

namespace {

model::Config small() {
  model::Config config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.layer_count = 2;
  config.head_count = 4;
  return config;
}

Status status_of(const model::Config& config) {
  try {
    model::resolve(config);
    return Status::ok;
  } catch (const Error& error) {
    return error.status();
  }
}

} // namespace

TEST_CASE("named configurations have the published numbers of parameters") {
  // formats-and-features.md 3: counted there from the published files.
  const std::map<std::string, int64_t> published = {
      {"stories260K", 260'032},          {"stories15M", 15'191'712},
      {"stories42M", 41'689'600},        {"stories110M", 109'529'856},
      {"smollm2-135m", 134'515'008},     {"smollm2-360m", 361'821'120},
      {"qwen2.5-0.5b", 494'032'768},     {"qwen3-0.6b", 596'049'920},
      {"tinyllama-1.1b", 1'100'048'384}, {"llama3.2-1b", 1'235'814'400},
  };
  for (const auto& [name, count] : published) {
    CAPTURE(name);
    CHECK(model::ParameterTable(model::named_config(name)).weight_count() == count);
  }
  for (const model::NamedConfig& entry : model::named_configs()) {
    CAPTURE(entry.name);
    CHECK(model::resolve(entry.config) == entry.config);
  }
}

TEST_CASE("an unknown name is answered with the nearest one") {
  try {
    model::named_config("stories110m");
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(error.status() == Status::not_found);
    CHECK(error.message().find("stories110M") != std::string::npos);
  }
}

TEST_CASE("defaults are filled in") {
  const model::Config config = model::resolve(small());
  CHECK(config.kv_head_count == 4);
  CHECK(config.head_dim == 2);
  CHECK(config.context_length == 2048);
  CHECK(config.rope_theta == 1e4);
  CHECK(config.norm_epsilon == 1e-5);
}

TEST_CASE("impossible configurations are refused") {
  using Change = void (*)(model::Config&);
  const std::vector<Change> changes = {
      [](model::Config& c) { c.vocab_size = 0; },
      [](model::Config& c) { c.hidden_size = -1; },
      [](model::Config& c) { c.intermediate_size = 0; },
      [](model::Config& c) { c.layer_count = 0; },
      [](model::Config& c) { c.head_count = 0; },
      [](model::Config& c) { c.head_count = 3; },    // does not divide hidden_size
      [](model::Config& c) { c.kv_head_count = 3; }, // does not divide head_count
      [](model::Config& c) { c.kv_head_count = -2; },
      [](model::Config& c) { c.head_dim = 3; },       // odd
      [](model::Config& c) { c.head_dim = 1 << 24; }, // query size overflows the limit
      [](model::Config& c) { c.context_length = -1; },
      [](model::Config& c) { c.rope_theta = -1; },
      [](model::Config& c) { c.rope_theta = NAN; },
      [](model::Config& c) { c.norm_epsilon = INFINITY; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    model::Config config = small();
    changes[i](config);
    CHECK(status_of(config) == Status::invalid_config);
  }
}

TEST_CASE("JSON round trip; unknown keys are refused") {
  const model::Config config = model::named_config("qwen3-0.6b");
  model::Config read;
  const Json json = model::write_config(config);
  model::read_config(JsonView(json), read);
  CHECK(read == config);

  const Json wrong = Json::parse(R"({"hiden_size": 3})");
  CHECK_THROWS_WITH_AS(model::read_config(JsonView(wrong), read), doctest::Contains("hidden_size"),
                       Error);
}

TEST_CASE("parameters lie one after another, aligned, and only matrices decay") {
  model::Config config = small();
  config.qkv_bias = true;
  config.qk_norm = true;
  const model::ParameterTable table(model::resolve(config));
  int64_t end = 0;
  for (const model::Parameter& parameter : table.all()) {
    CAPTURE(parameter.name);
    CHECK(parameter.offset % 16 == 0);
    CHECK(parameter.offset >= end);
    CHECK(parameter.offset - end < 16);
    end = parameter.offset + parameter.elements;
    CHECK(parameter.decay == (parameter.shape.size() == 2));
    CHECK(table.find(parameter.name) == &parameter);
  }
  CHECK(table.flat_size() >= end);
  CHECK(table.find("model.layers.2.mlp.up_proj.weight") == nullptr);
  CHECK(table.head().name == "lm_head.weight");
  CHECK(table.layer(1).front().name == "model.layers.1.input_layernorm.weight");
}

TEST_CASE("initialisation has the stated distribution and does not depend on order") {
  model::Config config = small();
  config.hidden_size = 256;
  config.intermediate_size = 512;
  config = model::resolve(config);
  const model::ParameterTable table(config);
  std::vector<float> weights(static_cast<size_t>(table.flat_size()));
  model::initialize(table, config, 5, weights);
  const auto deviation = [&](const char* name) {
    const model::Parameter& p = *table.find(name);
    double sum = 0;
    double squares = 0;
    for (int64_t i = 0; i < p.elements; ++i) {
      const double value = weights[static_cast<size_t>(p.offset + i)];
      sum += value;
      squares += value * value;
    }
    CHECK(std::abs(sum / static_cast<double>(p.elements)) < 1e-3);
    return std::sqrt(squares / static_cast<double>(p.elements));
  };
  CHECK(deviation("model.layers.0.self_attn.q_proj.weight") == doctest::Approx(0.02).epsilon(0.02));
  CHECK(deviation("model.layers.0.mlp.down_proj.weight") ==
        doctest::Approx(0.02 / std::sqrt(4.0)).epsilon(0.02));
  CHECK(weights[static_cast<size_t>(table.final_norm().offset)] == 1.0f);

  // One layer more: what both models have is equal.
  model::Config deeper = config;
  deeper.layer_count = 3;
  const model::ParameterTable deeper_table(deeper);
  std::vector<float> other(static_cast<size_t>(deeper_table.flat_size()));
  model::initialize(deeper_table, deeper, 5, other);
  const int64_t at = table.find("model.layers.1.self_attn.k_proj.weight")->offset;
  CHECK(weights[static_cast<size_t>(at)] == other[static_cast<size_t>(at)]);
}
