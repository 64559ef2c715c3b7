// Exports read back equal; what a format cannot hold is refused. tests/parity/model_files.py reads
// them with the reference readers.
#include "base/float16.h"
#include "io/model_file/encode.h"
#include "io/model_file/gguf_file.h"
#include "io/model_file/model_source.h"
#include "io/safetensors.h"
#include "test_files.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

using namespace anet;
using test::TemporaryDirectory;

namespace {

const std::string folder = "tests/golden/model_files/";

bool same_weights(const model::Model& a, const model::Model& b) {
  const auto x = a.weights();
  const auto y = b.weights();
  return std::equal(x.begin(), x.end(), y.begin(), y.end());
}

io::ExportOptions options_of(io::ExportFormat format, io::ExportType type) {
  io::ExportOptions options;
  options.format = format;
  options.type = type;
  return options;
}

model::Config small_config() {
  model::Config config;
  config.vocab_size = 32;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.tie_embeddings = true;
  return model::resolve(config);
}

class RandomModel : public model::Model {
public:
  explicit RandomModel(const model::Config& small) : model::Model(small) {
    model::initialize(parameters(), config(), 3, weights());
  }
};

std::string refusal(const model::Config& config, const io::ExportOptions& options,
                    Status status = Status::unsupported) {
  TemporaryDirectory target;
  const model::Model model(config);
  const auto error = test::error_of([&] { io::export_model(model, target / "out", options); });
  CHECK(target.names().empty());
  if (!error) return "no error";
  CHECK(error->status() == status);
  return error->message();
}

} // namespace

TEST_CASE("an export in the type of the weights is the identity") {
  using enum io::ExportFormat;
  using enum io::ExportType;
  struct Case {
    const char* source;
    io::ExportFormat format;
    io::ExportType type;
  };
  const Case cases[] = {
      {"llama", hugging_face, fp32},  {"llama3", hugging_face, bf16},
      {"llama3", hugging_face, fp32}, {"qwen2", hugging_face, fp16},
      {"qwen3", hugging_face, fp32},  {"llama", llama2c, fp32},
      {"tied-v0.bin", llama2c, fp32}, {"llama", gguf, fp32},
      {"llama3", gguf, bf16},         {"qwen2", gguf, fp16},
      {"qwen3", gguf, fp32},
  };
  for (const Case& entry : cases) {
    CAPTURE(entry.source);
    CAPTURE(static_cast<int>(entry.format));
    TemporaryDirectory target;
    const io::LoadedModel first = io::load_model(folder + entry.source);
    int64_t done = 0;
    io::export_model(*first.model, target / "out", options_of(entry.format, entry.type),
                     [&](const io::TensorProgress& progress) { done = progress.done; });
    CHECK(done == first.model->parameters().weight_count());
    const io::LoadedModel second = io::load_model(target / "out");
    CHECK(write_config(second.model->config()).to_string() ==
          write_config(first.model->config()).to_string());
    CHECK(same_weights(*first.model, *second.model));
    CHECK(target.names() == std::vector<std::string>{"out"});
  }
}

TEST_CASE("Q8_0 read back is Q8_0 exported again") {
  TemporaryDirectory target;
  const auto q8_0 = options_of(io::ExportFormat::gguf, io::ExportType::q8_0);
  const io::LoadedModel golden = io::load_model(folder + "llama-q8_0.gguf");
  io::export_model(*golden.model, target / "again.gguf", q8_0);
  const io::LoadedModel again = io::load_model(target / "again.gguf");
  CHECK(same_weights(*golden.model, *again.model));
}

TEST_CASE("Q8_0 blocks are those of the gguf package") {
  const io::SafetensorsReader file(folder + "blocks.safetensors");
  const std::vector<float> given = io::to_float(file.tensor("given"));
  const auto expected = file.tensor("given.Q8_0").data;
  std::vector<std::byte> seen;
  io::encode(io::Encoding::q8_0, given, "given", seen);
  CHECK(std::equal(seen.begin(), seen.end(), expected.begin(), expected.end()));
}

