#include "support.h"

#include <unistd.h>

#include <cmath>
#include <set>

using namespace test;

namespace {

Outcome config_from(const std::string& json, anet_model_config& config) {
  return attempt(anet_model_config_from_json, json.c_str(), &config);
}

anet_status create_status(const anet_model_config& config, const std::string& names) {
  anet_model* model = nullptr;
  const Outcome outcome = attempt(anet_model_create, &config, uint64_t{1}, &model);
  CHECK((model != nullptr) == (outcome.status == ANET_OK));
  CHECK_MESSAGE(outcome.says(names), outcome.message);
  anet_model_release(model);
  return outcome.status;
}

size_t index_of(const anet_model* model, const char* name) {
  size_t index = 0;
  must(anet_model_find_parameter, model, name, &index);
  return index;
}

std::vector<float> read(const anet_model* model, size_t index) {
  auto parameter = initialised<anet_parameter>();
  must(anet_model_get_parameter, model, index, &parameter);
  std::vector<float> values(parameter.element_count);
  must(anet_model_read_parameter, model, index, values.data(), values.size());
  return values;
}

std::vector<std::vector<float>> all_parameters(const anet_model* model) {
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < anet_model_parameter_count(model); ++i) values.push_back(read(model, i));
  return values;
}

} // namespace

TEST_CASE("built-in configurations can be listed and fetched") {
  std::set<std::string> names;
  for (size_t i = 0; i < anet_model_config_count(); ++i) {
    const char* name = anet_model_config_name(i);
    names.insert(name);
    auto config = initialised<anet_model_config>();
    must(anet_model_config_get, name, &config);
    CHECK(config.vocab_size > 0);
    CHECK(config.head_dim * config.head_count > 0);
  }
  CHECK(names.count("stories15M") == 1);
  CHECK(anet_model_config_name(anet_model_config_count()) == nullptr);
  // From the model's published config.json.
  auto qwen = initialised<anet_model_config>();
  must(anet_model_config_get, "qwen3-0.6b", &qwen);
  CHECK(qwen.hidden_size == 1024);
  CHECK(qwen.layer_count == 28);
  CHECK(qwen.kv_head_count == 8);
  CHECK(qwen.qk_norm == 1);
  CHECK(qwen.rope_theta == 1e6);

  const Outcome outcome = attempt(anet_model_config_get, "stories15m", &qwen);
  CHECK(outcome.status == ANET_E_NOT_FOUND);
  CHECK(outcome.says("stories15M"));
}

TEST_CASE("JSON changes the fields that it names") {
  anet_model_config config = tiny_config();
  CHECK(config_from(R"({"hidden_size": 48, "tie_embeddings": false, "rope_theta": 5e5})", config)
            .status == ANET_OK);
  CHECK(config.hidden_size == 48);
  CHECK(config.tie_embeddings == 0);
  CHECK(config.rope_theta == 5e5);
  CHECK(config.layer_count == 2);
  CHECK(config.struct_size == sizeof(config));
}

TEST_CASE("bad JSON leaves the configuration alone") {
  anet_model_config config = tiny_config();
  Outcome outcome = config_from("{\"hidden_size\": 48,\n  \"layer_count\" 3}", config);
  CHECK(outcome.status == ANET_E_INVALID_CONFIG);
  CHECK(outcome.line == 2);
  CHECK(outcome.column > 1);

  outcome = config_from(R"({"hidden_size": 48, "layer_cuont": 3})", config);
  CHECK(outcome.status == ANET_E_INVALID_CONFIG);
  CHECK(outcome.says("layer_cuont"));
  CHECK(outcome.says("'layer_count'"));

  CHECK(config_from(R"({"hidden_size": "big"})", config).status == ANET_E_INVALID_CONFIG);
  CHECK(config_from(R"({"hidden_size": 3000000000})", config).status == ANET_E_INVALID_CONFIG);
  CHECK(config_from("[]", config).status == ANET_E_INVALID_CONFIG);
  CHECK(config_from("", config).status == ANET_E_INVALID_CONFIG);
  CHECK(attempt(anet_model_config_from_json, nullptr, &config).status == ANET_E_INVALID_ARGUMENT);
  CHECK(config.hidden_size == 32);

  auto uninitialised = tiny_config();
  uninitialised.struct_size = 0;
  CHECK(config_from("{}", uninitialised).status == ANET_E_INVALID_STRUCT_SIZE);
}

