// Adapters of PEFT and mlx-lm against what PEFT (for mlx-lm, NumPy) makes of them: see
// tests/golden/adapters/make.py. tests/golden/adapters/check.py has PEFT read ours.
#include "io/adapter_file/adapter_file.h"
#include "io/model_file/gguf_file.h"
#include "io/safetensors.h"
#include "model/merge.h"
#include "test_files.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

using namespace anet;
using test::TemporaryDirectory;

namespace {

const std::string adapters = "tests/golden/adapters/";
const std::string models = "tests/golden/model_files/";

std::shared_ptr<model::Model> base_model(const std::string& name) {
  return io::load_model(models + name).model;
}

struct Golden {
  const char* folder;
  const char* model;
};
const std::vector<Golden> goldens = {
    {"lora", "qwen3"},    {"rslora", "llama"},    {"dora", "qwen2"}, {"patterns", "llama"},
    {"layers", "llama3"}, {"embedding", "llama"}, {"mlx", "qwen3"},  {"mlx-dora", "qwen3"}};

bool same(const model::Adapter& a, const model::Adapter& b) {
  const auto modules = a.modules(), others = b.modules();
  if (modules.size() != others.size()) return false;
  for (size_t i = 0; i < modules.size(); ++i)
    if (modules[i].target.module != others[i].target.module ||
        modules[i].target.rank != others[i].target.rank ||
        modules[i].target.alpha != others[i].target.alpha || modules[i].scale != others[i].scale)
      return false;
  return std::equal(a.weights().begin(), a.weights().end(), b.weights().begin(),
                    b.weights().end()) &&
         a.options().dropout == b.options().dropout && a.options().dora == b.options().dora;
}

} // namespace

TEST_CASE("golden adapters merge to the weights that PEFT has") {
  for (const Golden& golden : goldens) {
    CAPTURE(golden.folder);
    const auto base = base_model(golden.model);
    const auto adapter = io::load_adapter(adapters + golden.folder, base);
    const std::vector<model::WeightedAdapter> one = {{adapter}};
    const auto merged = model::merged_model(*base, one);
    const io::SafetensorsReader expected(adapters + golden.folder + "/expected.safetensors");
    CHECK(expected.entries().size() == adapter->modules().size());
    for (const io::SafetensorsEntry& entry : expected.entries()) {
      CAPTURE(entry.name);
      const std::vector<float> parts = io::to_float(expected.tensor(entry));
      const model::Parameter& parameter = *merged->parameters().find(entry.name);
      const auto values = merged->values(parameter);
      size_t next = 0;
      for (int64_t i = 0; i < parameter.shape[0]; i += 7)
        for (int64_t j = 0; j < parameter.shape[1]; j += 5)
          REQUIRE(values[static_cast<size_t>(i * parameter.shape[1] + j)] ==
                  doctest::Approx(parts.at(next++)).epsilon(1e-5));
      CHECK(next == parts.size());
    }
  }
}

TEST_CASE("settings are those that PEFT wrote") {
  const auto load = [](const char* folder, const char* model) {
    return io::load_adapter(adapters + folder, base_model(model));
  };
  const auto lora = load("lora", "qwen3");
  CHECK(lora->modules().size() == 14);
  CHECK(lora->options().dropout == 0.125);
  CHECK(lora->options().rank == 4);
  CHECK(lora->modules()[0].scale == 2);
  const auto rslora = load("rslora", "llama");
  CHECK(rslora->options().rslora);
  CHECK(rslora->modules()[0].scale == 3); // 6 / sqrt(4)
  CHECK(load("dora", "qwen2")->options().dora);
  const auto patterns = load("patterns", "llama");
  std::map<std::string, std::pair<int32_t, double>> seen;
  for (const model::LoraModule& module : patterns->modules())
    seen[module.target.module] = {module.target.rank, module.target.alpha};
  const std::map<std::string, std::pair<int32_t, double>> expected = {
      {"model.layers.0.mlp.up_proj", {5, 8}},
      {"model.layers.0.mlp.down_proj", {5, 3}},
      {"model.layers.1.self_attn.q_proj", {2, 3}},
      {"model.layers.1.mlp.up_proj", {3, 8}},
      {"model.layers.1.mlp.down_proj", {4, 3}}};
  CHECK(seen == expected);
  const auto layers = load("layers", "llama3");
  CHECK(layers->modules().size() == 2);
  CHECK(layers->modules()[0].layer == 1);
}