TEST_CASE("fp16 is rounded to nearest even, and refused beyond its range") {
  std::vector<float> values;
  for (uint32_t half = 0; half < 0x7c00; ++half) {
    const float value = half_to_float(static_cast<uint16_t>(half));
    const float next = half_to_float(static_cast<uint16_t>(half + 1));
    for (const float x : {value, (value + next) / 2, std::nextafter(value, 0.0f)})
      if (std::isfinite(x)) values.insert(values.end(), {x, -x});
  }
  values.insert(values.end(), {1e-30f, -1e-38f, 1e-45f, 65519.99f});
  std::vector<std::byte> bytes;
  io::encode(io::Encoding::fp16, values, "x", bytes);
  size_t wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t seen = 0;
    std::memcpy(&seen, &bytes[2 * i], 2);
    wrong += seen != float_to_half(values[i]);
  }
  CHECK(wrong == 0);
  for (const auto encoding : {io::Encoding::fp16, io::Encoding::q8_0}) {
    std::vector<float> large(32, encoding == io::Encoding::fp16 ? 65520.0f : 1e7f);
    const auto error = test::error_of([&] { io::encode(encoding, large, "big.weight", bytes); });
    REQUIRE(error);
    CHECK(error->status() == Status::out_of_range);
    CHECK(error->message().find("big.weight") != std::string::npos);
  }
}

TEST_CASE("shards hold what fits, and the index names them all") {
  TemporaryDirectory target;
  const RandomModel model(small_config());
  io::ExportOptions options = options_of(io::ExportFormat::hugging_face, io::ExportType::fp32);
  options.max_shard_bytes = 40'000;
  io::export_model(model, target / "out", options);
  const Json index = Json::parse(test::get(target / "out/model.safetensors.index.json"));
  const JsonView map = JsonView(index).at("weight_map");
  CHECK(map.members().size() == model.parameters().all().size());
  for (const JsonMember& member : map.members()) {
    const io::SafetensorsReader shard(target / ("out/" + *member.value.if_string()));
    CHECK(shard.contains(member.key));
  }
  int64_t total = 0;
  for (const model::Parameter& parameter : model.parameters().all())
    total += 4 * parameter.elements;
  CHECK(JsonView(index).at("metadata").at("total_size").integer() == total);
  CHECK(same_weights(*io::load_model(target / "out").model, model));
}