TEST_CASE("impossible configurations name the field") {
  anet_model_config config = tiny_config();
  config.vocab_size = 0;
  CHECK(create_status(config, "vocab_size") == ANET_E_INVALID_CONFIG);
  config = tiny_config();
  config.kv_head_count = 3;
  CHECK(create_status(config, "kv_head_count") == ANET_E_INVALID_CONFIG);
  config = tiny_config();
  config.head_dim = 7;
  CHECK(create_status(config, "head_dim") == ANET_E_INVALID_CONFIG);
  config = tiny_config();
  config.norm_epsilon = -1;
  CHECK(create_status(config, "norm_epsilon") == ANET_E_INVALID_CONFIG);
  config = tiny_config();
  config.tie_embeddings = 2;
  CHECK(create_status(config, "tie_embeddings") == ANET_E_INVALID_CONFIG);
}

TEST_CASE("a model has its defaults filled in and the parameters of its shape") {
  const Model model = create_model();
  auto config = initialised<anet_model_config>();
  must(anet_model_get_config, model.get(), &config);
  CHECK(config.head_dim == 8);
  CHECK(config.rope_theta == 10000);
  CHECK(config.norm_epsilon == 1e-5);

  // Embedding (tied), final norm, and per layer: two norms, q and o 32 x 32, k and v 16 x 32, gate
  // and up 64 x 32, down 32 x 64.
  const uint64_t layer = 2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32;
  CHECK(anet_model_weight_count(model.get()) == 258 * 32 + 32 + 2 * layer);
  CHECK(anet_model_parameter_count(model.get()) == 2 + 2 * 9);

  uint64_t end = 0;
  for (size_t i = 0; i < anet_model_parameter_count(model.get()); ++i) {
    auto parameter = initialised<anet_parameter>();
    must(anet_model_get_parameter, model.get(), i, &parameter);
    CHECK(parameter.offset % 16 == 0);
    CHECK(parameter.offset >= end);
    end = parameter.offset + parameter.element_count;
    CHECK(index_of(model.get(), parameter.name) == i);
  }
  auto parameter = initialised<anet_parameter>();
  must(anet_model_get_parameter, model.get(),
       index_of(model.get(), "model.layers.1.self_attn.k_proj.weight"), &parameter);
  CHECK(parameter.rank == 2);
  CHECK(parameter.shape[0] == 16);
  CHECK(parameter.shape[1] == 32);
  CHECK(attempt(anet_model_get_parameter, model.get(), anet_model_parameter_count(model.get()),
                &parameter)
            .status == ANET_E_OUT_OF_RANGE);
  size_t index = 0;
  const Outcome outcome = attempt(anet_model_find_parameter, model.get(),
                                  "model.layers.1.self_attn.k_proj.wieght", &index);
  CHECK(outcome.status == ANET_E_NOT_FOUND);
  CHECK(outcome.says("k_proj.weight"));
}

TEST_CASE("initial weights follow the seed and the documented distribution") {
  const Model model = create_model(1);
  CHECK(all_parameters(model.get()) == all_parameters(create_model(1).get()));
  CHECK(all_parameters(model.get()) != all_parameters(create_model(2).get()));
  for (float value : read(model.get(), index_of(model.get(), "model.norm.weight")))
    CHECK(value == 1);
  const auto deviation = [&](const char* name) {
    const std::vector<float> values = read(model.get(), index_of(model.get(), name));
    double sum = 0;
    for (float value : values) sum += double{value} * value;
    return std::sqrt(sum / static_cast<double>(values.size()));
  };
  // 8256 samples: the deviation is known to about 1 %; the projection's 1024 to about 2 %.
  CHECK(deviation("model.embed_tokens.weight") == doctest::Approx(0.02).epsilon(0.05));
  CHECK(deviation("model.layers.0.self_attn.o_proj.weight") ==
        doctest::Approx(0.02 / std::sqrt(4.0)).epsilon(0.1));
}

