// Model files that other programs wrote (tests/golden/model_files/make.py): every value, bit by
// bit.
#include "base/float16.h"
#include "base/hash.h"
#include "base/json.h"
#include "io/model_file/model_source.h"
#include "io/model_file/stored_tensor.h"
#include "io/safetensors.h"
#include "test_files.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <map>
#include <string>
#include <vector>

using namespace anet;

namespace {

const std::string folder = "tests/golden/model_files/";

std::string digest_of(const io::LoadedModel& loaded, const model::Parameter& parameter) {
  return sha256_hex(std::as_bytes(std::as_const(*loaded.model).values(parameter)));
}

model::Config config_from(const JsonView& json) {
  model::Config config;
  model::read_config(json, config);
  return model::resolve(config);
}

void check_config(const model::Config& seen, const model::Config& expected) {
  CHECK(write_config(seen).to_string() == write_config(expected).to_string());
}

// The same bits, except that NaN equals NaN.
bool same_float(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (a != a && b != b);
}

} // namespace

TEST_CASE("files of other programs have the configuration and the values they wrote") {
  const Json expected = Json::parse(test::get(folder + "expected.json"));
  REQUIRE(expected.if_object()->size() == 12);
  const std::map<std::string, std::string> formats = {
      {"gguf", "gguf"}, {".bin", "llama2c"}, {"blzt", "blzt"}};
  for (const JsonMember& file : *expected.if_object()) {
    CAPTURE(file.key);
    const JsonView view(file.value);
    const io::LoadedModel loaded = io::load_model(folder + file.key);
    CHECK(loaded.format == formats.at(file.key.substr(file.key.size() - 4)));
    check_config(loaded.model->config(), config_from(view.at("config")));
    CHECK(loaded.warnings.empty());
    for (const model::Parameter& parameter : loaded.model->parameters().all()) {
      CAPTURE(parameter.name);
      CHECK(digest_of(loaded, parameter) == view.at("tensors").at(parameter.name).string());
    }
    CHECK(loaded.model->parameters().all().size() == view.at("tensors").members().size());
  }
}

TEST_CASE("directories that transformers wrote have its values") {
  // The GGUF files of F16 and BF16 come from directories of the same type, so they tell their
  // values.
  const Json expected = Json::parse(test::get(folder + "expected.json"));
  const std::map<std::string, std::string> same = {{"qwen2", "qwen2-f16.gguf"},
                                                   {"llama3", "llama3-bf16.gguf"}};
  for (const auto& [name, file] : same) {
    CAPTURE(name);
    const io::LoadedModel loaded = io::load_model(folder + name);
    CHECK(loaded.format == "hugging_face");
    const JsonView view = JsonView(expected).at(file);
    check_config(loaded.model->config(), config_from(view.at("config")));
    for (const model::Parameter& parameter : loaded.model->parameters().all()) {
      CAPTURE(parameter.name);
      CHECK(digest_of(loaded, parameter) == view.at("tensors").at(parameter.name).string());
    }
  }
}

TEST_CASE("shards are one model, and extras come from generation_config.json") {
  const io::LoadedModel loaded = io::load_model(folder + "llama");
  CHECK(loaded.extras.stop_ids == std::vector<int32_t>{2});
  CHECK(loaded.extras.tokenizer_path.empty());
  // Against a plain reading of each shard.
  size_t compared = 0;
  for (int shard = 1; shard <= 4; ++shard) {
    const io::SafetensorsReader file(folder + "llama/model-0000" + std::to_string(shard) +
                                     "-of-00004.safetensors");
    for (const io::SafetensorsEntry& entry : file.entries()) {
      CAPTURE(entry.name);
      const model::Parameter* parameter = loaded.model->parameters().find(entry.name);
      REQUIRE(parameter != nullptr);
      const auto values = std::as_bytes(std::as_const(*loaded.model).values(*parameter));
      const auto stored = file.tensor(entry).data;
      CHECK(std::equal(values.begin(), values.end(), stored.begin(), stored.end()));
      ++compared;
    }
  }
  CHECK(compared == loaded.model->parameters().all().size());
  CHECK(io::load_model(folder + "llama3").extras.stop_ids == std::vector<int32_t>{2, 3});
}

TEST_CASE("progress counts every element once") {
  int64_t done = 0;
  std::vector<std::string> names;
  const io::LoadedModel loaded =
      io::load_model(folder + "qwen3", {.progress = [&](const io::TensorProgress& progress) {
                       CHECK(progress.done > done);
                       done = progress.done;
                       names.emplace_back(progress.name);
                       CHECK(progress.total >= done);
                     }});
  CHECK(done == loaded.model->parameters().weight_count());
  CHECK(names.size() == loaded.model->parameters().all().size());
  CHECK(names.back() == "lm_head.weight");
}

TEST_CASE("every half and every bfloat16 is widened exactly") {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  std::vector<float> values(bits.size());
  const auto data = std::as_bytes(std::span<const uint16_t>(bits));
  io::StoredTensor tensor{.encoding = io::Encoding::fp16, .data = data};
  io::decode(tensor, 0, values);
  size_t wrong = 0;
  for (size_t i = 0; i < bits.size(); ++i) wrong += !same_float(values[i], half_to_float(bits[i]));
  CHECK(wrong == 0);
  tensor.encoding = io::Encoding::bf16;
  io::decode(tensor, 0, values);
  for (size_t i = 0; i < bits.size(); ++i)
    wrong += !same_float(values[i], bfloat16_to_float(bits[i]));
  CHECK(wrong == 0);
}

TEST_CASE("blocks have the values that the gguf package gives them") {
  const io::SafetensorsReader file(folder + "blocks.safetensors");
  const std::map<std::string, io::Encoding> encodings = {
      {"Q8_0", io::Encoding::q8_0}, {"Q4_0", io::Encoding::q4_0}, {"Q6_K", io::Encoding::q6_k}};
  for (const auto& [name, encoding] : encodings) {
    CAPTURE(name);
    const std::vector<float> expected = io::to_float(file.tensor(name + ".values"));
    std::vector<float> seen(expected.size());
    const io::StoredTensor tensor{.encoding = encoding, .data = file.tensor(name + ".blocks").data};
    REQUIRE(static_cast<int64_t>(tensor.data.size()) == static_cast<int64_t>(seen.size()) /
                                                            io::block_elements(encoding) *
                                                            io::block_bytes(encoding));
    io::decode(tensor, 0, seen);
    for (size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == expected[i]);
    // From a block in the middle on.
    const auto first = static_cast<size_t>(3 * io::block_elements(encoding));
    io::decode(tensor, static_cast<int64_t>(first), std::span(seen).first(first));
    for (size_t i = 0; i < first; ++i) CHECK(seen[i] == expected[first + i]);
  }
}
