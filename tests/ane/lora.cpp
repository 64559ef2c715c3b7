// Adapters on the emulated engine: the base is baked into the programs, only adapters move.
#include "../unit/train/lora_support.h"
#include "train_support.h"

#include "backend/ane/lower.h"
#include "backend/run_totals.h"
#include "base/status.h"
#include "model/transformer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

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

// Norms around `mean`, no two channels alike.
void set_norms(model::Model& model, int32_t layer, const std::string& port, float mean) {
  for (const model::Parameter& parameter : model.parameters().layer(layer)) {
    if (parameter.port != port) continue;
    const auto values = model.values(parameter);
    Random(7, static_cast<uint64_t>(layer)).fill_normal(values, mean, 0.3f * mean);
  }
}

// A gain for each norm, as far apart as in models that others have trained.
std::shared_ptr<model::Model> gained_model() {
  auto model = model_of(deep_config(2));
  set_norms(*model, 0, "input_norm_weight", 0.03f);
  set_norms(*model, 0, "post_norm_weight", 1.5f);
  set_norms(*model, 1, "input_norm_weight", 1.0f);
  set_norms(*model, 1, "post_norm_weight", 5.0f);
  set_norms(*model, 0, "q_norm_weight", 2.0f);
  set_norms(*model, 0, "k_norm_weight", 0.7f);
  return model;
}

using Norms = model::FoldedNorms;

// Those of a layer whose norms of the heads are constants, too.
Norms with_head_norms(Norms norms) {
  for (const char* norm : model::head_norms) norms.emplace(norm, 1);
  return norms;
}

std::span<float> values_of(model::Model& model, const std::string& name) {
  return model.values(*model.parameters().find("model.layers." + name + ".weight"));
}

// Of all gradients, over their norm: whatever the loss scale.
std::vector<double> direction_of(train::Session& session, const OwnedBatch& batch) {
  session.forward_backward(batch.view());
  double squares = 0;
  for (const float value : session.gradients()) squares += double{value} * value;
  std::vector<double> direction;
  for (const float value : session.gradients()) direction.push_back(value / std::sqrt(squares));
  return direction;
}

} // namespace

TEST_CASE(
    "norms are in the constants behind them, and adapters are trained as on the CPU in fp32") {
  model::LoraOptions lora;
  lora.rank = 4;
  SUBCASE("seven projections") {}
  SUBCASE("DoRA") { lora.dora = true; }
  SUBCASE("dropout") { lora.dropout = 0.1; }
  SUBCASE("one of three behind a norm, none behind the other") { lora.targets = {"k_proj"}; }
  for (const std::string profile : {"m1", "m4"}) {
    CAPTURE(profile);
    // Products of M1 take denormals as zero, wherever the norms are.
    const double tolerance = profile == "m1" ? 0.1 : 0.02;
    AneFixture f;
    f.emulator.set("profile", profile);
    const auto device = f.open();
    const auto model = gained_model();
    const train::StepWeights weights(*device, small_adapter(model, lora));
    CHECK(weights.folded_norms(0, mil::DataType::fp16) ==
          with_head_norms({{"input_norm_weight", 0x1p-4}, {"post_norm_weight", 1}}));
    CHECK(weights.folded_norms(1, mil::DataType::fp16) ==
          with_head_norms({{"input_norm_weight", 1}, {"post_norm_weight", 1}}));
    train::SessionOptions options = small_options();
    options.learning_rate = 1e-3;
    const auto cpu = adapter_session(cpu_device(), model, lora, options);
    options.precision = train::PrecisionMode::f16;
    options.initial_loss_scale = 256; // with which no step overflows
    const auto ane = adapter_session(device, model, lora, options);
    const OwnedBatch batch(1, options.batch_size, options.sequence_length);
    const std::vector<double> expected = direction_of(*cpu, batch),
                              seen = direction_of(*ane, batch);
    for (const auto& [parameter, offset] : cpu->trained().all()) {
      CAPTURE(parameter->name);
      double error = 0, size = 0;
      for (int64_t i = offset; i < offset + parameter->elements; ++i) {
        const auto at = static_cast<size_t>(i);
        error += (seen[at] - expected[at]) * (seen[at] - expected[at]);
        size += expected[at] * expected[at];
      }
      CHECK(std::sqrt(error / size) < tolerance);
    }
    cpu->zero_gradients();
    ane->zero_gradients();
    CHECK(engine_share(compare_steps(*cpu, *ane, 5).work) >= 0.95);
  }
}

