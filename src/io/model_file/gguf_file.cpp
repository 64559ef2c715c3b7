#include "io/model_file/gguf_file.h"

#include "base/json.h"
#include "base/status.h"
#include "io/model_file/mapped_source.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace anet::io {
namespace {

constexpr uint32_t supported_version = 3;
constexpr uint64_t default_alignment = 32;
constexpr uint64_t max_alignment = uint64_t{1} << 20;
constexpr uint32_t max_rank = 4;
constexpr uint64_t max_key = 65535;
constexpr uint64_t max_tensor_name = 1024; // the format's own limit is 64

constexpr std::array<std::pair<uint32_t, Encoding>, 6> encodings = {{
    {0, Encoding::fp32},
    {1, Encoding::fp16},
    {2, Encoding::q4_0},
    {8, Encoding::q8_0},
    {14, Encoding::q6_k},
    {30, Encoding::bf16},
}};

constexpr std::array<std::pair<uint32_t, const char*>, 16> other_types = {{
    {3, "Q4_1"},
    {6, "Q5_0"},
    {7, "Q5_1"},
    {9, "Q8_1"},
    {10, "Q2_K"},
    {11, "Q3_K"},
    {12, "Q4_K"},
    {13, "Q5_K"},
    {15, "Q8_K"},
    {20, "IQ4_NL"},
    {23, "IQ4_XS"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {28, "F64"},
}};

std::string_view read_string(ByteCursor& cursor, uint64_t maximum, std::string_view what) {
  const auto size = cursor.value<uint64_t>(what);
  if (size > maximum)
    fail(Status::invalid_data, cursor.source(), ": expected at most ", maximum, " bytes for ", what,
         ", seen ", size);
  const auto bytes = cursor.take(static_cast<int64_t>(size), 1, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr uint64_t max_string = std::numeric_limits<int64_t>::max();

// Bytes of a number or a boolean; 0 for strings and arrays.
int64_t scalar_size(GgufType type) {
  switch (type) {
  case GgufType::uint8:
  case GgufType::int8:
  case GgufType::boolean:
    return 1;
  case GgufType::uint16:
  case GgufType::int16:
    return 2;
  case GgufType::uint32:
  case GgufType::int32:
  case GgufType::float32:
    return 4;
  case GgufType::uint64:
  case GgufType::int64:
  case GgufType::float64:
    return 8;
  default:
    return 0;
  }
}

GgufArray read_array(ByteCursor& cursor, const std::string& key) {
  GgufArray array;
  array.type = static_cast<GgufType>(cursor.value<uint32_t>(key));
  array.count = cursor.value<uint64_t>(key);
  if (array.count > max_string)
    fail(Status::invalid_data, cursor.source(), ": too many elements for '", key,
         "': ", array.count);
  if (const int64_t size = scalar_size(array.type); size != 0) {
    array.bytes = cursor.take(static_cast<int64_t>(array.count), size, key);
    return array;
  }
  if (array.type != GgufType::string)
    fail(Status::invalid_data, cursor.source(),
         ": expected an array of numbers, booleans or "
         "strings for '",
         key, "', seen type ", static_cast<uint32_t>(array.type));
  const std::span<const std::byte> rest = cursor.rest();
  for (uint64_t i = 0; i < array.count; ++i) read_string(cursor, max_string, key);
  array.bytes = rest.first(rest.size() - cursor.left());
  return array;
}

// Somebody wrote 1e-5, and fp32 kept 9.99999975e-6: the number with the fewest digits is meant.
double decimal_value(float value) {
  if (!std::isfinite(value)) return value;
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return *Json::parse(std::string_view(digits.data(), static_cast<size_t>(end - digits.data())))
              .to_double();
}

GgufValue read_value(ByteCursor& cursor, const std::string& key) {
  const auto type = cursor.value<uint32_t>(key);
  switch (static_cast<GgufType>(type)) {
  case GgufType::uint8:
    return uint64_t{cursor.value<uint8_t>(key)};
  case GgufType::int8:
    return int64_t{cursor.value<int8_t>(key)};
  case GgufType::uint16:
    return uint64_t{cursor.value<uint16_t>(key)};
  case GgufType::int16:
    return int64_t{cursor.value<int16_t>(key)};
  case GgufType::uint32:
    return uint64_t{cursor.value<uint32_t>(key)};
  case GgufType::int32:
    return int64_t{cursor.value<int32_t>(key)};
  case GgufType::float32:
    return decimal_value(cursor.value<float>(key));
  case GgufType::boolean:
    return cursor.value<uint8_t>(key) != 0;
  case GgufType::string:
    return read_string(cursor, max_string, key);
  case GgufType::array:
    return read_array(cursor, key);
  case GgufType::uint64:
    return cursor.value<uint64_t>(key);
  case GgufType::int64:
    return cursor.value<int64_t>(key);
  case GgufType::float64:
    return cursor.value<double>(key);
  }
  fail(Status::invalid_data, cursor.source(), ": expected a type of value from 0 to 12 for '", key,
       "', seen ", type);
}

void check_version(const ByteCursor& cursor, uint32_t version) {
  if (version == supported_version) return;
  const bool swapped = version == supported_version << 24;
  fail(Status::version, cursor.source(), ": expected GGUF version ", supported_version, ", seen ",
       swapped ? "a big-endian file" : concat(version));
}

} // namespace

std::string gguf_tensor_type_name(uint32_t type) {
  if (const auto encoding = gguf_encoding(type)) return std::string(encoding_name(*encoding));
  for (const auto& [number, name] : other_types)
    if (number == type) return name;
  return concat("number ", type);
}

std::optional<Encoding> gguf_encoding(uint32_t type) {
  for (const auto& [number, encoding] : encodings)
    if (number == type) return encoding;
  return std::nullopt;
}

uint32_t gguf_tensor_type(Encoding encoding) {
  for (const auto& [number, known] : encodings)
    if (known == encoding) return number;
  fail(Status::internal, "GGUF has no tensors of ", encoding_name(encoding));
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string source)
    : source_(std::move(source)) {
  ByteCursor cursor(bytes, source_);
  const auto magic = cursor.take(4, 1, "the magic");
  if (std::string_view(reinterpret_cast<const char*>(magic.data()), 4) != "GGUF")
    fail(Status::invalid_data, source_, ": expected a file that begins with GGUF");
  check_version(cursor, cursor.value<uint32_t>("the version"));
  const auto tensor_count = cursor.value<uint64_t>("the number of tensors");
  const auto key_count = cursor.value<uint64_t>("the number of keys");
  read_metadata(cursor, key_count);
  read_tensors(cursor, tensor_count);
  const auto alignment = static_cast<uint64_t>(
      integer("general.alignment", 1, max_alignment).value_or(default_alignment));
  if (!std::has_single_bit(alignment))
    fail(Status::invalid_data, source_, ": expected a power of 2 for general.alignment, seen ",
         alignment);
  const size_t used = bytes.size() - cursor.left();
  const size_t padding = (alignment - used % alignment) % alignment;
  if (tensors_.empty()) return;
  cursor.take(static_cast<int64_t>(padding), 1, "padding");
  place_tensors(cursor.rest(), alignment);
}

void GgufFile::read_metadata(ByteCursor& cursor, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key(read_string(cursor, max_key, "a key"));
    if (!metadata_.emplace(key, read_value(cursor, key)).second)
      fail(Status::invalid_data, source_, ": expected keys that differ, seen '", key, "' twice");
  }
}

void GgufFile::read_tensors(ByteCursor& cursor, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensor tensor;
    tensor.name = read_string(cursor, max_tensor_name, "a tensor's name");
    const auto rank = cursor.value<uint32_t>(tensor.name);
    if (rank < 1 || rank > max_rank)
      fail(Status::invalid_data, source_, ": expected 1 to ", max_rank, " dimensions of '",
           tensor.name, "', seen ", rank);
    for (uint32_t axis = 0; axis < rank; ++axis) {
      const auto extent = cursor.value<uint64_t>(tensor.name);
      if (extent > max_string)
        fail(Status::invalid_data, source_, ": extent ", extent, " of '", tensor.name,
             "' is too large");
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(extent));
    }
    tensor.type = cursor.value<uint32_t>(tensor.name);
    tensor.encoding = gguf_encoding(tensor.type);
    offsets_.push_back(cursor.value<uint64_t>(tensor.name));
    tensors_.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (!index_.emplace(tensors_[i].name, i).second)
      fail(Status::invalid_data, source_, ": expected tensors that differ, seen '",
           tensors_[i].name, "' twice");
}

void GgufFile::place_tensors(std::span<const std::byte> data, uint64_t alignment) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges; // of the tensors whose size is known
  for (size_t i = 0; i < tensors_.size(); ++i) {
    GgufTensor& tensor = tensors_[i];
    const uint64_t offset = offsets_[i];
    if (offset % alignment != 0 || offset > data.size())
      fail(Status::invalid_data, source_, ": expected a multiple of ", alignment, " up to ",
           data.size(), " as offset of '", tensor.name, "', seen ", offset);
    if (!tensor.encoding) continue;
    const int64_t block = block_elements(*tensor.encoding);
    int64_t size = block_bytes(*tensor.encoding);
    bool fits = tensor.shape.back() % block == 0;
    for (size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      const int64_t extent = tensor.shape[axis] / (axis + 1 == tensor.shape.size() ? block : 1);
      fits = fits && !__builtin_mul_overflow(size, extent, &size);
    }
    if (!fits || static_cast<uint64_t>(size) > data.size() - offset)
      fail(Status::invalid_data, source_, ": tensor '", tensor.name, "' of type ",
           gguf_tensor_type_name(tensor.type), " and shape ", mil::shape_to_string(tensor.shape),
           " does not fit into the ", data.size() - offset, " bytes from its offset on");
    tensor.data = data.subspan(offset, static_cast<size_t>(size));
    if (size != 0) ranges.emplace_back(offset, offset + static_cast<uint64_t>(size));
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].first < ranges[i - 1].second)
      fail(Status::invalid_data, source_, ": tensors overlap at offset ", ranges[i].first);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* GgufFile::find(const std::string& key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

void GgufFile::fail_type(const std::string& key, std::string_view expected) const {
  fail(Status::invalid_data, source_, ": expected ", expected, " for '", key, "'");
}

std::optional<int64_t> GgufFile::integer(const std::string& key, int64_t minimum,
                                         int64_t maximum) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  int64_t result = 0;
  if (const auto* natural = std::get_if<uint64_t>(value)) {
    result = static_cast<int64_t>(std::min<uint64_t>(*natural, max_string));
  } else if (const auto* integer = std::get_if<int64_t>(value)) {
    result = *integer;
  } else {
    fail_type(key, "an integer");
  }
  if (result < minimum || result > maximum)
    fail(Status::invalid_data, source_, ": expected ", minimum, " to ", maximum, " for '", key,
         "', seen ", result);
  return result;
}

std::optional<double> GgufFile::number(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* real = std::get_if<double>(value)) return *real;
  if (const auto* natural = std::get_if<uint64_t>(value)) return static_cast<double>(*natural);
  if (const auto* integer = std::get_if<int64_t>(value)) return static_cast<double>(*integer);
  fail_type(key, "a number");
}

std::optional<std::string_view> GgufFile::string(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string_view>(value)) return *text;
  fail_type(key, "a string");
}

std::optional<bool> GgufFile::boolean(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  fail_type(key, "a boolean");
}

} // namespace anet::io
