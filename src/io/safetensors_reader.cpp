#include "io/safetensors.h"

#include "base/json.h"
#include "base/status.h"
#include "io/safetensors_types.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <tuple>

namespace anet::io {
namespace {

using mil::DataType;

constexpr std::array<SafetensorsType, 22> types = {{
    {"BOOL", 8, DataType::boolean},   {"U8", 8, DataType::uint8},
    {"I8", 8, DataType::int8},        {"U16", 16, DataType::uint16},
    {"I16", 16, DataType::int16},     {"U32", 32, DataType::uint32},
    {"I32", 32, DataType::int32},     {"U64", 64, DataType::uint64},
    {"I64", 64, DataType::int64},     {"F16", 16, DataType::fp16},
    {"BF16", 16, DataType::bf16},     {"F32", 32, DataType::fp32},
    {"F64", 64, std::nullopt},        {"C64", 64, std::nullopt},
    {"F8_E4M3", 8, std::nullopt},     {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},     {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},     {"F4", 4, std::nullopt},
}};
constexpr std::string_view metadata_key = "__metadata__";

Metadata parse_metadata(const JsonView& view) {
  Metadata metadata;
  for (const JsonMember& member : view.members())
    metadata[member.key] = view.at(std::string_view(member.key)).string();
  return metadata;
}

// Bytes that the shape takes; fails on overflow and on a part of a byte.
int64_t size_in_bytes(const JsonView& view, const mil::Shape& shape, int bits) {
  int64_t total = bits;
  for (const int64_t extent : shape)
    if (__builtin_mul_overflow(total, extent, &total))
      view.fail_here("size of shape ", mil::shape_to_string(shape), " overflows");
  if (total % 8 != 0) view.fail_here("expected a whole number of bytes, seen ", total, " bits");
  return total / 8;
}

SafetensorsEntry parse_entry(const std::string& name, const JsonView& view) {
  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = view.at("dtype").string();
  const JsonView shape = view.at("shape");
  for (size_t i = 0; i < shape.size(); ++i)
    entry.shape.push_back(shape.at(i).integer(0, std::numeric_limits<int64_t>::max()));
  const JsonView offsets = view.at("data_offsets");
  if (offsets.size() != 2) offsets.fail_here("expected 2 offsets, seen ", offsets.size());
  entry.begin = offsets.at(size_t{0}).integer(0, std::numeric_limits<int64_t>::max());
  entry.end = offsets.at(size_t{1}).integer(entry.begin, std::numeric_limits<int64_t>::max());
  // The size of a type that we do not know cannot be checked; tensor() refuses it.
  const SafetensorsType* type = find_safetensors_type(entry.dtype);
  if (type == nullptr) return entry;
  const int64_t expected = size_in_bytes(view, entry.shape, type->bits);
  if (expected != entry.end - entry.begin)
    view.fail_here("expected ", expected, " bytes for ", entry.dtype, " of shape ",
                   mil::shape_to_string(entry.shape), ", seen ", entry.end - entry.begin);
  return entry;
}

} // namespace

const SafetensorsType* find_safetensors_type(std::string_view name) {
  const auto found = std::find_if(types.begin(), types.end(),
                                  [&](const SafetensorsType& type) { return type.name == name; });
  return found == types.end() ? nullptr : &*found;
}

const SafetensorsType* find_safetensors_type(DataType dtype) {
  const auto found = std::find_if(types.begin(), types.end(),
                                  [&](const SafetensorsType& type) { return type.dtype == dtype; });
  return found == types.end() ? nullptr : &*found;
}

std::optional<std::string_view> safetensors_dtype(DataType dtype) {
  const SafetensorsType* type = find_safetensors_type(dtype);
  if (type == nullptr) return std::nullopt;
  return type->name;
}

SafetensorsReader::SafetensorsReader(const std::string& path, FileSystem& files)
    : file_(path, unlimited_size, files), source_(path) {
  parse(file_.bytes());
}

SafetensorsReader::SafetensorsReader(std::span<const std::byte> bytes, std::string source)
    : source_(std::move(source)) {
  parse(bytes);
}

void SafetensorsReader::parse(std::span<const std::byte> bytes) {
  if (bytes.size() < 8)
    fail(Status::invalid_data, source_, ": expected at least 8 bytes, seen ", bytes.size());
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  if (header_size > safetensors_max_header)
    fail(Status::invalid_data, source_, ": expected a header of at most ", safetensors_max_header,
         " bytes, seen ", header_size);
  if (header_size > bytes.size() - 8)
    fail(Status::invalid_data, source_, ": expected a header of ", header_size,
         " bytes, seen only ", bytes.size() - 8, " in the file");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header_size);
  if (text.empty() || text[0] != '{')
    fail(Status::invalid_data, source_, ": expected a header that begins with '{'");
  data_ = bytes.subspan(8 + header_size);

  const Json header =
      Json::parse(text, concat(source_, " header"), Status::invalid_data,
                  {.max_size = static_cast<size_t>(safetensors_max_header), .max_depth = 8});
  entries_.reserve(header.if_object()->size());
  for (const JsonMember& member : *header.if_object()) {
    const JsonView view(member.value, Status::invalid_data, concat(source_, ": ", member.key));
    if (member.key == metadata_key)
      metadata_ = parse_metadata(view);
    else
      entries_.push_back(parse_entry(member.key, view));
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  check_layout();
  for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].name, i);
}

// Tensors cover the data region without gap or overlap: nothing hides between them.
void SafetensorsReader::check_layout() const {
  int64_t expected = 0;
  for (const SafetensorsEntry& entry : entries_) {
    if (entry.begin != expected)
      fail(Status::invalid_data, source_, ": expected tensor '", entry.name, "' at offset ",
           expected, ", seen ", entry.begin);
    expected = entry.end;
  }
  if (expected != static_cast<int64_t>(data_.size()))
    fail(Status::invalid_data, source_, ": expected ", expected, " bytes of tensor data, seen ",
         data_.size());
}

const SafetensorsEntry* SafetensorsReader::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &entries_[found->second];
}

TensorView SafetensorsReader::tensor(std::string_view name) const {
  const SafetensorsEntry* entry = find(name);
  if (entry == nullptr)
    fail(Status::not_found, source_, ": expected a tensor '", name, "', seen none");
  return tensor(*entry);
}

TensorView SafetensorsReader::tensor(const SafetensorsEntry& entry) const {
  const SafetensorsType* type = find_safetensors_type(entry.dtype);
  if (type == nullptr || !type->dtype)
    fail(Status::type_mismatch, source_, ": cannot use tensor '", entry.name, "' of type ",
         entry.dtype);
  TensorView view;
  view.name = entry.name;
  view.dtype = *type->dtype;
  view.shape = entry.shape;
  view.data =
      data_.subspan(static_cast<size_t>(entry.begin), static_cast<size_t>(entry.end - entry.begin));
  return view;
}

} // namespace anet::io
