// Models in few bits: compressed while they are read, saved, loaded, exported; hostile files.
#include "base/float16.h"
#include "io/model_file/quantize_model.h"
#include "io/model_file/saved_model.h"
#include "io/safetensors.h"
#include "test_files.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

using namespace anet;
using mil::Compression;
using test::TemporaryDirectory;

namespace {

const std::string folder = "tests/golden/model_files/";

ThreadPool& pool() {
  static ThreadPool instance(2);
  return instance;
}

// One of each kind.
quant::Recipe mixed_recipe() {
  quant::Recipe recipe;
  recipe.scheme = {Compression::int8_channel, 0};
  recipe.overrides = {{"mlp.*", quant::Scheme{Compression::int4_block, 16}},
                      {"k_proj.weight", quant::Scheme{Compression::palette4, 4}},
                      {"o_proj.weight", quant::Scheme{Compression::int8_block, 8}},
                      {"embed_tokens.weight", std::nullopt}};
  return recipe;
}

std::vector<float> values_of(const model::Model& model, const model::Parameter& parameter) {
  std::vector<float> values(static_cast<size_t>(parameter.elements));
  model.read(*model.parameters().find(parameter.name), values);
  return values;
}

void check_same(const model::Model& a, const model::Model& b) {
  CHECK(a.config() == b.config());
  for (const model::Parameter& parameter : a.parameters().all()) {
    CAPTURE(parameter.name);
    const model::Parameter& other = *b.parameters().find(parameter.name);
    REQUIRE(parameter.is_compressed() == other.is_compressed());
    if (parameter.is_compressed())
      CHECK(a.compressed(parameter) == b.compressed(other));
    else
      CHECK(values_of(a, parameter) == values_of(b, parameter));
  }
}

void check_same(const std::vector<quant::TensorReport>& a,
                const std::vector<quant::TensorReport>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].name == b[i].name);
    CHECK(a[i].scheme == b[i].scheme);
    CHECK(a[i].bytes_after == b[i].bytes_after);
    CHECK(a[i].error.rms == b[i].error.rms);
  }
}

std::shared_ptr<model::Model> compressed_golden() {
  return io::load_model(folder + "qwen2", {.recipe = mixed_recipe()}).model;
}

} // namespace

TEST_CASE("every format is compressed as it is read") {
  for (const char* name : {"llama", "qwen3", "llama-q8_0.gguf", "qwen3-q4_0.gguf", "untied-v1.bin",
                           "tied-v2.bin", "v4.blzt"}) {
    CAPTURE(name);
    quant::Recipe recipe;
    recipe.scheme = {Compression::int8_channel, 0};
    recipe.overrides = {{"v_proj.weight", quant::Scheme{Compression::int4_block, 4}}};
    int64_t done = 0;
    const io::LoadedModel loaded = io::load_model(
        folder + name, {.recipe = recipe,
                        .progress = [&](const io::TensorProgress& p) { done = p.done; },
                        .pool = &pool()});
    CHECK(done == loaded.model->parameters().weight_count());
    const io::LoadedModel plain = io::load_model(folder + name);
    CHECK(plain.quantization.empty());
    const io::QuantizedModel quantized = io::quantize_model(*plain.model, recipe, pool());
    check_same(*loaded.model, *quantized.model);
    check_same(loaded.quantization, quantized.tensors);
    CHECK(loaded.model->weight_bytes() < plain.model->weight_bytes() / 3);
  }
}

