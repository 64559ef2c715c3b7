// Adapters against PyTorch in double precision: tests/parity/make_lora_golden.py wrote the files.
#include "backend/backend.h"
#include "io/safetensors.h"
#include "train/session.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace anet;

namespace {

constexpr double tolerance = 1e-4;

std::vector<int32_t> read_ids(const io::SafetensorsReader& file, const char* name) {
  const io::TensorView view = file.tensor(name);
  std::vector<int32_t> ids(static_cast<size_t>(mil::element_count(view.shape)));
  std::memcpy(ids.data(), view.data.data(), view.data.size());
  return ids;
}

struct Golden {
  explicit Golden(const std::string& name)
      : file("tests/golden/lora/" + name + ".safetensors"),
        base("tests/golden/transformer/" + file.metadata().at("base") + ".safetensors"),
        tokens(read_ids(base, "tokens")), targets(read_ids(base, "targets")),
        losses(io::to_float(file.tensor("losses"))) {}

  std::shared_ptr<model::Adapter> adapter() const {
    const Json config_text = Json::parse(base.metadata().at("config"));
    model::Config config;
    model::read_config(JsonView(config_text), config);
    auto model = std::make_shared<model::Model>(config);
    for (const model::Parameter& parameter : model->parameters().all())
      io::copy_to_float(base.tensor(parameter.name), model->values(parameter));

    const Json text = Json::parse(file.metadata().at("adapter"));
    const JsonView json(text);
    model::LoraOptions options;
    options.rslora = json.boolean_or("rslora", false);
    options.dora = json.boolean_or("dora", false);
    std::vector<model::LoraTarget> modules;
    for (size_t i = 0; i < json.at("modules").size(); ++i) {
      const JsonView module = json.at("modules").at(i);
      modules.push_back({module.at("module").string(),
                         static_cast<int32_t>(module.at("rank").integer()),
                         module.at("alpha").number()});
    }
    auto adapter = std::make_shared<model::Adapter>(model, options, modules);
    for (const model::Parameter& parameter : adapter->parameters())
      io::copy_to_float(file.tensor(parameter.name), adapter->values(parameter));
    return adapter;
  }

  train::Batch batch() const { return {2, std::ssize(tokens) / 2, tokens, targets}; }

  train::SessionOptions options(bool checkpointing, int32_t loss_chunk) const {
    train::SessionOptions options;
    options.batch_size = 2;
    options.sequence_length = static_cast<int32_t>(tokens.size()) / 2;
    options.activation_checkpointing = checkpointing;
    options.loss_chunk = loss_chunk;
    options.learning_rate = 1e-2;
    options.weight_decay = 0.1;
    options.beta1 = 0.9;
    options.beta2 = 0.95;
    return options;
  }

  io::SafetensorsReader file, base;
  std::vector<int32_t> tokens, targets;
  std::vector<float> losses;
};

// L2 norm of the difference over the norm of the reference.
double relative_difference(std::span<const float> seen, std::span<const float> expected,
                           double factor) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(seen[i] * factor - expected[i], 2);
    norm += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(difference / norm);
}

void check_gradients(const Golden& golden, train::Session& session) {
  const train::StepResult result = session.forward_backward(golden.batch());
  CHECK(result.loss == doctest::Approx(golden.losses[0]).epsilon(tolerance));
  for (const auto& [parameter, offset] : session.trained().all()) {
    CAPTURE(parameter->name);
    const auto gradient = session.gradients().subspan(static_cast<size_t>(offset));
    const std::vector<float> expected = io::to_float(golden.file.tensor("grad." + parameter->name));
    const double mean = 1.0 / static_cast<double>(result.tokens);
    CHECK(relative_difference(gradient, expected, mean) <= tolerance);
  }
  session.zero_gradients();
}

} // namespace

TEST_CASE("loss, every gradient and twenty AdamW steps of an adapter equal PyTorch's") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  for (const char* name : {"lora", "top_layer", "rslora", "dora", "dora_rslora", "embeddings",
                           "tied_embedding", "head"}) {
    for (const bool checkpointing : {false, true}) {
      CAPTURE(name);
      CAPTURE(checkpointing);
      const Golden golden(name);
      // Chunks of 5 of 34 positions, the last of 4; or all at once.
      train::Session session(device, golden.adapter(),
                             golden.options(checkpointing, checkpointing ? 5 : 34));
      check_gradients(golden, session);
      for (const float expected : golden.losses) {
        const train::Batch batch = golden.batch();
        CHECK(session.eval(batch).loss == doctest::Approx(expected).epsilon(tolerance));
        CHECK(session.step({&batch, 1}).loss == doctest::Approx(expected).epsilon(tolerance));
      }
    }
  }
}
