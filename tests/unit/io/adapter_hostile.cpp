// Adapters that are damaged, foreign or of a kind that we do not have, and disks that fail.
#include "base/json.h"
#include "io/adapter_file/adapter_file.h"
#include "io/safetensors.h"
#include "test_files.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

using namespace anet;
using test::TemporaryDirectory;

namespace {

const std::string adapters = "tests/golden/adapters/";
const std::string q_proj = "base_model.model.model.layers.0.self_attn.q_proj";

std::shared_ptr<model::Model> base_model(const std::string& name = "qwen3") {
  return io::load_model("tests/golden/model_files/" + name).model;
}

// A golden adapter whose settings and tensors can be changed.
class Forgery {
public:
  explicit Forgery(const std::string& golden = "lora", const char* model = "qwen3")
      : base_(base_model(model)), mlx_(golden.starts_with("mlx")) {
    config = Json::parse(test::get(adapters + golden + "/adapter_config.json"));
    const io::SafetensorsReader file(adapters + golden + "/" + weights_name());
    for (const io::SafetensorsEntry& entry : file.entries()) {
      const io::TensorView view = file.tensor(entry);
      infos[entry.name] = view;
      bytes[entry.name].assign(view.data.begin(), view.data.end());
    }
    write();
  }
  void expect(Status status, const std::vector<std::string>& parts) {
    write();
    const auto error = test::error_of([&] { io::load_adapter(directory_ / "adapter", base_); });
    REQUIRE(error.has_value());
    CAPTURE(error->message());
    CHECK(error->status() == status);
    for (const std::string& part : parts) CHECK(error->message().find(part) != std::string::npos);
  }
  void refuse(const char* key, Json value) {
    const Json before = config;
    config.set(key, std::move(value));
    CAPTURE(key);
    expect(Status::unsupported, {key});
    config = before;
  }
  void accept() {
    write();
    CHECK_FALSE(
        test::error_of([&] { io::load_adapter(directory_ / "adapter", base_); }).has_value());
  }
  std::string path(const std::string& name = {}) const {
    return directory_ / (name.empty() ? "adapter" : "adapter/" + name);
  }

  Json config;
  std::map<std::string, io::TensorInfo> infos;
  std::map<std::string, std::vector<std::byte>> bytes;

private:
  const char* weights_name() const {
    return mlx_ ? "adapters.safetensors" : "adapter_model.safetensors";
  }
  void write() {
    create_directories(path());
    test::put(path("adapter_config.json"), config.to_string());
    std::vector<io::TensorView> views;
    for (const auto& [name, info] : infos) {
      io::TensorView& view = views.emplace_back();
      static_cast<io::TensorInfo&>(view) = info;
      view.name = name;
      view.data = bytes.at(name);
    }
    io::save_safetensors(path(weights_name()), views);
  }

  TemporaryDirectory directory_;
  std::shared_ptr<model::Model> base_;
  bool mlx_;
};

} // namespace

TEST_CASE("settings that we do not have are refused by name") {
  Forgery forgery;
  forgery.accept();
  forgery.refuse("peft_type", "IA3");
  forgery.refuse("bias", "all");
  forgery.refuse("fan_in_fan_out", true);
  forgery.refuse("lora_bias", true);
  forgery.refuse("modules_to_save", Json::Array{"lm_head"});
  forgery.refuse("layer_replication", Json::Array{Json::Array{0, 1}});
  forgery.refuse("trainable_token_indices", Json::Array{1});
  forgery.refuse("target_parameters", Json::Array{"x"});
  forgery.refuse("alora_invocation_tokens", Json::Array{1});
  forgery.refuse("use_qalora", true);
  forgery.refuse("init_lora_weights", "pissa");
  forgery.refuse("init_lora_weights", "olora");
  forgery.refuse("something_new", 1);
  for (const char* name : {"gaussian", "eva", "orthogonal"}) {
    forgery.config.set("init_lora_weights", name);
    forgery.accept();
  }
  forgery.config.set("init_lora_weights", false).set("something_new", nullptr);
  forgery.accept();
}

