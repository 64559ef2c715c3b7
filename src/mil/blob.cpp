#include "mil/blob.h"

#include "base/status.h"

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>

namespace anet::mil {

namespace {

// ane-facts.md 3.3 (R). Offsets are from the start of the header or record.
constexpr uint64_t alignment = 64;
constexpr size_t header_size = 64;
constexpr size_t record_size = 64;
constexpr size_t version_at = 4;
constexpr uint32_t version = 2;
constexpr uint32_t sentinel = 0xDEADBEEF;
constexpr size_t dtype_at = 4;
constexpr size_t size_at = 8;
constexpr size_t data_offset_at = 16;
constexpr size_t padding_bits_at = 24;

constexpr std::array<std::pair<DataType, uint32_t>, 15> dtype_codes{{
    {DataType::fp16, 1},
    {DataType::fp32, 2},
    {DataType::uint8, 3},
    {DataType::int8, 4},
    {DataType::bf16, 5},
    {DataType::int16, 6},
    {DataType::uint16, 7},
    {DataType::int4, 8},
    {DataType::uint1, 9},
    {DataType::uint2, 10},
    {DataType::uint4, 11},
    {DataType::uint3, 12},
    {DataType::uint6, 13},
    {DataType::int32, 14},
    {DataType::uint32, 15},
}};

std::optional<uint32_t> code_of(DataType dtype) {
  for (const auto& [type, code] : dtype_codes) {
    if (type == dtype) return code;
  }
  return std::nullopt;
}

std::optional<DataType> dtype_of(uint32_t wanted) {
  for (const auto& [type, code] : dtype_codes) {
    if (code == wanted) return type;
  }
  return std::nullopt;
}

template <typename Integer>
void store(std::span<std::byte> bytes, size_t at, Integer value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <typename Integer>
Integer load(std::span<const std::byte> bytes, size_t at) {
  Integer value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint64_t aligned(uint64_t size) { return (size + alignment - 1) / alignment * alignment; }

// What makes two constants share one blob: the same memory read as the same type.
using BlobKey = std::tuple<const std::byte*, size_t, DataType>;

bool is_storable(const Literal& literal, int64_t min_bytes) {
  return !literal.blob && code_of(literal.type.dtype) && literal.data.size() > 0 &&
         static_cast<int64_t>(literal.data.size()) >= min_bytes;
}

template <typename Visit>
void for_each_literal(Program& program, const Visit& visit) {
  for (Function& function : program.functions) {
    for (Operation& op : function.ops) {
      for (Attribute& attribute : op.attributes) visit(attribute.value);
    }
  }
}

} // namespace

BlobWriter::BlobWriter() : bytes_(header_size) {}

uint64_t BlobWriter::add(DataType dtype, std::span<const std::byte> payload, int64_t elements) {
  const std::optional<uint32_t> code = code_of(dtype);
  if (!code) {
    fail(Status::invalid_argument, "expected a type that blob files have, got ",
         data_type_name(dtype));
  }
  const Type type{dtype, {elements}, {}};
  if (elements < 1 || elements > max_elements ||
      static_cast<int64_t>(payload.size()) != type.bytes()) {
    fail(Status::invalid_argument, "expected the bytes of ", elements, " elements of ",
         data_type_name(dtype), ", got ", payload.size());
  }
  const uint64_t record = bytes_.size();
  const uint64_t data_offset = record + record_size;
  bytes_.resize(data_offset + aligned(payload.size()));
  const std::span<std::byte> fields = std::span(bytes_).subspan(record);
  const auto used_bits =
      static_cast<uint64_t>(elements) * static_cast<uint64_t>(data_type_bits(dtype));
  store(fields, 0, sentinel);
  store(fields, dtype_at, *code);
  store(fields, size_at, uint64_t{payload.size()});
  store(fields, data_offset_at, data_offset);
  store(fields, padding_bits_at, uint64_t{payload.size()} * 8 - used_bits);
  std::memcpy(bytes_.data() + data_offset, payload.data(), payload.size());
  ++count_;
  return record;
}

std::vector<std::byte> BlobWriter::finish() && {
  store(bytes_, 0, count_);
  store(bytes_, version_at, version);
  return std::move(bytes_);
}

BlobRecord read_blob_record(std::span<const std::byte> file, uint64_t offset) {
  if (file.size() < header_size) {
    fail(Status::invalid_blob, "expected a blob file of at least ", header_size, " bytes, got ",
         file.size());
  }
  const auto found_version = load<uint32_t>(file, version_at);
  if (found_version != version) {
    fail(Status::invalid_blob, "expected blob file version ", version, ", got ", found_version);
  }
  if (offset < header_size || offset % alignment != 0 || offset > file.size() ||
      file.size() - offset < record_size) {
    fail(Status::invalid_blob, "expected the offset of a blob record: a multiple of ", alignment,
         " inside the file of ", file.size(), " bytes, got ", offset);
  }
  const std::span<const std::byte> fields = file.subspan(offset, record_size);
  const auto mark = load<uint32_t>(fields, 0);
  if (mark != sentinel) {
    fail(Status::invalid_blob, "expected sentinel ", sentinel, " at offset ", offset, ", got ",
         mark);
  }
  const auto code = load<uint32_t>(fields, dtype_at);
  const std::optional<DataType> dtype = dtype_of(code);
  if (!dtype) {
    fail(Status::invalid_blob, "expected an element type code from 1 to 15, got ", code);
  }
  const BlobRecord record{*dtype, load<uint64_t>(fields, data_offset_at),
                          load<uint64_t>(fields, size_at)};
  if (record.data_offset % alignment != 0 || record.data_offset < header_size ||
      record.data_offset > file.size() || record.size > file.size() - record.data_offset) {
    fail(Status::invalid_blob, "expected a payload inside the file of ", file.size(),
         " bytes, got ", record.size, " bytes at offset ", record.data_offset);
  }
  return record;
}

Literal read_blob(const Bytes& file, const BlobReference& reference, const Type& type) {
  const BlobRecord record = read_blob_record(file.view(), reference.offset);
  if (record.dtype != type.dtype) {
    fail(Status::invalid_blob, "expected a blob of type ", data_type_name(type.dtype), " at '",
         reference.path, "' offset ", reference.offset, ", got ", data_type_name(record.dtype));
  }
  if (record.size != static_cast<uint64_t>(type.bytes())) {
    fail(Status::invalid_blob, "expected ", type.bytes(), " bytes for ", type_to_string(type),
         " at '", reference.path, "' offset ", reference.offset, ", got ", record.size);
  }
  auto owner = std::make_shared<const Bytes>(file);
  Literal literal = Literal::bytes(
      type, Bytes(std::move(owner), file.view().subspan(record.data_offset, record.size)));
  literal.blob = reference;
  return literal;
}

void store_in_blobs(Program& program, int64_t min_bytes, const std::string& path) {
  if (program.blobs.find(path) != program.blobs.end()) {
    fail(Status::invalid_argument, "expected a new blob path, got '", path, "' again");
  }
  BlobWriter writer;
  std::map<BlobKey, uint64_t> offsets;
  const auto key = [](const Literal& literal) {
    return BlobKey{literal.data.view().data(), literal.data.size(), literal.type.dtype};
  };
  for_each_literal(program, [&](const Literal& literal) {
    if (!is_storable(literal, min_bytes) || offsets.count(key(literal)) != 0) return;
    offsets[key(literal)] =
        writer.add(literal.type.dtype, literal.data.view(), literal.type.elements());
  });
  if (offsets.empty()) return;
  const Bytes file(std::move(writer).finish());
  program.blobs[path] = file;
  // The old payloads must outlive the second pass: their addresses are the keys.
  std::vector<Bytes> moved;
  for_each_literal(program, [&](Literal& literal) {
    if (!is_storable(literal, min_bytes)) return;
    moved.push_back(literal.data);
    literal = read_blob(file, {path, offsets.at(key(literal))}, literal.type);
  });
}

} // namespace anet::mil
