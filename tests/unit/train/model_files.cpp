// Models loaded from directories that transformers wrote (tests/golden/model_files/make.py) train
// as they do there: 20 steps of AdamW in fp32.
#include "backend/backend.h"
#include "io/model_file/model_source.h"
#include "io/safetensors.h"
#include "train/session.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

using namespace anet;

namespace {

const std::string folder = "tests/golden/model_files/";
constexpr double tolerance = 1e-4;

std::vector<int32_t> read_ids(const io::SafetensorsReader& file, const char* name) {
  const io::TensorView view = file.tensor(name);
  std::vector<int32_t> ids(static_cast<size_t>(mil::element_count(view.shape)));
  std::memcpy(ids.data(), view.data.data(), view.data.size());
  return ids;
}

} // namespace

TEST_CASE("the losses of 20 steps equal those of transformers") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  for (const char* name : {"llama", "llama3", "qwen2", "qwen3"}) {
    CAPTURE(name);
    const io::SafetensorsReader golden(folder + name + ".safetensors");
    const std::vector<int32_t> tokens = read_ids(golden, "tokens");
    const std::vector<int32_t> targets = read_ids(golden, "targets");
    const std::vector<float> losses = io::to_float(golden.tensor("losses"));
    REQUIRE(losses.size() == 20);
    const int64_t rows = golden.find("tokens")->shape[0];
    train::SessionOptions options;
    options.batch_size = static_cast<int32_t>(rows);
    options.sequence_length = static_cast<int32_t>(golden.find("tokens")->shape[1]);
    options.learning_rate = 1e-2;
    options.weight_decay = 0.1;
    options.beta1 = 0.9;
    options.beta2 = 0.95;
    train::Session session(device, io::load_model(folder + name).model, options);
    train::Batch batch;
    batch.sequences = rows;
    batch.length = options.sequence_length;
    batch.tokens = tokens;
    batch.targets = targets;
    for (const float expected : losses)
      CHECK(session.step({&batch, 1}).loss == doctest::Approx(expected).epsilon(tolerance));
    CHECK(losses.back() < 0.7f * losses.front());
  }
}