TEST_CASE("settings of a wrong kind are refused") {
  const auto expect = [](const char* key, Json value, Status status = Status::invalid_data) {
    Forgery forgery;
    forgery.config.set(key, std::move(value));
    CAPTURE(key);
    forgery.expect(status, {});
  };
  expect("r", 0);
  expect("r", 1e9);
  expect("r", "8");
  expect("lora_alpha", "8");
  expect("lora_alpha", -1, Status::invalid_argument);
  expect("lora_dropout", 1.5, Status::invalid_argument);
  expect("target_modules", 3);
  expect("target_modules", "(", Status::unsupported);
  expect("target_modules", Json::Array{"nothing"});
  expect("target_modules", nullptr);
  expect("rank_pattern", Json::object().set("q_proj", 0));
  expect("rank_pattern", Json::object().set("(", 1), Status::unsupported);
  expect("alpha_pattern", Json::object().set("q_proj", "x"));
  expect("alpha_pattern", Json::object().set("q_proj", -1));
  expect("layers_to_transform", Json::Array{"x"});
}

TEST_CASE("missing, extra and misshapen tensors are listed in one error") {
  Forgery forgery;
  forgery.infos.erase(q_proj + ".lora_A.weight");
  forgery.infos[q_proj + ".lora_C.weight"] = forgery.infos[q_proj + ".lora_B.weight"];
  forgery.bytes[q_proj + ".lora_C.weight"] = forgery.bytes[q_proj + ".lora_B.weight"];
  forgery.infos[q_proj + ".lora_B.weight"].shape = {4, 64};
  forgery.expect(Status::invalid_data, {"q_proj.lora_A.weight' is missing",
                                        "q_proj.lora_B.weight' has shape [4, 64], expected [64, 4]",
                                        "q_proj.lora_C.weight' is not part of the adapter"});
  Forgery typed;
  typed.infos[q_proj + ".lora_A.weight"].dtype = mil::DataType::int32;
  typed.expect(Status::invalid_data, {"has type I32, expected F32, F16 or BF16"});
  Forgery ranked;
  ranked.config.set("rank_pattern", Json::object().set("q_proj", 2));
  ranked.expect(Status::invalid_data,
                {"q_proj.lora_A.weight' has shape [4, 32], expected [2, 32]"});
}

TEST_CASE("an adapter of another model is refused") {
  Forgery forgery("rslora", "qwen3"); // heads of another size
  forgery.expect(Status::invalid_data, {"has shape [32, 4], expected [64, 4]"});
  Forgery tied("embedding", "qwen2");
  tied.expect(Status::unsupported, {"lm_head"});
}

TEST_CASE("trained weights of the embedding are refused, copies of it are not") {
  Forgery forgery("embedding", "llama");
  forgery.accept();
  const std::string name = "base_model.model.model.embed_tokens.base_layer.weight";
  REQUIRE(forgery.infos.contains(name));
  forgery.bytes.at(name)[7] ^= std::byte{0x40};
  forgery.expect(Status::unsupported, {"model.embed_tokens.weight"});
  forgery.infos.erase(name);
  forgery.accept();
}

TEST_CASE("mlx-lm's settings are checked") {
  const auto lora = [](const char* key, Json value) {
    Forgery forgery("mlx");
    Json parameters = *forgery.config.find("lora_parameters");
    parameters.set(key, std::move(value));
    forgery.config.set("lora_parameters", std::move(parameters));
    return forgery.config;
  };
  const auto expect = [](Json config, Status status, const char* part) {
    Forgery forgery("mlx");
    forgery.config = std::move(config);
    forgery.expect(status, {part});
  };
  expect(lora("rank", 0), Status::invalid_data, "rank");
  expect(lora("scale", 0), Status::invalid_data, "scale");
  expect(lora("scale", nullptr), Status::invalid_data, "scale");
  expect(lora("rank", 2), Status::invalid_data, "has shape [32, 3], expected [32, 2]");
  expect(lora("keys", Json::Array{"self_attn.q_proj"}), Status::invalid_data,
         "k_proj.lora_a' is not part of the adapter");
  expect(lora("keys", Json::Array{"x"}), Status::invalid_data, "none of them");
  Forgery full("mlx");
  full.config.set("fine_tune_type", "full");
  full.expect(Status::unsupported, {"seen 'full'"});
  Forgery all("mlx");
  all.config.set("num_layers", -1);
  all.expect(Status::invalid_data, {"model.layers.0.self_attn.q_proj.lora_a' is missing"});
}