TEST_CASE("the report has each tensor's scheme, bytes and error") {
  const io::LoadedModel loaded = io::load_model(folder + "qwen2", {.recipe = mixed_recipe()});
  const io::LoadedModel plain = io::load_model(folder + "qwen2");
  uint64_t after = 0;
  for (const quant::TensorReport& report : loaded.quantization) {
    CAPTURE(report.name);
    const model::Parameter& parameter = *loaded.model->parameters().find(report.name);
    CHECK(report.bytes_before == static_cast<uint64_t>(parameter.elements) * 4);
    CHECK(report.scheme.has_value() == parameter.is_compressed());
    after += report.bytes_after;
    const std::vector<float> given = values_of(*plain.model, parameter);
    const std::vector<float> seen = values_of(*loaded.model, parameter);
    double worst = 0, squares = 0;
    for (size_t i = 0; i < given.size(); ++i) {
      worst = std::fmax(worst, std::fabs(double{given[i]} - seen[i]));
      squares += std::pow(double{given[i]} - seen[i], 2);
    }
    CHECK(report.error.worst == doctest::Approx(worst));
    CHECK(report.error.rms ==
          doctest::Approx(std::sqrt(squares / static_cast<double>(given.size()))));
    if (parameter.is_compressed()) CHECK(report.error.relative_rms > 0);
  }
  // But for the padding of the flat array.
  CHECK(loaded.model->weight_bytes() >= after);
  CHECK(loaded.model->weight_bytes() < after + 64 * loaded.quantization.size());
}

TEST_CASE("a saved compressed model is the same when it is loaded") {
  const TemporaryDirectory target;
  const auto model = compressed_golden();
  io::save_model(*model, target / "model.safetensors");
  const io::LoadedModel loaded = io::load_model(target / "model.safetensors");
  CHECK(loaded.format == "safetensors");
  check_same(*model, *loaded.model);
  CHECK(loaded.quantization.size() == model->parameters().all().size());
  for (const quant::TensorReport& report : loaded.quantization) CHECK(report.error.rms == 0);
  // Codes are views of the file, which may be replaced meanwhile.
  io::save_model(*io::load_model(folder + "qwen2").model, target / "model.safetensors");
  check_same(*model, *loaded.model);
  io::save_model(*loaded.model, target / "again.safetensors");
  check_same(*model, *io::load_model(target / "again.safetensors").model);
}

TEST_CASE("a compressed model is compressed again where the recipe differs") {
  const TemporaryDirectory target;
  const auto model = compressed_golden();
  io::save_model(*model, target / "model.safetensors");
  quant::Recipe recipe = mixed_recipe();
  recipe.overrides.push_back({"down_proj.weight", quant::Scheme{Compression::int8_channel, 0}});
  recipe.overrides.push_back({"q_proj.weight", std::nullopt});
  const io::LoadedModel loaded = io::load_model(target / "model.safetensors", {.recipe = recipe});
  const io::QuantizedModel quantized = io::quantize_model(*model, recipe, pool());
  check_same(*loaded.model, *quantized.model);
  check_same(loaded.quantization, quantized.tensors);
  for (const model::Parameter& parameter : model->parameters().all()) {
    CAPTURE(parameter.name);
    const model::Parameter& other = *loaded.model->parameters().find(parameter.name);
    if (parameter.name.ends_with("q_proj.weight")) {
      CHECK_FALSE(other.is_compressed());
      CHECK(values_of(*model, parameter) == values_of(*loaded.model, parameter));
    } else if (parameter.name.ends_with("down_proj.weight")) {
      const auto weight = quant::quantize(pool(), values_of(*model, parameter), parameter.shape[0],
                                          parameter.shape[1], {Compression::int8_channel, 0});
      CHECK(loaded.model->compressed(other) == weight);
    } else if (parameter.is_compressed()) {
      CHECK(loaded.model->compressed(other) == model->compressed(parameter));
    }
  }
  CHECK_FALSE(io::load_model(target / "model.safetensors",
                             {.recipe = quant::Recipe{{}, {{"*", std::nullopt}}}})
                  .model->is_compressed());
}

