// Exports a model for tests/golden/model_files/check.py, or loads one and tells what that took.
//   model_file_driver export SOURCE TARGET hugging_face|llama2c|gguf fp32|fp16|bf16|q8_0
//                     [MAX_SHARD_BYTES [COMPANION]]
//   model_file_driver load SOURCE
//   model_file_driver compress SOURCE TARGET int8_channel|int8_block|int4_block|palette4
#include "base/status.h"
#include "io/model_file/model_source.h"
#include "io/model_file/saved_model.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iostream>
#include <string>
#include <string_view>

using namespace anet;

namespace {

template <size_t Size>
int index_of(const std::array<std::string_view, Size>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) fail(Status::invalid_argument, "unknown name '", name, "'");
  return static_cast<int>(found - names.begin());
}

void export_file(int count, char** arguments) {
  constexpr std::array<std::string_view, 3> formats = {"hugging_face", "llama2c", "gguf"};
  constexpr std::array<std::string_view, 4> types = {"fp32", "fp16", "bf16", "q8_0"};
  io::ExportOptions options;
  options.format = static_cast<io::ExportFormat>(1 + index_of(formats, arguments[4]));
  options.type = static_cast<io::ExportType>(index_of(types, arguments[5]));
  if (count > 6) options.max_shard_bytes = std::stoll(arguments[6]);
  if (count > 7) options.companion = arguments[7];
  io::export_model(*io::load_model(arguments[2]).model, arguments[3], options);
}

void load(const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  const io::LoadedModel loaded = io::load_model(path);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << loaded.format << ' ' << loaded.model->parameters().weight_count() << " parameters "
            << seconds.count() << " s\n";
  for (const std::string& warning : loaded.warnings) std::cout << warning << '\n';
}

void compress(const std::string& source, const std::string& target, std::string_view name) {
  const auto compression = mil::compression_from_name(name);
  if (!compression) fail(Status::invalid_argument, "unknown compression '", name, "'");
  const quant::Recipe recipe{{*compression, 0}, {}};
  const io::LoadedModel loaded = io::load_model(source, {.recipe = recipe});
  for (const quant::TensorReport& report : loaded.quantization)
    std::cout << report.name << ' ' << report.bytes_after << ' ' << report.error.rms << '\n';
  io::save_model(*loaded.model, target);
}

} // namespace

int main(int count, char** arguments) {
  try {
    const std::string_view command = count > 2 ? arguments[1] : "";
    if (command == "export" && count > 5)
      export_file(count, arguments);
    else if (command == "load")
      load(arguments[2]);
    else if (command == "compress" && count == 5)
      compress(arguments[2], arguments[3], arguments[4]);
    else
      fail(Status::invalid_argument, "expected export, load or compress and their arguments");
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
