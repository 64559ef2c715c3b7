// The GGUF container, version 3: typed metadata and a table of tensors. Nothing is trusted:
// invalid_data for counts, lengths and offsets that the file cannot hold, keys and names that come
// twice, tensors that overlap.
#pragma once

#include "io/model_file/stored_tensor.h"
#include "mil/type.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace anet::io {

class ByteCursor;

// Numbers are the format's.
enum class GgufType : uint32_t {
  uint8 = 0,
  int8 = 1,
  uint16 = 2,
  int16 = 3,
  uint32 = 4,
  int32 = 5,
  float32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  uint64 = 10,
  int64 = 11,
  float64 = 12
};

struct GgufArray {
  GgufType type = GgufType::uint8;
  uint64_t count = 0;
  std::span<const std::byte> bytes; // the elements as the file has them
};

using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

struct GgufTensor {
  std::string name;
  mil::Shape shape; // ours: the outermost first
  uint32_t type = 0;
  std::optional<Encoding> encoding; // nullopt: a type that we do not read
  std::span<const std::byte> data;  // empty without an encoding
};

class GgufFile {
public:
  // Views of `bytes`, which must outlive it; `source` names them in errors.
  GgufFile(std::span<const std::byte> bytes, std::string source);

  const std::string& source() const { return source_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;
  const GgufValue* find(const std::string& key) const;

  // nullopt without the key; invalid_data if it has another type or the value does not fit.
  std::optional<int64_t> integer(const std::string& key, int64_t minimum, int64_t maximum) const;
  std::optional<double> number(const std::string& key) const;
  std::optional<std::string_view> string(const std::string& key) const;
  std::optional<bool> boolean(const std::string& key) const;

private:
  void read_metadata(ByteCursor& cursor, uint64_t count);
  void read_tensors(ByteCursor& cursor, uint64_t count);
  void place_tensors(std::span<const std::byte> data, uint64_t alignment);
  [[noreturn]] void fail_type(const std::string& key, std::string_view expected) const;

  std::string source_;
  std::unordered_map<std::string, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::vector<uint64_t> offsets_; // of the tensors in the data region
  std::unordered_map<std::string_view, size_t> index_;
};

std::string gguf_tensor_type_name(uint32_t type);
std::optional<Encoding> gguf_encoding(uint32_t type);
uint32_t gguf_tensor_type(Encoding encoding);

} // namespace anet::io