TEST_CASE("parameters are written and read whole") {
  const Model model = create_model();
  const size_t index = index_of(model.get(), "model.norm.weight");
  std::vector<float> values(32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  must(anet_model_write_parameter, model.get(), index, values.data(), values.size());
  CHECK(read(model.get(), index) == values);
  for (size_t count : {size_t{0}, size_t{31}, size_t{33}}) {
    CHECK(attempt(anet_model_write_parameter, model.get(), index, values.data(), count).status ==
          ANET_E_SHAPE_MISMATCH);
    CHECK(attempt(anet_model_read_parameter, model.get(), index, values.data(), count).status ==
          ANET_E_SHAPE_MISMATCH);
  }
}

TEST_CASE("a saved model loads with the same bits") {
  const Folder folder;
  const Model model = create_model(7);
  const std::string path = folder.path("weights.safetensors");
  must(anet_model_save, model.get(), path.c_str());
  anet_model* handle = nullptr;
  must(anet_model_load, path.c_str(), nullptr, &handle);
  const Model loaded(handle);
  CHECK(all_parameters(model.get()) == all_parameters(loaded.get()));
  auto before = initialised<anet_model_config>();
  auto after = initialised<anet_model_config>();
  must(anet_model_get_config, model.get(), &before);
  must(anet_model_get_config, loaded.get(), &after);
  CHECK(std::memcmp(&before, &after, sizeof(before)) == 0);
}

TEST_CASE("files that are no models are refused") {
  const Folder folder;
  anet_model* model = nullptr;
  const auto load = [&](const std::string& path) {
    const Outcome outcome = attempt(anet_model_load, path.c_str(), nullptr, &model);
    CHECK(model == nullptr);
    return outcome.status;
  };
  CHECK(load(folder.path("missing")) == ANET_E_FILE_NOT_FOUND);
  write_file(folder.path("garbage"), std::string(100, 'x'));
  CHECK(load(folder.path("garbage")) == ANET_E_INVALID_DATA);
  write_file(folder.path("empty"), "");
  CHECK(load(folder.path("empty")) == ANET_E_INVALID_DATA);
  // Well-formed, but somebody else's.
  std::string foreign = "........{}";
  const uint64_t header = 2;
  std::memcpy(foreign.data(), &header, sizeof(header));
  write_file(folder.path("foreign"), foreign);
  CHECK(load(folder.path("foreign")) == ANET_E_INVALID_CHECKPOINT);

  const std::string path = folder.path("weights.safetensors");
  must(anet_model_save, create_model().get(), path.c_str());
  const std::string whole = read_file(path);
  write_file(path, whole.substr(0, whole.size() - 4));
  CHECK(load(path) == ANET_E_INVALID_DATA);
}

TEST_CASE("saving where nothing can be written") {
  const Model model = create_model();
  CHECK(attempt(anet_model_save, model.get(), "/nonexistent/folder/model.safetensors").status ==
        ANET_E_FILE_NOT_FOUND);
  // Root may write everywhere but into the kernel's own folders.
  const Folder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read);
  const std::string closed = geteuid() != 0 ? folder.path() : "/sys";
  if (std::filesystem::exists(closed)) {
    const Outcome outcome =
        attempt(anet_model_save, model.get(), (closed + "/model.safetensors").c_str());
    CHECK(outcome.status == ANET_E_PERMISSION);
    CHECK(outcome.domain == "errno");
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  CHECK(attempt(anet_model_save, model.get(), "").status == ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_model_save, model.get(), "bad\xff").status == ANET_E_INVALID_ARGUMENT);
}
