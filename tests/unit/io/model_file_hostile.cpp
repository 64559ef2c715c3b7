// Model files made to do harm: each is refused with an error that names what is wrong.
#include "io/model_file/gguf_file.h"
#include "io/model_file/hugging_face_config.h"
#include "io/model_file/model_source.h"
#include "io/safetensors.h"
#include "test_files.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

using namespace anet;
using test::TemporaryDirectory;

namespace {

const std::string folder = "tests/golden/model_files/";

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_text(std::string& out, const std::string& text) {
  append<uint64_t>(out, text.size());
  out += text;
}

template <typename T>
void replace(std::string& bytes, size_t offset, T value) {
  std::memcpy(&bytes[offset], &value, sizeof(value));
}

// The error of opening these bytes as a file; "no error" if there is none.
Error open_error(const std::string& bytes) {
  TemporaryDirectory target;
  test::put(target / "model", bytes);
  const auto error = test::error_of([&] { io::load_model(target / "model"); });
  return error ? *error : Error(Status::ok, "no error");
}

void check_refused(const std::string& bytes, const char* part) {
  const Error error = open_error(bytes);
  INFO(error.message());
  CHECK(error.status() != Status::ok);
  CHECK(error.message().find(part) != std::string::npos);
}

std::string gguf_start(uint64_t tensors, uint64_t keys) {
  std::string bytes = "GGUF";
  append<uint32_t>(bytes, 3);
  append<uint64_t>(bytes, tensors);
  append<uint64_t>(bytes, keys);
  return bytes;
}

void append_tensor(std::string& out, const std::string& name, std::vector<uint64_t> extents,
                   uint32_t type, uint64_t offset) {
  append_text(out, name);
  append<uint32_t>(out, static_cast<uint32_t>(extents.size()));
  for (const uint64_t extent : extents) append(out, extent);
  append(out, type);
  append(out, offset);
}

std::string gguf_message(const std::string& bytes) {
  return test::message_of(
      [&] { io::GgufFile(std::as_bytes(std::span(bytes.data(), bytes.size())), "file"); });
}

// A copy of a golden directory whose config.json has been edited.
class EditedModel {
public:
  explicit EditedModel(const std::string& name) : name_(name) {
    std::filesystem::copy(folder + name, target_ / name, std::filesystem::copy_options::recursive);
  }
  std::string path(const std::string& file = "") const { return target_ / (name_ + "/" + file); }
  Error set(const std::string& key, const std::string& value) {
    Json config = Json::parse(test::get(folder + name_ + "/config.json"));
    config.set(key, Json::parse(value));
    test::put(path("config.json"), config.to_string());
    return load();
  }
  Error load() const {
    const auto error = test::error_of([&] { io::load_model(path()); });
    return error ? *error : Error(Status::ok, "no error");
  }

private:
  std::string name_;
  TemporaryDirectory target_;
};

} // namespace

TEST_CASE("every truncation of every golden file is refused") {
  for (const char* name :
       {"untied-v2.bin", "untied-v1.bin", "tied-v0.bin", "v4.blzt", "qwen3-q4_0.gguf"}) {
    CAPTURE(name);
    const std::string bytes = test::get(folder + name);
    REQUIRE(bytes.size() > 5000);
    TemporaryDirectory target;
    size_t accepted = 0;
    // Every length of the headers, then every 61st.
    for (size_t size = 0; size < bytes.size(); size += size < 3000 ? 1 : 61) {
      test::put(target / "model", bytes.substr(0, size));
      const auto error = test::error_of([&] { io::open_model(target / "model"); });
      accepted += !error;
    }
    CHECK(accepted == 0);
    CHECK(open_error(bytes).message() == "no error");
    if (std::string(name).find("gguf") == std::string::npos) // whose data may have a tail
      check_refused(bytes + "x", "expected the end of the file");
  }
}

TEST_CASE("files of no known format are refused") {
  for (const std::string& bytes : {std::string(), std::string("GGU"), std::string(100, 'x'),
                                   std::string("PK\3\4") + std::string(60, '\0')}) {
    const Error error = open_error(bytes);
    CHECK(error.status() == Status::invalid_data);
  }
  CHECK(test::error_of([] { io::open_model("/nowhere/model"); })->status() ==
        Status::file_not_found);
  TemporaryDirectory empty;
  CHECK(test::error_of([&] { io::open_model(empty.path()); })->status() == Status::invalid_data);
}

