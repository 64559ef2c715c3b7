// A checkpoint's directory: state.json, and after 0 bytes of their own the weights and the
// optimizer's state, each with its length in front. Sizes and checksums are made to fit, as whoever
// writes such a file would, so that what lies behind them is reached; one input in four has them as
// they come.
#include "io/checkpoint.h"
#include "base/hash.h"
#include "io/adapter_checkpoint.h"
#include "load_bytes.h"

#include <string_view>

namespace {

using anet::fuzz::MemoryFileSystem;

constexpr std::string_view directory = "step-00000100";

// The text from `key` on gets the value between the next two quotes or up to the next comma.
void set_value(std::string& text, std::string_view key, const std::string& value) {
  const size_t at = text.find(key);
  if (at == std::string::npos) return;
  const size_t begin = text.find_first_not_of(": ", at + key.size());
  if (begin == std::string::npos) return;
  const size_t end = std::min(text.find_first_of(",}\n", begin), text.size());
  text.replace(begin, end - begin, value);
}

// Size and checksum of a file, in its description.
void describe(std::string& state, std::string_view name, std::string_view contents) {
  const size_t at = state.find(name);
  if (at == std::string::npos) return;
  std::string tail = state.substr(at);
  set_value(tail, "\"size\"", std::to_string(contents.size()));
  set_value(tail, "\"xxh64\"", "\"" + anet::hex64(anet::xxh64(anet::as_bytes(contents))) + "\"");
  state.replace(at, std::string::npos, tail);
}

// The last line is the checksum of all before it.
void seal(std::string& state) {
  constexpr std::string_view begin = ",\n  \"xxh64\": \"";
  const size_t at = state.rfind(begin);
  if (at == std::string::npos) return;
  const std::string body = state.substr(0, at);
  state = body + std::string(begin) + anet::hex64(anet::xxh64(anet::as_bytes(body))) + "\"\n}\n";
}

std::string take(std::string_view& text) {
  const size_t end = std::min(text.find('\1'), text.size());
  std::string part(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::string take_sized(std::string_view& text) {
  if (text.size() < 2) return {};
  const size_t size =
      static_cast<uint8_t>(text[0]) | static_cast<size_t>(static_cast<uint8_t>(text[1])) << 8;
  std::string part(text.substr(2, size));
  text.remove_prefix(std::min(2 + size, text.size()));
  return part;
}

// The checkpoint of an adapter's session is not one of a model.
void load_adapter(const anet::io::CheckpointReader& reader) {
  static const auto base = [] {
    anet::model::Config config;
    config.vocab_size = 3;
    config.hidden_size = 2;
    config.intermediate_size = 3;
    config.layer_count = 1;
    config.head_count = 1;
    return std::make_shared<anet::model::Model>(config);
  }();
  try {
    anet::io::checkpoint_adapter(reader, base);
  } catch (const anet::Error&) {
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string state = take(text);
  const std::string weights = take_sized(text);
  const std::string optimizer = take_sized(text);
  if (size % 4 != 0) {
    describe(state, "\"model.safetensors\"", weights);
    describe(state, "\"optimizer.safetensors\"", optimizer);
    seal(state);
  }
  MemoryFileSystem files;
  const std::string path(directory);
  files.put(path + "/state.json", state);
  files.put(path + "/model.safetensors", weights);
  files.put(path + "/optimizer.safetensors", optimizer);
  try {
    const anet::io::CheckpointReader reader(path, files);
    for (const auto* file : {&reader.weights(), &reader.optimizer()})
      for (const anet::io::SafetensorsEntry& entry : file->entries()) file->tensor(entry);
    load_adapter(reader);
  } catch (const anet::Error&) {
    return 0;
  }
  anet::fuzz::load(path, files);
  return 0;
}