TEST_CASE("what a format cannot hold is refused by name") {
  using enum io::ExportFormat;
  const auto llama2c_fp32 = options_of(llama2c, io::ExportType::fp32);
  const auto contains = [](const std::string& text, const char* part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  model::Config config = small_config();
  config.qk_norm = true;
  contains(refusal(config, llama2c_fp32), "qk_norm");
  config.qkv_bias = true;
  contains(refusal(config, options_of(hugging_face, io::ExportType::fp32)), "qkv_bias");
  contains(refusal(config, options_of(gguf, io::ExportType::fp32)), "qkv_bias");
  config = small_config();
  config.qkv_bias = true;
  contains(refusal(config, llama2c_fp32), "qkv_bias");
  config.rope_scaling_factor = 8;
  config.rope_low_frequency_factor = 1;
  config.rope_high_frequency_factor = 4;
  config.rope_original_context_length = 64;
  contains(refusal(config, options_of(gguf, io::ExportType::fp32)), "RoPE scaling");
  config.qkv_bias = false;
  contains(refusal(config, llama2c_fp32), "RoPE scaling");
  config = small_config();
  config.rope_theta = 1e6;
  contains(refusal(config, llama2c_fp32), "rope_theta");
  config = small_config();
  config.norm_epsilon = 1e-6;
  contains(refusal(config, llama2c_fp32), "norm_epsilon");
  config = small_config();
  config.head_dim = 32;
  contains(refusal(config, llama2c_fp32), "head_dim");
  const Status no_such_type = Status::unsupported_option;
  contains(refusal(small_config(), options_of(llama2c, io::ExportType::fp16), no_such_type),
           "fp16");
  contains(refusal(small_config(), options_of(hugging_face, io::ExportType::q8_0), no_such_type),
           "q8_0");
  config = small_config();
  config.intermediate_size = 80; // rows of 2.5 blocks in down_proj
  contains(refusal(config, options_of(gguf, io::ExportType::q8_0)), "down_proj");
}

TEST_CASE("a directory is replaced only if an export wrote it") {
  TemporaryDirectory target;
  const auto options = options_of(io::ExportFormat::hugging_face, io::ExportType::fp32);
  RandomModel model(small_config());
  io::export_model(model, target / "out", options);
  model.weights()[0] += 1;
  io::export_model(model, target / "out", options);
  CHECK(same_weights(*io::load_model(target / "out").model, model));

  std::filesystem::create_directory(target / "mine");
  test::put(target / "mine/config.json", "{\"model_type\":\"llama\"}");
  test::put(target / "mine/thesis.txt", "years of work");
  CHECK(test::error_of([&] { io::export_model(model, target / "mine", options); })->status() ==
        Status::invalid_argument);
  CHECK(test::get(target / "mine/thesis.txt") == "years of work");
}

TEST_CASE("an export that fails leaves what was there") {
  const RandomModel model(small_config());
  for (const auto format :
       {io::ExportFormat::hugging_face, io::ExportFormat::llama2c, io::ExportFormat::gguf}) {
    CAPTURE(static_cast<int>(format));
    TemporaryDirectory target;
    const auto options = options_of(format, io::ExportType::fp32);
    io::export_model(model, target / "out", options);
    RandomModel changed(small_config());
    changed.weights()[5] = 7;
    for (int64_t call = 0;; ++call) {
      test::FaultyFileSystem files;
      files.fail_at = call;
      files.error = ENOSPC;
      const auto error =
          test::error_of([&] { io::export_model(changed, target / "out", options, {}, files); });
      if (!files.failed) {
        CHECK(!error);
        CHECK(same_weights(*io::load_model(target / "out").model, changed));
        break;
      }
      // Old or, when only the last flush failed, new: never a mixture.
      const io::LoadedModel seen = io::load_model(target / "out");
      CHECK((same_weights(*seen.model, model) || same_weights(*seen.model, changed)));
      REQUIRE(call < 10'000);
    }
    CHECK(target.names() == std::vector<std::string>{"out"});
  }
}

TEST_CASE("the companion's tokenizer, template and special tokens go along") {
  TemporaryDirectory target;
  std::filesystem::create_directory(target / "base");
  test::put(target / "base/config.json", R"({"bos_token_id":1,"eos_token_id":[2,3]})");
  test::put(target / "base/tokenizer.json", R"({
    "added_tokens":[{"id":5,"content":"<s>","special":true},{"id":6,"content":"<x>","special":false}],
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]},
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b",["ab","c"]]}})");
  test::put(
      target / "base/tokenizer_config.json",
      R"({"bos_token":"<s>","eos_token":{"content":"<x>"},"chat_template":"{{ messages }}"})");
  const RandomModel model(small_config());
  io::ExportOptions options = options_of(io::ExportFormat::hugging_face, io::ExportType::fp32);
  options.companion = target / "base";
  io::export_model(model, target / "out", options);
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    CHECK(test::get(target / ("out/" + std::string(name))) ==
          test::get(target / ("base/" + std::string(name))));
  CHECK(io::open_model(target / "out")->extras().stop_ids == std::vector<int32_t>{2, 3});
  CHECK(io::open_model(target / "out")->extras().tokenizer_path == target / "out/tokenizer.json");

  options.format = io::ExportFormat::gguf;
  io::export_model(model, target / "out.gguf", options);
  const std::string bytes = test::get(target / "out.gguf");
  const io::GgufFile file(std::as_bytes(std::span(bytes)), "out.gguf");
  CHECK(file.string("tokenizer.ggml.model") == "gpt2");
  CHECK(file.string("tokenizer.ggml.pre") == "gpt-2");
  CHECK(file.string("tokenizer.chat_template") == "{{ messages }}");
  CHECK(file.integer("tokenizer.ggml.bos_token_id", 0, 100) == 5);
  CHECK(file.integer("tokenizer.ggml.eos_token_id", 0, 100) == 6);
  CHECK(file.boolean("tokenizer.ggml.add_bos_token") == true);
  const auto* tokens = std::get_if<io::GgufArray>(file.find("tokenizer.ggml.tokens"));
  REQUIRE(tokens != nullptr);
  CHECK(tokens->count == 32);

  test::put(target / "base/tokenizer.json", R"({"pre_tokenizer":{"type":"Whitespace"},
    "model":{"type":"BPE","vocab":{"a":0},"merges":[]}})");
  const auto error = test::error_of([&] { io::export_model(model, target / "b.gguf", options); });
  REQUIRE(error);
  CHECK(error->status() == Status::unsupported);
  options.format = io::ExportFormat::llama2c;
  CHECK(test::error_of([&] { io::export_model(model, target / "b.bin", options); })->status() ==
        Status::unsupported);
}
