// The whole model against PyTorch in double precision: tests/parity/make_golden.py wrote the files.
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
constexpr int64_t batch_size = 2;

std::vector<int32_t> read_ids(const io::SafetensorsReader& file, const char* name) {
  const io::TensorView view = file.tensor(name);
  std::vector<int32_t> ids(static_cast<size_t>(mil::element_count(view.shape)));
  std::memcpy(ids.data(), view.data.data(), view.data.size());
  return ids;
}

model::Config read_model_config(const io::SafetensorsReader& file) {
  const Json json = Json::parse(file.metadata().at("config"));
  model::Config config;
  model::read_config(JsonView(json), config);
  return config;
}

std::shared_ptr<model::Model> read_model(const io::SafetensorsReader& file) {
  auto model = std::make_shared<model::Model>(read_model_config(file));
  for (const model::Parameter& parameter : model->parameters().all())
    io::copy_to_float(file.tensor(parameter.name), model->values(parameter));
  return model;
}

// L2 norm of the difference over the norm of the reference.
double relative_difference(std::span<const float> seen, std::span<const float> expected,
                           double factor) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    const double d = seen[i] * factor - expected[i];
    difference += d * d;
    norm += static_cast<double>(expected[i]) * expected[i];
  }
  return std::sqrt(difference / norm);
}

struct Golden {
  explicit Golden(const std::string& name)
      : file("tests/golden/transformer/" + name + ".safetensors"), tokens(read_ids(file, "tokens")),
        targets(read_ids(file, "targets")), losses(io::to_float(file.tensor("losses"))) {}

  train::Batch batch() const {
    return {batch_size, static_cast<int64_t>(tokens.size()) / batch_size, tokens, targets};
  }
  train::SessionOptions options(bool checkpointing, int32_t loss_chunk) const {
    train::SessionOptions options;
    options.batch_size = batch_size;
    options.sequence_length = static_cast<int32_t>(tokens.size()) / batch_size;
    options.activation_checkpointing = checkpointing;
    options.loss_chunk = loss_chunk;
    options.learning_rate = 1e-2;
    options.weight_decay = 0.1;
    options.beta1 = 0.9;
    options.beta2 = 0.95;
    return options;
  }

  io::SafetensorsReader file;
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<float> losses;
};

void check_gradients(const Golden& golden, train::Session& session) {
  const train::StepResult result = session.forward_backward(golden.batch());
  CHECK(result.loss == doctest::Approx(golden.losses[0]).epsilon(tolerance));
  for (const model::Parameter& parameter : session.model()->parameters().all()) {
    CAPTURE(parameter.name);
    const auto gradient = session.gradients().subspan(static_cast<size_t>(parameter.offset),
                                                      static_cast<size_t>(parameter.elements));
    const std::vector<float> expected = io::to_float(golden.file.tensor("grad." + parameter.name));
    const double mean = 1.0 / static_cast<double>(result.tokens);
    CHECK(relative_difference(gradient, expected, mean) <= tolerance);
  }
  session.zero_gradients();
}

void check_steps(const Golden& golden, train::Session& session) {
  for (const float expected : golden.losses) {
    const train::Batch batch = golden.batch();
    CHECK(session.step({&batch, 1}).loss == doctest::Approx(expected).epsilon(tolerance));
  }
}

} // namespace

TEST_CASE("loss, every gradient and ten AdamW steps equal PyTorch's") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  for (const char* name : {"mha", "gqa", "head_dim", "qk_norm", "qkv_bias", "untied", "all"}) {
    for (const bool checkpointing : {false, true}) {
      CAPTURE(name);
      CAPTURE(checkpointing);
      const Golden golden(name);
      // Chunks of 5 of 34 positions, the last of 4; or all at once.
      train::Session session(device, read_model(golden.file),
                             golden.options(checkpointing, checkpointing ? 5 : 34));
      check_gradients(golden, session);
      check_steps(golden, session);
    }
  }
}
