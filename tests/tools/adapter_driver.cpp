// Converts and merges adapters for tests/golden/adapters/check.py.
//   adapter_driver convert MODEL ADAPTER TARGET peft|mlx|gguf fp32|fp16|bf16
//   adapter_driver merge MODEL ADAPTER TARGET      exports the merged model, Hugging Face, fp32
//   adapter_driver untrained MODEL TARGET lora|rslora|dora MODULE...
#include "base/status.h"
#include "io/adapter_file/adapter_file.h"
#include "io/model_file/model_source.h"
#include "model/merge.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <span>
#include <string_view>

using namespace anet;

namespace {

using Arguments = std::span<char*>;

template <size_t Size>
int index_of(const std::array<std::string_view, Size>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) fail(Status::invalid_argument, "unknown name '", name, "'");
  return static_cast<int>(found - names.begin());
}

void convert(const std::shared_ptr<model::Model>& base, Arguments arguments) {
  constexpr std::array<std::string_view, 3> formats = {"peft", "mlx", "gguf"};
  constexpr std::array<std::string_view, 3> types = {"fp32", "fp16", "bf16"};
  io::AdapterSaveOptions options;
  options.format = static_cast<io::AdapterFormat>(1 + index_of(formats, arguments[2]));
  options.type = static_cast<io::ExportType>(index_of(types, arguments[3]));
  options.base_name = "test/base";
  io::save_adapter(*io::load_adapter(arguments[0], base), arguments[1], options);
}

void merge(const std::shared_ptr<model::Model>& base, Arguments arguments) {
  const std::array<model::WeightedAdapter, 1> adapters = {
      {{io::load_adapter(arguments[0], base), 1}}};
  io::export_model(*model::merged_model(*base, adapters), arguments[1], {});
}

void create(const std::shared_ptr<model::Model>& base, Arguments arguments) {
  const std::string_view kind = arguments[1];
  model::LoraOptions options;
  options.rslora = kind == "rslora";
  options.dora = kind == "dora";
  for (const char* module : arguments.subspan(2)) options.targets.emplace_back(module);
  io::save_adapter(model::Adapter(base, options, 1), arguments[0]);
}

} // namespace

int main(int count, char** values) {
  try {
    const Arguments arguments(values, static_cast<size_t>(count));
    const std::string_view command = count > 4 ? arguments[1] : "";
    const auto base = [&] { return io::load_model(arguments[2]).model; };
    if (command == "convert" && count == 7)
      convert(base(), arguments.subspan(3));
    else if (command == "merge" && count == 5)
      merge(base(), arguments.subspan(3));
    else if (command == "untrained")
      create(base(), arguments.subspan(3));
    else
      fail(Status::invalid_argument, "expected convert, merge or untrained and their arguments");
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