TEST_CASE("exports of a compressed model are those of its values") {
  const TemporaryDirectory target;
  const auto check = [&](const model::Model& model, io::ExportFormat format, io::ExportType type) {
    io::ExportOptions options;
    options.format = format;
    options.type = type;
    model::Model plain(model.config());
    for (const model::Parameter& parameter : plain.parameters().all())
      model.read(*model.parameters().find(parameter.name), plain.values(parameter));
    io::export_model(model, target / "a", options);
    io::export_model(plain, target / "b", options);
    const bool directory = format == io::ExportFormat::hugging_face;
    const std::string file = directory ? "/model.safetensors" : "";
    CHECK(test::get(target / "a" + file) == test::get(target / "b" + file));
    std::filesystem::remove_all(target / "a");
    std::filesystem::remove_all(target / "b");
  };
  const auto model = compressed_golden();
  for (const io::ExportType type :
       {io::ExportType::fp32, io::ExportType::fp16, io::ExportType::bf16})
    check(*model, io::ExportFormat::hugging_face, type);
  check(*model, io::ExportFormat::gguf, io::ExportType::q8_0);
  const auto llama = io::load_model(folder + "llama", {.recipe = mixed_recipe()}).model;
  check(*llama, io::ExportFormat::gguf, io::ExportType::fp32); // rows of heads are interleaved
  const auto stories = io::load_model(folder + "untied-v0.bin", {.recipe = quant::Recipe{}}).model;
  check(*stories, io::ExportFormat::llama2c, io::ExportType::fp32);
}

TEST_CASE("tensors that cannot be compressed are named") {
  auto model = io::load_model(folder + "llama").model;
  const model::Parameter& parameter =
      *model->parameters().find("model.layers.1.mlp.up_proj.weight");
  model->values(parameter)[3] = NAN;
  const std::string message =
      test::message_of([&] { io::quantize_model(*model, quant::Recipe{}, pool()); });
  CHECK(message ==
        "model.layers.1.mlp.up_proj.weight: expected finite values to compress, seen nan");
  quant::Recipe recipe;
  recipe.scheme = {Compression::int4_block, 24};
  const auto error = test::error_of([&] { io::load_model(folder + "llama", {.recipe = recipe}); });
  REQUIRE(error.has_value());
  CHECK(error->status() == Status::unsupported);
  CHECK(error->message().find("model.embed_tokens.weight") != std::string::npos);
}

TEST_CASE("a pattern that matches nothing is refused") {
  const quant::Recipe recipe{{}, {{"input_layernorm", std::nullopt}}};
  const auto error = test::error_of([&] { io::load_model(folder + "llama", {.recipe = recipe}); });
  REQUIRE(error.has_value());
  CHECK(error->status() == Status::invalid_argument);
  const auto model = io::load_model(folder + "llama").model;
  CHECK(test::message_of([&] {
          io::quantize_model(*model, recipe, pool());
        }).find("'input_layernorm', which matches none") != std::string::npos);
}

namespace {

// A saved model whose tensors and metadata can be changed.
class Forgery {
public:
  Forgery() {
    io::save_model(*compressed_golden(), directory_ / "good.safetensors");
    const io::SafetensorsReader file(directory_ / "good.safetensors");
    metadata = file.metadata();
    for (const io::SafetensorsEntry& entry : file.entries()) {
      const io::TensorView view = file.tensor(entry);
      infos.push_back(view);
      bytes[entry.name].assign(view.data.begin(), view.data.end());
    }
  }
  void erase(const std::string& name) {
    std::erase_if(infos, [&](const io::TensorInfo& info) { return info.name == name; });
  }
  io::TensorInfo& info(const std::string& name) {
    for (io::TensorInfo& info : infos)
      if (info.name == name) return info;
    throw std::runtime_error("no tensor " + name);
  }
  void replace_in_metadata(const std::string& from, const std::string& to) {
    std::string& text = metadata.at("ane_train.quantization");
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
  }
  std::optional<Error> error() {
    std::vector<io::TensorView> views;
    for (const io::TensorInfo& info : infos) {
      io::TensorView& view = views.emplace_back();
      static_cast<io::TensorInfo&>(view) = info;
      view.data = bytes.at(info.name);
    }
    io::save_safetensors(directory_ / "bad.safetensors", views, metadata);
    return test::error_of([&] { io::load_model(directory_ / "bad.safetensors"); });
  }
  void expect(Status status, const std::string& part) {
    const auto seen = error();
    REQUIRE(seen.has_value());
    CAPTURE(seen->message());
    CHECK(seen->status() == status);
    CHECK(seen->message().find(part) != std::string::npos);
  }