TEST_CASE("what is no adapter is refused") {
  const TemporaryDirectory target;
  const auto base = base_model();
  const auto status = [&](const std::string& path) {
    const auto error = test::error_of([&] { io::load_adapter(path, base); });
    REQUIRE(error.has_value());
    return error->status();
  };
  CHECK(status(target / "none") == Status::file_not_found);
  create_directories(target / "empty");
  CHECK(status(target / "empty") == Status::file_not_found);
  test::put(target / "empty/adapter_config.json", "{}");
  CHECK(status(target / "empty") == Status::file_not_found); // no weights
  test::put(target / "empty/adapter_model.safetensors", "x");
  CHECK(status(target / "empty") == Status::invalid_data);
  for (const char* text : {"", "[]", "{\"peft_type\":", "{\"peft_type\":\"LORA\"}", "null"}) {
    Forgery forgery;
    test::put(forgery.path("adapter_config.json"), text);
    CHECK(status(forgery.path()) == Status::invalid_data);
  }
}

TEST_CASE("directories with other things are not replaced") {
  const TemporaryDirectory target;
  const auto adapter = io::load_adapter(adapters + "lora", base_model());
  const auto status = [&](const std::string& path) {
    const auto error = test::error_of([&] { io::save_adapter(*adapter, path); });
    return error ? error->status() : Status::ok;
  };
  create_directories(target / "out");
  CHECK(status(target / "out") == Status::ok); // it was empty
  test::put(target / "out/notes.txt", "mine");
  CHECK(status(target / "out") == Status::invalid_argument);
  CHECK(test::get(target / "out/notes.txt") == "mine");
  test::put(target / "file", "mine");
  CHECK(status(target / "file") == Status::invalid_argument);
  CHECK(test::get(target / "file") == "mine");
}

TEST_CASE("a save that fails leaves the earlier adapter") {
  using Format = io::AdapterFormat;
  const auto base = base_model();
  const auto first = io::load_adapter(adapters + "lora", base);
  model::LoraOptions options;
  options.targets = {"v_proj"};
  const model::Adapter second(base, options, 1);
  for (const Format format : {Format::peft, Format::mlx}) {
    const TemporaryDirectory target;
    io::save_adapter(*first, target / "out", {.format = format});
    for (int64_t call = 0;; ++call) {
      test::FaultyFileSystem files;
      files.fail_at = call;
      files.error = ENOSPC;
      const auto error = test::error_of(
          [&] { io::save_adapter(second, target / "out", {.format = format}, files); });
      const size_t modules = io::load_adapter(target / "out", base)->modules().size();
      CHECK(files.open_files == 0);
      if (!files.failed) {
        CHECK(!error);
        CHECK(modules == 2);
        break;
      }
      CHECK((modules == 2 || modules == 14));
      REQUIRE(call < 1000);
    }
    CHECK(target.names() == std::vector<std::string>{"out"});
  }
}

TEST_CASE("a load that fails tells so") {
  const auto base = base_model();
  for (const char* golden : {"lora", "mlx"}) {
    for (int64_t call = 0;; ++call) {
      test::FaultyFileSystem files;
      files.fail_at = call;
      size_t modules = 0;
      const auto error = test::error_of(
          [&] { modules = io::load_adapter(adapters + golden, base, files)->modules().size(); });
      CHECK(files.open_files == 0);
      // What has been read may be closed with an error.
      if (!error) CHECK(modules == (golden == std::string("lora") ? 14 : 3));
      if (!files.failed) {
        CHECK_FALSE(error.has_value());
        break;
      }
      REQUIRE(call < 1000);
    }
  }
}