TEST_CASE("GGUF: counts, lengths and types that lie") {
  constexpr uint64_t huge = std::numeric_limits<uint64_t>::max();
  CHECK(gguf_message(gguf_start(huge, 0)).find("bytes to the end") != std::string::npos);
  CHECK(gguf_message(gguf_start(0, huge)).find("bytes to the end") != std::string::npos);
  std::string bytes = gguf_start(0, 1);
  append<uint64_t>(bytes, huge); // a key's length
  CHECK(gguf_message(bytes).find("at most 65535 bytes for a key") != std::string::npos);
  const auto with_value = [](uint32_t type, auto... parts) {
    std::string text = gguf_start(0, 1);
    append_text(text, "k");
    append(text, type);
    (append(text, parts), ...);
    return gguf_message(text);
  };
  CHECK(with_value(8, huge).find("'k'") == std::string::npos);
  CHECK(with_value(8, huge) != "no error");                           // a string
  CHECK(with_value(9, uint32_t{4}, huge) != "no error");              // an array of numbers
  CHECK(with_value(9, uint32_t{4}, uint64_t{1} << 62) != "no error"); // times 4 overflows
  CHECK(with_value(9, uint32_t{8}, uint64_t{1} << 62) != "no error"); // of strings
  CHECK(with_value(9, uint32_t{9}, uint64_t{1}).find("type 9") != std::string::npos); // of arrays
  CHECK(with_value(13).find("seen 13") != std::string::npos);
  std::string twice = gguf_start(0, 2);
  for (int i = 0; i < 2; ++i) {
    append_text(twice, "general.name");
    append<uint32_t>(twice, 7);
    append<uint8_t>(twice, 1);
  }
  CHECK(gguf_message(twice).find("seen 'general.name' twice") != std::string::npos);
  std::string big_endian = gguf_start(0, 0);
  replace<uint32_t>(big_endian, 4, 3u << 24);
  CHECK(gguf_message(big_endian).find("big-endian") != std::string::npos);
  replace<uint32_t>(big_endian, 4, 99);
  CHECK(gguf_message(big_endian).find("seen 99") != std::string::npos);
}

