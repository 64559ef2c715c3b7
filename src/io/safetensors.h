// The safetensors format: u64 header size, JSON header, tensor data.
//
// The reader trusts nothing. invalid_data: a header of more than 100 MB or past the end, that does
// not begin with '{', is not UTF-8 or not JSON, repeats a key, or has metadata other than strings;
// a shape or offset that is negative, no integer or too large; a tensor whose bytes are not what
// its type and shape take; a gap, an overlap, or data before the first or behind the last tensor.
#pragma once

#include "base/file.h"
#include "io/tensor_view.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace anet::io {

inline constexpr int64_t safetensors_max_header = 100'000'000; // bytes

using Metadata = std::map<std::string, std::string>; // "__metadata__"

// One tensor of the header. `dtype` is the format's own name ("F32", "F8_E4M3", ...): a file may
// hold tensors of types that we cannot use, as long as nobody asks for them.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  mil::Shape shape;
  int64_t begin = 0; // byte offsets in the data region
  int64_t end = 0;
};

class SafetensorsReader {
public:
  SafetensorsReader() = default; // no tensors
  // Maps the file; tensors are views of the mapping.
  explicit SafetensorsReader(const std::string& path, FileSystem& files = FileSystem::real());
  // Reads from memory of the caller's; `source` names it in errors.
  SafetensorsReader(std::span<const std::byte> bytes, std::string source);

  // In file order.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const Metadata& metadata() const { return metadata_; }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  const SafetensorsEntry* find(std::string_view name) const;

  // Throws not_found, or type_mismatch if its dtype has no mil::DataType. Valid as long as the
  // reader (or its bytes).
  TensorView tensor(std::string_view name) const;
  TensorView tensor(const SafetensorsEntry& entry) const;

private:
  void parse(std::span<const std::byte> bytes);
  void check_layout() const;

  MappedFile file_;
  std::string source_;
  std::vector<SafetensorsEntry> entries_;
  std::unordered_map<std::string, size_t> index_;
  Metadata metadata_;
  std::span<const std::byte> data_;
};

// The dtype's name in the format; nullopt if it has none (int4, string, ...).
std::optional<std::string_view> safetensors_dtype(mil::DataType dtype);

// Writes tensor by tensor, so that no second copy of a model is ever held:
//   SafetensorsWriter writer(sink, infos);
//   for (const TensorInfo& info : writer.order()) writer.write(info.name, bytes_of(info));
//   writer.finish();
class SafetensorsWriter {
public:
  // Writes the header. Tensors are laid out by element size, widest first, then by name, which
  // aligns each to its element. `metadata` gets "format": "pt", which readers of Hugging Face
  // models ask for, unless it has a format. `sink` must outlive the writer.
  SafetensorsWriter(ByteSink& sink, std::vector<TensorInfo> tensors, Metadata metadata = {});

  const std::vector<TensorInfo>& order() const { return tensors_; }
  // The next bytes of the next tensor, in one or more pieces; invalid_state if it is not its turn
  // or the piece is more than it lacks.
  void write(std::string_view name, std::span<const std::byte> piece);
  // Throws invalid_state if bytes are missing.
  void finish();

private:
  void skip_complete();

  ByteSink& sink_;
  std::vector<TensorInfo> tensors_;
  std::vector<int64_t> sizes_; // bytes, in the same order
  size_t current_ = 0;
  int64_t written_ = 0; // bytes of the current tensor
};

void write_safetensors(ByteSink& sink, std::span<const TensorView> tensors, Metadata metadata = {});
// Replaces the file atomically.
void save_safetensors(const std::string& path, std::span<const TensorView> tensors,
                      Metadata metadata = {}, FileSystem& files = FileSystem::real());

} // namespace anet::io