  std::vector<io::TensorInfo> infos;
  std::map<std::string, std::vector<std::byte>> bytes;
  io::Metadata metadata;

private:
  TemporaryDirectory directory_;
};

} // namespace

TEST_CASE("hostile compressed files are refused") {
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  CHECK_FALSE(Forgery().error().has_value());
  {
    Forgery forgery;
    forgery.erase(q + ".scales");
    forgery.expect(Status::invalid_checkpoint, "expected a tensor '" + q + ".scales', seen none");
  }
  for (const uint16_t half : {0x7c00, 0xfc00, 0x7e01}) {
    Forgery forgery;
    std::memcpy(forgery.bytes.at(q + ".scales").data() + 6, &half, 2);
    forgery.expect(Status::invalid_checkpoint, "expected finite scales of '" + q + "'");
  }
  {
    Forgery forgery;
    forgery.info(q + ".codes").shape[0] -= 1;
    forgery.bytes.at(q + ".codes").resize(31 * 32);
    forgery.expect(Status::invalid_checkpoint, "expected shape");
  }
  {
    Forgery forgery;
    forgery.info(q + ".codes").dtype = mil::DataType::uint8;
    forgery.expect(Status::invalid_checkpoint, "expected type int8");
  }
  {
    Forgery forgery;
    forgery.replace_in_metadata("int8_channel", "int3_channel");
    forgery.expect(Status::invalid_checkpoint, "seen 'int3_channel'");
  }
  {
    Forgery forgery;
    forgery.replace_in_metadata("\"block_size\":16", "\"block_size\":-16");
    CHECK(forgery.error().has_value());
  }
  for (const char* size : {"0", "5", "7", "64000", "2147483647"}) {
    Forgery forgery;
    forgery.replace_in_metadata("\"block_size\":16", std::string("\"block_size\":") + size);
    CHECK(forgery.error().has_value());
  }
  {
    Forgery forgery;
    forgery.replace_in_metadata("\"" + q + "\"", "\"model.norm.weight\"");
    CHECK(forgery.error().has_value());
  }
  {
    Forgery forgery;
    forgery.replace_in_metadata("\"" + q + "\"", "\"no.such.weight\"");
    forgery.expect(Status::invalid_checkpoint, "parameters of this model");
  }
  {
    Forgery forgery;
    forgery.metadata.erase("ane_train.quantization");
    forgery.expect(Status::invalid_checkpoint, "expected a tensor");
  }
  {
    Forgery forgery;
    forgery.metadata["ane_train.quantization"] = "[1, 2";
    CHECK(forgery.error().has_value());
  }
}

TEST_CASE("saving a compressed model fails without a trace") {
  const TemporaryDirectory target;
  const auto model = compressed_golden();
  const auto plain = io::load_model(folder + "qwen2").model;
  io::save_model(*plain, target / "out");
  for (int64_t call = 0;; ++call) {
    test::FaultyFileSystem files;
    files.fail_at = call;
    files.error = ENOSPC;
    const auto error = test::error_of([&] { io::save_model(*model, target / "out", files); });
    const io::LoadedModel seen = io::load_model(target / "out");
    if (!files.failed) {
      CHECK(!error);
      check_same(*seen.model, *model);
      break;
    }
    check_same(*seen.model, seen.model->is_compressed() ? *model : *plain);
    REQUIRE(call < 1000);
  }
  for (int64_t call = 0;; ++call) {
    test::FaultyFileSystem files;
    files.fail_at = call;
    // What has been read may be closed with an error.
    const auto error = test::error_of(
        [&] { check_same(*io::load_model(target / "out", {}, files).model, *model); });
    if (!files.failed) {
      CHECK_FALSE(error.has_value());
      break;
    }
    REQUIRE(call < 1000);
  }
}
