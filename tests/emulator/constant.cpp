#include "constant.h"

#include "arithmetic.h"
#include "refusal.h"

#include <array>
#include <cstring>
#include <fstream>

namespace emulator {

namespace {

struct Record {
  uint32_t sentinel;
  uint32_t dtype;
  uint64_t size;
  uint64_t data;
  uint64_t padding_bits;
};

// The dtype numbers of ane-facts.md 3.3.
std::optional<DataType> blob_dtype(uint32_t code) {
  static constexpr std::array<DataType, 16> types = {DataType::string /* 0 is none */,
                                                     DataType::fp16,
                                                     DataType::fp32,
                                                     DataType::uint8,
                                                     DataType::int8,
                                                     DataType::bf16,
                                                     DataType::int16,
                                                     DataType::uint16,
                                                     DataType::int4,
                                                     DataType::uint1,
                                                     DataType::uint2,
                                                     DataType::uint4,
                                                     DataType::uint3,
                                                     DataType::uint6,
                                                     DataType::int32,
                                                     DataType::uint32};
  if (code == 0 || code >= types.size()) return std::nullopt;
  return types[code];
}

template <typename T>
T load(const std::vector<std::byte>& file, uint64_t offset) {
  T value;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

// int8 and uint8 payloads under dtype 1 (fp16) are in use and work (3.3).
bool dtype_fits(uint32_t code, DataType declared) {
  if (code == 1 && (declared == DataType::int8 || declared == DataType::uint8)) return true;
  return blob_dtype(code) == declared;
}

Record read_record(const std::vector<std::byte>& file, const BlobName& blob, const Type& type,
                   int line) {
  if (file.size() < 128)
    invalid(line, blob.path, " has ", file.size(), " bytes: no header and record fit");
  const auto count = load<uint32_t>(file, 0);
  const auto version = load<uint32_t>(file, 4);
  if (count == 0 || version != 2) {
    invalid(line, blob.path, " has count ", count, " and version ", version,
            ", expected version 2");
  }
  if (blob.offset < 64 || blob.offset % 64 != 0 || blob.offset > file.size() - 64) {
    invalid(line, "offset ", blob.offset, " is not that of a record in ", blob.path);
  }
  const Record record = {load<uint32_t>(file, blob.offset), load<uint32_t>(file, blob.offset + 4),
                         load<uint64_t>(file, blob.offset + 8),
                         load<uint64_t>(file, blob.offset + 16),
                         load<uint64_t>(file, blob.offset + 24)};
  if (record.sentinel != 0xDEADBEEF)
    invalid(line, "no record at offset ", blob.offset, " of ", blob.path);
  if (!dtype_fits(record.dtype, type.dtype)) {
    invalid(line, "the record at ", blob.offset, " has dtype ", record.dtype, ", the text says ",
            anet::mil::type_to_string(type));
  }
  if (record.data % 64 != 0 || record.data > file.size() ||
      record.size > file.size() - record.data) {
    invalid(line, "the data at ", record.data, " with ", record.size, " bytes is not inside ",
            blob.path);
  }
  const auto bits = static_cast<uint64_t>(type.elements()) *
                    static_cast<uint64_t>(anet::mil::data_type_bits(type.dtype));
  const uint64_t bytes = (bits + 7) / 8;
  if (record.size != bytes) {
    invalid(line, "the record at ", blob.offset, " has ", record.size, " bytes, the text says ",
            anet::mil::type_to_string(type), " with ", bytes);
  }
  if (record.padding_bits != bytes * 8 - bits) {
    invalid(line, "the record at ", blob.offset, " pads ", record.padding_bits, " bits, expected ",
            bytes * 8 - bits);
  }
  return record;
}

int64_t sign_extend(uint64_t value, int bits) {
  const uint64_t sign = uint64_t{1} << (bits - 1);
  return static_cast<int64_t>((value ^ sign) - sign);
}

bool is_signed(DataType dtype) {
  return dtype == DataType::int4 || dtype == DataType::int8 || dtype == DataType::int16 ||
         dtype == DataType::int32 || dtype == DataType::int64;
}

// Elements are packed low bits first, without gaps.
uint64_t read_bits(const std::byte* data, int64_t index, int bits) {
  uint64_t value = 0;
  const auto start = static_cast<uint64_t>(index) * static_cast<uint64_t>(bits);
  for (int bit = 0; bit < bits; ++bit) {
    const uint64_t at = start + static_cast<uint64_t>(bit);
    value |= (static_cast<uint64_t>(data[at / 8]) >> (at % 8) & 1u) << bit;
  }
  return value;
}

void decode(const std::byte* data, Constant& constant) {
  const DataType dtype = constant.type.dtype;
  const int64_t count = constant.type.elements();
  constant.values.resize(static_cast<size_t>(count));
  if (dtype == DataType::fp32) {
    std::memcpy(constant.values.data(), data, static_cast<size_t>(count) * 4);
    return;
  }
  if (dtype == DataType::fp16) {
    halves_to_floats(data, constant.values.data(), count);
    return;
  }
  const int bits = anet::mil::data_type_bits(dtype);
  constant.integers.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t raw = read_bits(data, i, bits);
    const int64_t value = is_signed(dtype) ? sign_extend(raw, bits) : static_cast<int64_t>(raw);
    constant.integers[static_cast<size_t>(i)] = value;
    constant.values[static_cast<size_t>(i)] = static_cast<float>(value);
  }
}

void fill_inline(const LiteralText& literal, Constant& constant) {
  if (literal.type.dtype == DataType::string) {
    if (!literal.strings.empty()) constant.text = literal.strings.front();
    return;
  }
  const bool floating = anet::mil::is_floating(literal.type.dtype);
  for (const double number : literal.numbers) {
    if (literal.type.dtype == DataType::fp16) {
      constant.values.push_back(round_half_once(number));
    } else {
      constant.values.push_back(static_cast<float>(number));
    }
    if (!floating) constant.integers.push_back(static_cast<int64_t>(number));
  }
}

} // namespace

FileBytes WeightFiles::open(const std::string& path, int line) {
  const auto found = files_.find(path);
  if (found != files_.end()) return found->second;
  const std::string prefix = "@model_path/";
  if (!path.starts_with(prefix) || directory_.empty()) {
    invalid(line, "expected a file under @model_path/, got ", path);
  }
  const std::string name = directory_ + "/" + path.substr(prefix.size());
  std::ifstream stream(name, std::ios::binary | std::ios::ate);
  if (!stream) invalid(line, "there is no file ", name);
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(stream.tellg()));
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(bytes->data()), static_cast<std::streamsize>(bytes->size()));
  if (!stream) invalid(line, "the file ", name, " cannot be read");
  files_[path] = bytes;
  return bytes;
}

ConstantPointer make_constant(const LiteralText& literal, WeightFiles& files, int line) {
  auto constant = std::make_shared<Constant>();
  constant->type = literal.type;
  if (literal.dictionary || literal.type.buffer)
    invalid(line, "a constant is a scalar or a tensor");
  if (literal.blob) {
    if (literal.type.dtype == DataType::boolean || literal.type.dtype == DataType::string) {
      invalid(line, "a blob holds numbers, not ", anet::mil::type_to_string(literal.type));
    }
    const FileBytes file = files.open(literal.blob->path, line);
    const Record record = read_record(*file, *literal.blob, literal.type, line);
    decode(file->data() + record.data, *constant);
  } else {
    fill_inline(literal, *constant);
  }
  return constant;
}

} // namespace emulator
