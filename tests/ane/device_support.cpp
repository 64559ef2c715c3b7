#include "device_support.h"

#include "mil/differentiate.h"
#include "model/parameters.h"
#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <doctest/doctest.h>
#include <numeric>
#include <sstream>
#include <stdexcept>

namespace anet::test {

using backend::AneOptions;
using backend::PlacementPolicy;
using mil::DataType;

namespace {

std::vector<std::string> chosen_profiles() {
  const std::vector<std::string> all = {"m1", "m3", "m4", "m5", "a17"};
  const char* const chosen = std::getenv("ANE_TEST_PROFILES");
  if (chosen == nullptr) return all;
  std::vector<std::string> names;
  std::istringstream list(chosen);
  for (std::string name; std::getline(list, name, ',');) {
    if (std::find(all.begin(), all.end(), name) == all.end())
      throw std::runtime_error("ANE_TEST_PROFILES: expected m1, m3, m4, m5 or a17, got '" + name +
                               "'");
    names.push_back(name);
  }
  if (names.empty()) throw std::runtime_error("ANE_TEST_PROFILES: expected a chip, got none");
  return names;
}

} // namespace

const std::vector<std::string>& profiles() {
  static const std::vector<std::string> names = chosen_profiles();
  return names;
}

DeviceFixture::DeviceFixture(const std::string& profile) { emulator.set("profile", profile); }

AneOptions placed(PlacementPolicy policy) {
  AneOptions options;
  options.framework_path = emulator_path();
  options.placement.fill(policy);
  return options;
}

backend::DeviceOptions DeviceFixture::options() const {
  backend::DeviceOptions options{.threads = 2, .ane = placed(PlacementPolicy::engine)};
  options.ane.cache_directory = answers;
  return options;
}

std::shared_ptr<backend::Device> DeviceFixture::open(const backend::DeviceOptions& options) const {
  return backend::open_device("ane", options);
}

Json report_of(const backend::Device& device) { return Json::parse(device.report()); }

const Json& probe_of(const Json& report, const std::string& question) {
  for (const Json& entry : *report.find("probes")->if_array())
    if (*entry.find("question")->if_string() == question) return entry;
  throw std::runtime_error("no probe '" + question + "'");
}

bool answer_of(const Json& report, const std::string& question) {
  return *probe_of(report, question).find("answer")->if_boolean();
}

void check_near(const mil::TensorMap& actual, const mil::TensorMap& expected, double tolerance,
                const std::string& what) {
  REQUIRE_MESSAGE(actual.size() == expected.size(), what);
  for (const auto& [name, want] : expected) {
    const std::vector<double>& got = actual.at(name).values;
    REQUIRE_MESSAGE(got.size() == want.values.size(), what);
    double largest = 0, error = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::fabs(want.values[i]));
      const double difference = std::fabs(got[i] - want.values[i]);
      error = difference <= error ? error : difference; // a NaN stays
    }
    CHECK_MESSAGE(error <= tolerance * largest,
                  what << ": " << name << " is off by " << error << " of " << largest);
  }
}

const std::vector<NamedModel>& small_models() {
  const auto make = [](const char* name, int32_t heads, int32_t kv_heads, bool bias, bool norm) {
    model::Config config;
    config.vocab_size = 96;
    config.hidden_size = 64;
    config.intermediate_size = 160;
    config.layer_count = 2;
    config.head_count = heads;
    config.kv_head_count = kv_heads;
    config.head_dim = norm ? 32 : 0;
    config.context_length = 64;
    config.qkv_bias = bias;
    config.qk_norm = norm;
    return NamedModel{name, model::resolve(config)};
  };
  static const std::vector<NamedModel> models = {
      make("grouped query", 4, 2, false, false), make("multi head", 2, 2, false, false),
      make("qkv bias", 4, 1, true, false), make("qk norm", 4, 2, false, true)};
  return models;
}

