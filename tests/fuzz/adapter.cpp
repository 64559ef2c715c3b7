// An adapter's two files: adapter_config.json, and after the first 0 byte the safetensors. Which
// format it is the config says; tensors of both names are offered.
#include "io/adapter_file/adapter_file.h"
#include "load_bytes.h"

#include <string_view>

namespace {

std::shared_ptr<const anet::model::Model> base_model() {
  anet::model::Config config;
  config.vocab_size = 6;
  config.hidden_size = 4;
  config.intermediate_size = 6;
  config.layer_count = 2;
  config.head_count = 2;
  return std::make_shared<anet::model::Model>(config);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto base = base_model();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(text.find('\0'), text.size());
  anet::fuzz::MemoryFileSystem files;
  files.put("adapter/adapter_config.json", std::string(text.substr(0, end)));
  const std::string weights(text.substr(std::min(end + 1, text.size())));
  const bool mlx = text.substr(0, end).find("lora_parameters") != std::string_view::npos;
  files.put(mlx ? "adapter/adapters.safetensors" : "adapter/adapter_model.safetensors", weights);
  try {
    anet::io::load_adapter("adapter", base, files);
  } catch (const anet::Error&) {
  }
  return 0;
}
