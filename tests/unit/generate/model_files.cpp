// The logits of models loaded from directories that transformers wrote, and from GGUF files of the
// same weights, are those of transformers (tests/golden/model_files/make.py).
#include "backend/backend.h"
#include "generate/generator.h"
#include "io/model_file/model_source.h"
#include "io/safetensors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

using namespace anet;

namespace {

const std::string folder = "tests/golden/model_files/";

// The largest difference over the largest logit, of the positions after every prefix.
double logit_error(const std::shared_ptr<backend::Device>& device, const std::string& path,
                   const std::string& golden_name) {
  const io::SafetensorsReader golden(folder + golden_name + ".safetensors");
  const std::vector<float> expected = io::to_float(golden.tensor("logits"));
  const auto positions = static_cast<size_t>(golden.find("logits")->shape[0]);
  const auto vocabulary = static_cast<size_t>(golden.find("logits")->shape[1]);
  std::vector<int32_t> tokens(positions); // the first row
  std::memcpy(tokens.data(), golden.tensor("tokens").data.data(), positions * sizeof(int32_t));
  generate::Generator generator(device, io::load_model(path).model, {});
  double error = 0;
  double largest = 0;
  for (size_t length = 1; length <= positions; ++length) {
    const std::span<const float> seen = generator.logits(std::span(tokens).first(length));
    REQUIRE(seen.size() == vocabulary);
    for (size_t i = 0; i < vocabulary; ++i) {
      const double reference = expected[(length - 1) * vocabulary + i];
      error = std::max(error, std::fabs(seen[i] - reference));
      largest = std::max(largest, std::fabs(reference));
    }
  }
  return error / largest;
}

} // namespace

TEST_CASE("logits of every prefix equal those of transformers") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  for (const char* name : {"llama", "llama3", "qwen2", "qwen3"}) {
    CAPTURE(name);
    CHECK(logit_error(device, folder + name, name) <= 1e-4);
  }
}

TEST_CASE("GGUF files of the same weights give the same logits") {
  const auto device = backend::open_device("cpu", {.threads = 2});
  CHECK(logit_error(device, folder + "llama3-bf16.gguf", "llama3") <= 1e-4);
  CHECK(logit_error(device, folder + "qwen2-f16.gguf", "qwen2") <= 1e-4);
  // Eight bits change the logits, but not by much; a wrong order of rows would.
  CHECK(logit_error(device, folder + "llama-q8_0.gguf", "llama") <= 0.03);
}
