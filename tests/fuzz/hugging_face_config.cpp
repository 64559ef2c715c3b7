// config.json from outside, and a model.safetensors.index.json after the first 0 byte.
#include "io/model_file/hugging_face_config.h"
#include "load_bytes.h"

#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(text.find('\0'), text.size());
  anet::fuzz::MemoryFileSystem files;
  files.put("model/config.json", std::string(text.substr(0, end)));
  files.put("model/generation_config.json", R"({"eos_token_id":[1,2]})");
  if (end < text.size())
    files.put("model/model.safetensors.index.json", std::string(text.substr(end + 1)));
  else
    files.put("model/model.safetensors", std::string("\2\0\0\0\0\0\0\0{}", 10));
  anet::fuzz::load("model", files);
  return 0;
}