TEST_CASE("a saved adapter is the same when it is loaded") {
  for (const Golden& golden : goldens) {
    CAPTURE(golden.folder);
    const TemporaryDirectory target;
    const auto base = base_model(golden.model);
    const auto first = io::load_adapter(adapters + golden.folder, base);
    io::save_adapter(*first, target / "out");
    CHECK(same(*first, *io::load_adapter(target / "out", base)));
    // Again over itself, and by the path of the weights.
    io::save_adapter(*first, target / "out");
    CHECK(same(*first, *io::load_adapter(target / "out/adapter_model.safetensors", base)));
  }
}

TEST_CASE("PEFT to mlx-lm to PEFT is the identity") {
  for (const Golden& golden : goldens) {
    if (golden.folder == std::string("patterns")) continue; // several ranks
    CAPTURE(golden.folder);
    const TemporaryDirectory target;
    const auto base = base_model(golden.model);
    const auto first = io::load_adapter(adapters + golden.folder, base);
    io::save_adapter(*first, target / "mlx", {.format = io::AdapterFormat::mlx});
    const auto second = io::load_adapter(target / "mlx", base);
    io::save_adapter(*second, target / "peft");
    const auto third = io::load_adapter(target / "peft", base);
    CHECK(same(*second, *third));
    if (!first->options().rslora) CHECK(same(*first, *third)); // mlx-lm keeps the scale alone
    CHECK(std::equal(first->weights().begin(), first->weights().end(), third->weights().begin()));
    for (size_t i = 0; i < first->modules().size(); ++i)
      CHECK(first->modules()[i].scale == doctest::Approx(third->modules()[i].scale).epsilon(1e-15));
  }
}

TEST_CASE("mlx-lm's matrices are transposed and its scale stands alone") {
  const auto base = base_model("qwen3");
  const auto adapter = io::load_adapter(adapters + "mlx", base);
  const io::SafetensorsReader file(adapters + "mlx/adapters.safetensors");
  const std::vector<float> a =
      io::to_float(file.tensor("model.layers.1.self_attn.q_proj.lora_a")); // [32, 3]
  const model::LoraModule* module = adapter->find("model.layers.1.self_attn.q_proj");
  REQUIRE(module != nullptr);
  CHECK(module->scale == 2.5);
  CHECK(module->target.alpha == 7.5);
  const auto ours = adapter->values(adapter->parameters()[static_cast<size_t>(module->lora_a)]);
  for (size_t k = 0; k < 3; ++k)
    for (size_t i = 0; i < 32; ++i) REQUIRE(ours[k * 32 + i] == a[i * 3 + k]);
}

TEST_CASE("mlx-lm without keys adapts what the file has") {
  const TemporaryDirectory target;
  const std::string folder = target / "mlx";
  create_directories(folder);
  test::put(folder + "/0000100_adapters.safetensors",
            test::get(adapters + "mlx/adapters.safetensors"));
  test::put(folder + "/adapter_config.json",
            R"({"fine_tune_type":"lora","num_layers":1,"lora_parameters":{"rank":3,"scale":2.5}})");
  const auto base = base_model("qwen3");
  CHECK(same(*io::load_adapter(folder + "/0000100_adapters.safetensors", base),
             *io::load_adapter(adapters + "mlx", base)));
}

