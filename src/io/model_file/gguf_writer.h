// What writers of GGUF files share: typed metadata, the table of tensors, alignment.
#pragma once

#include "base/file.h"
#include "io/model_file/gguf_file.h"
#include "io/model_file/gguf_names.h"
#include "io/model_file/gguf_tokenizer.h"
#include "io/model_file/model_source.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

inline constexpr uint64_t gguf_alignment = 32; // the format's default

// Bytes of the header: numbers, strings, keys with values.
class GgufText {
public:
  const std::string& bytes() const { return bytes_; }
  uint64_t keys() const { return keys_; }

  template <typename T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void string(std::string_view text) {
    number<uint64_t>(text.size());
    bytes_ += text;
  }
  void set(std::string_view key, uint32_t value) { scalar(key, GgufType::uint32, value); }
  void set(std::string_view key, float value) { scalar(key, GgufType::float32, value); }
  void set(std::string_view key, bool value) {
    scalar<uint8_t>(key, GgufType::boolean, value ? 1 : 0);
  }
  void set(std::string_view key, std::string_view value) {
    begin(key, GgufType::string);
    string(value);
  }
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const std::vector<std::string>& values) {
    array(key, GgufType::string, values.size());
    for (const std::string& value : values) string(value);
  }
  void set(std::string_view key, const std::vector<float>& values) {
    array(key, GgufType::float32, values.size());
    for (const float value : values) number(value);
  }
  void set(std::string_view key, const std::vector<GgufTokenType>& values) {
    array(key, GgufType::int32, values.size());
    for (const GgufTokenType value : values) number(static_cast<int32_t>(value));
  }

private:
  void begin(std::string_view key, GgufType type) {
    ++keys_;
    string(key);
    number(static_cast<uint32_t>(type));
  }
  template <typename T>
  void scalar(std::string_view key, GgufType type, T value) {
    begin(key, type);
    number(value);
  }
  void array(std::string_view key, GgufType type, uint64_t count) {
    begin(key, GgufType::array);
    number(static_cast<uint32_t>(type));
    number(count);
  }

  std::string bytes_;
  uint64_t keys_ = 0;
};

struct GgufTensorInfo {
  std::string name;
  mil::Shape shape; // ours: the outermost first
  Encoding encoding = Encoding::fp32;
};

// All that stands before the data, whose tensors follow in this order, each padded.
std::string gguf_header(const GgufText& metadata, const std::vector<GgufTensorInfo>& tensors);
// Zeros up to the next tensor; `written` counts the bytes of data.
void pad_gguf(ByteSink& file, uint64_t& written);

// The format's name of a whole file's type, "general.file_type".
uint32_t gguf_file_type(ExportType type);
// Throws unsupported for a configuration that none of GGUF's architectures has.
const GgufArchitecture& gguf_architecture_for(const model::Config& config);

} // namespace anet::io