namespace {

mil::Function widened(mil::Function function, const std::vector<std::string>& names) {
  std::vector<std::pair<size_t, std::string>> narrow;
  for (size_t i = 0; i < function.outputs.size(); ++i) {
    mil::Value& value = function.values[static_cast<size_t>(function.outputs[i])];
    if (std::count(names.begin(), names.end(), value.name) == 0) continue;
    if (value.type.dtype == DataType::fp32) continue;
    narrow.emplace_back(i, value.name);
    value.name += "_narrow";
  }
  mil::Builder builder(std::move(function));
  std::vector<mil::ValueId> outputs = builder.function().outputs;
  for (const auto& [index, name] : narrow)
    outputs[index] = builder.cast(outputs[index], DataType::fp32, name);
  mil::Function result = std::move(builder).finish();
  result.outputs = std::move(outputs);
  return result;
}

} // namespace

BlockPrograms block_programs(const model::Config& config, int64_t batch, int64_t sequence) {
  BlockPrograms programs;
  std::vector<std::string> inputs = {"hidden"};
  const model::ParameterTable table(config);
  for (const model::Parameter& parameter : table.layer(0)) {
    inputs.push_back(parameter.port);
    programs.gradients.push_back("d_" + parameter.port);
  }
  auto derivative = mil::differentiate(
      model::block_function(config, DataType::fp16, batch, sequence),
      {.with_respect_to = inputs, .outputs = {"hidden_out"}, .taps = {}, .tap_names = {}});
  programs.forward = std::move(derivative.forward);
  programs.backward = widened(std::move(derivative.backward), programs.gradients);
  return programs;
}

BlockPrograms head_programs(const model::Config& config, int64_t positions) {
  BlockPrograms programs;
  programs.gradients = {"d_final_norm_weight", "d_head_weight"};
  programs.forward = model::loss_function(config, DataType::fp16, positions);
  programs.backward = widened(
      mil::value_and_gradient(programs.forward,
                              {.with_respect_to = {"hidden", "final_norm_weight", "head_weight"},
                               .outputs = {"loss"},
                               .taps = {},
                               .tap_names = {}}),
      programs.gradients);
  programs.gradients.emplace_back("loss");
  return programs;
}

mil::TensorMap model_inputs(const mil::Function& function, const model::Config& config,
                            uint64_t seed) {
  backend::testing::Random random(seed);
  std::map<std::string, backend::testing::Range> ranges;
  for (const mil::ValueId id : function.inputs) {
    const mil::Value& port = function.value(id);
    const bool norm = port.name.find("norm_weight") != std::string::npos;
    const bool matrix = port.name.find("_weight") != std::string::npos && !norm;
    ranges[port.name] = norm     ? backend::testing::Range{0.5, 1.5}
                        : matrix ? backend::testing::Range{-0.2, 0.2}
                                 : backend::testing::Range{-1, 1};
  }
  ranges["targets"] = {0, static_cast<double>(config.vocab_size - 1)};
  ranges["target_weight"] = {1, 1};
  mil::TensorMap inputs = backend::testing::random_inputs(random, function, ranges);
  const auto mask = inputs.find("mask");
  if (mask != inputs.end()) {
    const int64_t sequence = mask->second.type.shape.back();
    std::vector<float> values(mask->second.values.size());
    model::causal_mask(sequence, values);
    mask->second.values.assign(values.begin(), values.end());
  }
  return inputs;
}

mil::Function product_function(int64_t width) {
  mil::Builder b;
  const mil::ValueId x = b.input("x", {DataType::fp16, {1, 64, 1, width}, {}});
  const mil::ValueId w = b.input("w", {DataType::fp16, {48, 64, 1, 1}, {}});
  const mil::ValueId rest = b.input("rest", {DataType::fp16, {1, 48, 1, width}, {}});
  b.output(b.add(b.linear(x, w), rest), "y");
  return std::move(b).finish();
}

} // namespace anet::test