TEST_CASE("a GGUF adapter has llama.cpp's names, scale and order of rows") {
  const TemporaryDirectory target;
  const auto base = base_model("llama"); // 4 and 2 heads of 8
  const auto adapter = io::load_adapter(adapters + "rslora", base);
  io::save_adapter(*adapter, target / "out.gguf", {.format = io::AdapterFormat::gguf});
  const MappedFile bytes(target / "out.gguf");
  const io::GgufFile file(bytes.bytes(), "out.gguf");
  CHECK(file.string("general.type") == "adapter");
  CHECK(file.string("adapter.type") == "lora");
  CHECK(file.string("general.architecture") == "llama");
  CHECK(file.number("adapter.lora.alpha") == 6.0);
  CHECK(file.tensors().size() == 12);
  const io::GgufTensor* b = file.find_tensor("blk.1.attn_q.weight.lora_b");
  const io::GgufTensor* a = file.find_tensor("blk.1.attn_q.weight.lora_a");
  REQUIRE(a != nullptr);
  REQUIRE(b != nullptr);
  CHECK(a->shape == mil::Shape{4, 32});
  CHECK(b->shape == mil::Shape{32, 4});
  const model::LoraModule* module = adapter->find("model.layers.1.self_attn.q_proj");
  const auto ours = adapter->values(adapter->parameters()[static_cast<size_t>(module->lora_b)]);
  std::vector<float> stored(128);
  std::memcpy(stored.data(), b->data.data(), b->data.size());
  // Row 2j + half of a head is ours of number 4 half + j; the scale 3 is 6 / 4 times 2.
  for (size_t head = 0; head < 4; ++head)
    for (size_t half = 0; half < 2; ++half)
      for (size_t j = 0; j < 4; ++j)
        for (size_t k = 0; k < 4; ++k)
          REQUIRE(stored[(head * 8 + 2 * j + half) * 4 + k] ==
                  doctest::Approx(2 * ours[(head * 8 + 4 * half + j) * 4 + k]).epsilon(1e-6));
  CHECK(test::message_of([&] { io::load_adapter(target / "out.gguf", base); }).find("seen GGUF") !=
        std::string::npos);
}

TEST_CASE("what a format cannot hold is refused") {
  const TemporaryDirectory target;
  const auto refusal = [&](const std::shared_ptr<model::Adapter>& adapter,
                           io::AdapterFormat format) {
    const auto error =
        test::error_of([&] { io::save_adapter(*adapter, target / "out", {.format = format}); });
    REQUIRE(error.has_value());
    CHECK(error->status() == Status::unsupported);
    CHECK_FALSE(path_exists(target / "out"));
    return error->message();
  };
  const auto adapter_of = [](const char* model, model::LoraOptions options) {
    return std::make_shared<model::Adapter>(base_model(model), options, 1);
  };
  const auto contains = [](const std::string& text, const char* part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  using Format = io::AdapterFormat;
  const auto patterns = io::load_adapter(adapters + "patterns", base_model("llama"));
  contains(refusal(patterns, Format::mlx), "several scales, 1.6 and 0.6");
  model::LoraOptions options;
  options.first_layer = 0;
  options.layer_count = 1;
  contains(refusal(adapter_of("qwen3", options), Format::mlx), "other layers than the last");
  options = {};
  options.targets = {"layers.0.mlp.*", "layers.1.self_attn.*"};
  contains(refusal(adapter_of("qwen3", options), Format::mlx), "different modules");
  options.targets = {"q_proj", "v_proj"};
  options.overrides = {{"v_proj", 0, 1}};
  contains(refusal(adapter_of("qwen3", options), Format::mlx), "several scales");
  options = {};
  options.targets = {"embed_tokens"};
  contains(refusal(adapter_of("qwen2", options), Format::mlx), "tied embeddings");
  contains(refusal(adapter_of("qwen2", options), Format::gguf), "tied embeddings");
  options = {};
  options.dora = true;
  contains(refusal(adapter_of("qwen3", options), Format::gguf), "DoRA");
  const auto q8 = test::error_of(
      [&] { io::save_adapter(*patterns, target / "out", {.type = io::ExportType::q8_0}); });
  REQUIRE(q8.has_value());
  CHECK(q8->status() == Status::unsupported);
}

TEST_CASE("adapters in halves are rounded to nearest") {
  const TemporaryDirectory target;
  const auto base = base_model("qwen3");
  const auto first = io::load_adapter(adapters + "lora", base);
  for (const auto& [type, bound] :
       {std::pair{io::ExportType::fp16, 0x1p-11f}, std::pair{io::ExportType::bf16, 0x1p-8f}}) {
    io::save_adapter(*first, target / "out", {.type = type});
    const auto second = io::load_adapter(target / "out", base);
    for (size_t i = 0; i < first->weights().size(); ++i)
      REQUIRE(std::fabs(first->weights()[i] - second->weights()[i]) <=
              bound * std::fabs(first->weights()[i]) + 1e-7f);
  }
}