TEST_CASE("frozen matrices and adapters are joined where an engine takes weights as inputs") {
  const auto joined_ports = [](const std::string& profile, const model::LoraOptions& lora,
                               bool compressed) {
    AneFixture f;
    f.emulator.set("profile", profile);
    const auto device = f.open();
    const auto model = gained_model();
    const std::shared_ptr<const model::Model> base = compressed ? compressed_copy(*model) : model;
    const train::StepWeights weights(*device, small_adapter(base, lora));
    const train::StepKernels kernels(*device, weights, half_options(), mil::DataType::fp16);
    std::set<std::string> ports;
    for (const train::LayerGroup& group : kernels.groups())
      for (const train::JoinedWeight& joined : kernels.joined_weights(group))
        ports.insert(joined.port());
    return ports;
  };
  using Ports = std::set<std::string>;
  model::LoraOptions lora;
  lora.rank = 4;
  Ports both; // layers of a program
  for (const std::string place : {"", "layer1_"})
    for (const char* port :
         {"q_proj_weight_joined", "k_proj_weight_joined", "v_proj_weight_joined",
          "o_proj_weight_joined", "o_proj_weight_transposed_joined", "gate_proj_weight_joined",
          "up_proj_weight_joined", "down_proj_weight_joined", "down_proj_weight_transposed_joined"})
      both.insert(place + port);
  CHECK(joined_ports("m4", lora, false) == both);
  CHECK(joined_ports("m4", lora, true).empty());  // compressed weights stay in few bits
  CHECK(joined_ports("m3", lora, false).empty()); // it refuses the reshape that makes kernels
  // Too few rows to be worth a copy of what they are multiplied by.
  lora.targets = {"k_proj"};
  lora.rank = 2;
  CHECK(joined_ports("m4", lora, false).empty());
}

TEST_CASE("a norm stays where it is unless fp16 constants can hold it") {
  AneFixture f;
  const auto device = f.open();
  const auto model = gained_model();
  const auto folded = [&](const train::StepWeights& weights,
                          mil::DataType dtype = mil::DataType::fp16) {
    return weights.folded_norms(0, dtype);
  };
  const auto over = [&](const std::shared_ptr<model::Model>& base) {
    return train::StepWeights(*device, small_adapter(base));
  };
  const Norms first = with_head_norms({{"input_norm_weight", 0x1p-4}}),
              second = with_head_norms({{"post_norm_weight", 1}});
  SUBCASE("ports, compressed matrices, fp32, no layer") {
    train::StepWeights weights = over(model);
    CHECK(folded(weights).size() == 4);
    CHECK(folded(weights, mil::DataType::fp32).empty());
    CHECK(weights.folded_norms(weights.head(), mil::DataType::fp16).empty());
    weights.avoid_constants();
    CHECK(folded(weights).empty());
    CHECK(folded({*cpu_device(), small_adapter(model)}).empty());
    CHECK(folded(over(compressed_copy(*model))) == with_head_norms({}));
  }
  SUBCASE("what is trained") {
    const auto training = [&](const std::string& pattern) {
      return folded({*device, model->config(), model, {pattern}});
    };
    CHECK(training("layers.0.input_layernorm") == second);
    CHECK(training("layers.0.self_attn.k_proj") == second);
    CHECK(training("layers.0.mlp.up_proj") == first);
    CHECK(training("layers.0.self_attn.q_norm") ==
          Norms{{"input_norm_weight", 0x1p-4}, {"post_norm_weight", 1}, {"k_norm_weight", 1}});
    CHECK(training("layers.1.*").size() == 4);
  }
  SUBCASE("an overflow") {
    values_of(*model, "1.input_layernorm")[5] = 4;
    values_of(*model, "1.self_attn.q_proj")[64 + 5] = 17000;
    CHECK(over(model).folded_norms(1, mil::DataType::fp16) ==
          with_head_norms({{"post_norm_weight", 1}}));
    values_of(*model, "1.self_attn.q_proj")[64 + 5] = 16000;
    CHECK(over(model).folded_norms(1, mil::DataType::fp16).size() == 4);
  }
  SUBCASE("what is less than fp16's normal numbers") {
    for (float& value : values_of(*model, "0.self_attn.v_proj")) value *= 0.01f;
    CHECK(folded(over(model)) == second);
  }
}