TEST_CASE("GGUF: tensors that overflow, overlap or lie outside") {
  const auto with_tensors = [](const std::string& table, uint64_t count, size_t data) {
    std::string bytes = gguf_start(count, 0) + table;
    bytes.append((32 - bytes.size() % 32) % 32, '\0');
    return gguf_message(bytes + std::string(data, '\0'));
  };
  const auto one = [&](std::vector<uint64_t> extents, uint32_t type, uint64_t offset) {
    std::string table;
    append_tensor(table, "a", extents, type, offset);
    return with_tensors(table, 1, 256);
  };
  CHECK(one({8, 8}, 0, 0) == "no error");
  CHECK(one({8, 9}, 0, 0).find("does not fit") != std::string::npos);
  CHECK(one({uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0).find("does not fit") !=
        std::string::npos);
  CHECK(one({std::numeric_limits<uint64_t>::max()}, 0, 0).find("too large") != std::string::npos);
  CHECK(one({8}, 0, 16).find("multiple of 32") != std::string::npos);
  CHECK(one({8}, 0, uint64_t{1} << 60).find("seen 1152921504606846976") != std::string::npos);
  CHECK(one({33}, 8, 0).find("does not fit") != std::string::npos); // part of a block
  CHECK(one({1, 1, 1, 1, 1}, 0, 0).find("1 to 4 dimensions") != std::string::npos);
  std::string overlap;
  append_tensor(overlap, "a", {16}, 0, 0);
  append_tensor(overlap, "b", {16}, 0, 32);
  CHECK(with_tensors(overlap, 2, 256).find("overlap at offset 32") != std::string::npos);
  std::string twice;
  append_tensor(twice, "a", {8}, 0, 0);
  append_tensor(twice, "a", {8}, 0, 32);
  CHECK(with_tensors(twice, 2, 256).find("'a' twice") != std::string::npos);
}

TEST_CASE("llama2.c and BLZT: headers that lie") {
  std::string bytes = test::get(folder + "tied-v0.bin");
  replace<int32_t>(bytes, 8, 1 << 20); // layers
  check_refused(bytes, "llama2.c header");
  bytes = test::get(folder + "tied-v0.bin");
  replace<int32_t>(bytes, 0, 1 << 24); // the product of sizes overflows 63 bits with layers
  check_refused(bytes, "bytes to the end");
  replace<int32_t>(bytes, 0, -16);
  check_refused(bytes, "another kind of file");
  bytes = test::get(folder + "untied-v2.bin");
  replace<int32_t>(bytes, 37, 7); // a group size that divides nothing
  check_refused(bytes, "group size");
  replace<int32_t>(bytes, 37, 0);
  check_refused(bytes, "group size");
  replace<int32_t>(bytes, 4, 3);
  check_refused(bytes, "version 1 or 2, seen 3");
  bytes = test::get(folder + "v4.blzt");
  replace<int32_t>(bytes, 84, 1); // kv heads
  check_refused(bytes, "as many kv heads as heads");
  replace<int32_t>(bytes, 92, 15); // q_dim
  check_refused(bytes, "q_dim");
  replace<int32_t>(bytes, 4, 5);
  check_refused(bytes, "BLZT version 2 or 4, seen 5");
}

TEST_CASE("config.json: what changes the arithmetic is refused by name") {
  EditedModel model("llama");
  const auto refused = [&](const char* key, const char* value, const char* part) {
    CAPTURE(key);
    const Error error = model.set(key, value);
    INFO(error.message());
    CHECK(error.status() == Status::unsupported);
    CHECK(error.message().find(part) != std::string::npos);
  };
  refused("architectures", R"(["MistralForCausalLM"])", "MistralForCausalLM");
  refused("quantization_config", R"({"bits":4})", "quantization_config");
  refused("attention_bias", "true", "o_proj");
  refused("mlp_bias", "true", "mlp_bias");
  refused("hidden_act", R"("gelu")", "gelu");
  refused("partial_rotary_factor", "0.5", "partial_rotary_factor");
  refused("sliding_window", "16", "sliding_window");
  refused("layer_types", R"(["full_attention","sliding_attention"])", "sliding_attention");
  refused("rope_interleaved", "true", "rope_interleaved");
  refused("num_local_experts", "8", "num_local_experts");
  refused("rope_parameters", R"({"rope_type":"yarn","rope_theta":1e4,"factor":4})", "yarn");
  refused("rope_parameters", R"({"full_attention":{"rope_theta":1e4}})", "full_attention");
  refused("rope_scaling", R"({"type":"linear","factor":2})", "linear");
  CHECK(model.set("rope_theta", "20000").status() == Status::invalid_config); // and 10000 elsewhere
  CHECK(model.set("vocab_size", "-1").status() == Status::invalid_config);
  CHECK(model.set("num_hidden_layers", "2000000000").status() == Status::invalid_config);
  CHECK(model.set("rms_norm_eps", "0").status() == Status::invalid_config);
  CHECK(model.set("eos_token_id", "128").status() == Status::invalid_config);
  CHECK(model.set("quantization_config", "null").status() == Status::ok);
  test::put(model.path("config.json"), std::string(200'000, '['));
  CHECK(model.load().status() == Status::invalid_config);
}

TEST_CASE("config.json of transformers 4 and 5 mean the same, and theta is never guessed") {
  const auto read = [](const std::string& rope) {
    const Json json =
        Json::parse(R"({"architectures":["LlamaForCausalLM"],"vocab_size":64,"hidden_size":32,)"
                    R"("intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":4,)"
                    R"("max_position_embeddings":64,"rms_norm_eps":1e-5)" +
                    rope + "}");
    return io::read_hugging_face_config(JsonView(json)).config;
  };
  const std::string scaling = R"("factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
                              R"("original_max_position_embeddings":8192)";
  const model::Config old =
      read(R"(,"rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3",)" + scaling + "}");
  const model::Config older =
      read(R"(,"rope_theta":500000.0,"rope_scaling":{"type":"llama3",)" + scaling + "}");
  const model::Config latest =
      read(R"(,"rope_parameters":{"rope_type":"llama3","rope_theta":500000.0,)" + scaling + "}");
  CHECK(old == latest);
  CHECK(older == latest);
  CHECK(old.rope_scaling_factor == 32);
  CHECK(old.rope_original_context_length == 8192);
  CHECK(read(R"(,"rope_theta":1e6,"rope_scaling":null)").rope_theta == 1e6);
  CHECK(test::message_of([&] { read(""); }).find("seen neither") != std::string::npos);
  CHECK(test::message_of([&] {
          read(R"(,"rope_parameters":{"rope_type":"default"})");
        }).find("seen neither") != std::string::npos);
}

TEST_CASE("missing, extra, misshapen and wrongly typed tensors are listed in one error") {
  EditedModel model("qwen3");
  const io::SafetensorsReader original(folder + "qwen3/model.safetensors");
  std::vector<io::TensorView> tensors;
  for (const io::SafetensorsEntry& entry : original.entries()) {
    io::TensorView view = original.tensor(entry);
    if (entry.name == "model.norm.weight") continue;
    if (entry.name == "lm_head.weight") view.shape = {64, 64};
    if (entry.name == "model.layers.0.self_attn.q_norm.weight") view.dtype = mil::DataType::int32;
    if (entry.name == "model.layers.1.mlp.up_proj.weight")
      view.name = "model.layers.1.mlp.up.weight";
    tensors.push_back(view);
  }
  io::save_safetensors(model.path("model.safetensors"), tensors);
  const Error error = model.load();
  CHECK(error.status() == Status::invalid_data);
  for (const char* part : {"'model.norm.weight' is missing", "'lm_head.weight' has shape",
                           "'model.layers.0.self_attn.q_norm.weight' has type I32",
                           "'model.layers.1.mlp.up_proj.weight' is missing",
                           "'model.layers.1.mlp.up.weight' is not part of the model"}) {
    INFO(error.message());
    CHECK(error.message().find(part) != std::string::npos);
  }
}

TEST_CASE("an index that leads elsewhere or lies is refused") {
  EditedModel model("llama");
  const std::string index = model.path("model.safetensors.index.json");
  for (const char* name : {"../llama/model-00001-of-00004.safetensors", "/etc/passwd", "", ".."}) {
    Json map = Json::object();
    map.set("lm_head.weight", name);
    Json json = Json::object();
    json.set("weight_map", map);
    test::put(index, json.to_string());
    CHECK(model.load().message().find("in the same directory") != std::string::npos);
  }
  Json json = Json::parse(test::get(folder + "llama/model.safetensors.index.json"));
  Json map = *json.find("weight_map");
  map.set("model.ghost.weight", "model-00001-of-00004.safetensors");
  json.set("weight_map", map);
  test::put(index, json.to_string());
  CHECK(model.load().message().find("'model.ghost.weight' is not in") != std::string::npos);
  std::filesystem::remove(index);
  CHECK(model.load().status() == Status::file_not_found);
}

TEST_CASE("prefixes, copies of tied embeddings and stored frequencies are understood") {
  EditedModel model("qwen2");
  const io::SafetensorsReader original(folder + "qwen2/model.safetensors");
  std::vector<io::TensorView> tensors;
  for (const io::SafetensorsEntry& entry : original.entries()) {
    tensors.push_back(original.tensor(entry));
    tensors.back().name = "language_model." + entry.name;
  }
  io::TensorView head = original.tensor("model.embed_tokens.weight");
  head.name = "language_model.lm_head.weight";
  tensors.push_back(head);
  io::TensorView frequencies = original.tensor("model.norm.weight");
  frequencies.name = "language_model.model.layers.0.self_attn.rotary_emb.inv_freq";
  tensors.push_back(frequencies);
  io::save_safetensors(model.path("model.safetensors"), tensors);
  const io::LoadedModel seen = io::load_model(model.path());
  const io::LoadedModel plain = io::load_model(folder + "qwen2");
  CHECK(std::equal(seen.model->weights().begin(), seen.model->weights().end(),
                   plain.model->weights().begin()));
}

TEST_CASE("NaN and infinite weights are counted by tensor") {
  EditedModel model("qwen3");
  const io::LoadedModel loaded = io::load_model(model.path());
  std::vector<io::TensorView> tensors;
  std::vector<float> norm(32, 1.0f);
  norm[3] = norm[4] = std::numeric_limits<float>::quiet_NaN();
  norm[5] = -std::numeric_limits<float>::infinity();
  for (const model::Parameter& parameter : loaded.model->parameters().all())
    tensors.push_back(io::float_tensor(parameter.name, parameter.shape,
                                       parameter.name == "model.norm.weight"
                                           ? std::span<const float>(norm)
                                           : loaded.model->values(parameter)));
  io::save_safetensors(model.path("model.safetensors"), tensors);
  CHECK(io::load_model(model.path()).warnings ==
        std::vector<std::string>{"model.norm.weight: 2 values are NaN",
                                 "model.norm.weight: 1 value is infinite"});
}