TEST_CASE("constants with a norm in them are its weight times theirs") {
  AneFixture f;
  const auto model = gained_model();
  const train::StepWeights weights(*f.open(), small_adapter(model));
  const auto folded = weights.folded_norms(0, mil::DataType::fp16);
  const auto constants = weights.constants(0, mil::DataType::fp16, folded);
  const auto plain = weights.constants(0, mil::DataType::fp16);
  REQUIRE(constants.size() == plain.size());
  const auto numbers = [&](const char* port) {
    return std::get<mil::Literal>(constants.at(port)).numbers();
  };
  const auto check = [&](const char* port, const std::string& matrix, const std::string& norm,
                         double factor) {
    CAPTURE(port);
    const auto values = values_of(*model, matrix), gains = values_of(*model, norm);
    const std::vector<double> seen = numbers(port);
    REQUIRE(seen.size() == values.size());
    for (size_t i = 0; i < seen.size(); ++i) {
      const double product = double{values[i]} * gains[i % gains.size()] / factor;
      CHECK(std::abs(seen[i] - product) <= std::max(std::abs(product) * 0x1.01p-11, 0x1p-25));
    }
  };
  check("q_proj_weight", "0.self_attn.q_proj", "0.input_layernorm", 0x1p-4);
  check("k_proj_weight", "0.self_attn.k_proj", "0.input_layernorm", 0x1p-4);
  check("v_proj_weight", "0.self_attn.v_proj", "0.input_layernorm", 0x1p-4);
  check("gate_proj_weight", "0.mlp.gate_proj", "0.post_attention_layernorm", 1);
  check("up_proj_weight", "0.mlp.up_proj", "0.post_attention_layernorm", 1);
  const std::vector<double> gains = numbers("input_norm_weight");
  const auto expected = values_of(*model, "0.input_layernorm");
  for (size_t i = 0; i < gains.size(); ++i)
    CHECK(gains[i] == doctest::Approx(expected[i] * 16).epsilon(1e-3));
  for (const char* port : {"o_proj_weight", "down_proj_weight", "q_norm_weight"})
    CHECK(constants.at(port) == plain.at(port));
}

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
  // Layers in threes and one: forward all weights are inputs at this width, backward some are
  // constants. And the head's; none in vain.
  CHECK(compiled == 2 + 10 + 3);
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

TEST_CASE("a program of constants holds several layers") {
  AneFixture f;
  model::LoraOptions lora;
  lora.rank = 4;
  // Evaluations of a step: groups of layers forward, those trained backward, the head's two.
  uint64_t evaluations = 0;
  SUBCASE("all are trained") {
    evaluations = 2 + 2 + 2;
  }                                 // 3 layers and 3: more have too many ports
  SUBCASE("some are only passed") { // 3, 3 that are trained
    lora.first_layer = 3;
    evaluations = 2 + 1 + 2;
  }
  SUBCASE("the last alone is trained") { // 1 and 4, 1
    lora.first_layer = -1;
    evaluations = 3 + 1 + 2;
  }
  SUBCASE("the embedding alone is trained") { // 2 and 4
    lora.targets = {"embed_tokens"};
    evaluations = 2 + 2 + 2 + 2; // its second matrix, forward and backward
  }
  SUBCASE("DoRA") { // 2, 2 and 2
    lora.dora = true;
    evaluations = 3 + 3 + 2;
  }
  SUBCASE("dropout is one layer's") {
    lora.dropout = 0.1;
    evaluations = 6 + 6 + 2;
  }
  const auto model = model_of(deep_config(6));
  train::SessionOptions options = half_options();
  options.learning_rate = 1e-3; // steps that do not blow up what rounding leaves of small gradients
  const auto cpu = adapter_session(cpu_device(), model, lora, options);
  const auto ane = adapter_session(f.open(), model, lora, options);
  const OwnedBatch owned(7, options.batch_size, options.sequence_length);
  const train::Batch batch = owned.view();
  const auto same_evaluation = [&] {
    CHECK(ane->eval(batch).loss == doctest::Approx(cpu->eval(batch).loss).epsilon(0.01));
  };

  same_evaluation(); // before there is anything to train with
  const Comparison runs = compare_steps(*cpu, *ane, 6);
  CHECK(engine_share(runs.work) >= 0.95);
  CHECK(runs.seen.back().work.evaluations == evaluations);
  for (size_t i = 0; i < runs.seen.size(); ++i)
    CHECK(runs.seen[i].grad_norm == doctest::Approx(runs.expected[i].grad_norm).epsilon(0.05));
  same_evaluation();
}

TEST_CASE("fewer layers where the engine refuses a program of four") {
  model::LoraOptions lora;
  lora.targets = {"q_proj", "v_proj"};
  const auto model = model_of(deep_config(8));
  const auto cpu = adapter_session(cpu_device(), model, lora, half_options());
  const auto expected = train_steps(*cpu, 2);
  for (const std::string refused : {"1", "2"}) { // the forward program, the backward one
    CAPTURE(refused);
    AneFixture f;
    const auto device = f.open();
    f.emulator.set("fail_compile", refused);
    const auto session = adapter_session(device, model, lora, half_options());
    const auto seen = train_steps(*session, 2);
    CHECK(engine_share(seen.back().work) >= 0.95);
    CHECK(seen.back().work.evaluations == 3 + 3 + 2); // 2, 3 and 3
    CHECK(seen.back().loss == doctest::Approx(expected.back().loss).epsilon(0.01));
  }
}

TEST_CASE("layers share programs, and weights are inputs, where constants exceed the budget") {
  AneFixture f;
  f.options.ane.compile_budget = 24;
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
