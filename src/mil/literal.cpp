#include "mil/literal.h"

#include "base/float16.h"
#include "base/status.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace anet::mil {

static_assert(std::endian::native == std::endian::little, "literals are little-endian");

namespace {

struct IntegerRange {
  int64_t low;
  uint64_t high;
};

IntegerRange integer_range(DataType dtype) {
  const int bits = data_type_bits(dtype);
  if (dtype >= DataType::uint1) {
    return {0, bits == 64 ? std::numeric_limits<uint64_t>::max() : (uint64_t{1} << bits) - 1};
  }
  const uint64_t high = (uint64_t{1} << (bits - 1)) - 1;
  return {-static_cast<int64_t>(high) - 1, high};
}

// Element `index` of width `bits`, zero-extended. Bytes are read one at a time when an element may
// straddle them.
uint64_t load_bits(std::span<const std::byte> data, int64_t index, int bits) {
  uint64_t raw = 0;
  if (bits >= 8) {
    const auto width = static_cast<size_t>(bits / 8);
    std::memcpy(&raw, data.data() + static_cast<size_t>(index) * width, width);
    return raw;
  }
  for (int i = 0; i < bits; ++i) {
    const int64_t bit = index * bits + i;
    const auto byte = std::to_integer<uint64_t>(data[static_cast<size_t>(bit / 8)]);
    raw |= ((byte >> (bit % 8)) & 1u) << i;
  }
  return raw;
}

void store_bits(std::span<std::byte> data, int64_t index, int bits, uint64_t raw) {
  if (bits >= 8) {
    const auto width = static_cast<size_t>(bits / 8);
    std::memcpy(data.data() + static_cast<size_t>(index) * width, &raw, width);
    return;
  }
  for (int i = 0; i < bits; ++i) {
    const int64_t bit = index * bits + i;
    if ((raw >> i) & 1u) data[static_cast<size_t>(bit / 8)] |= std::byte{1} << (bit % 8);
  }
}

int64_t sign_extend(uint64_t raw, int bits) {
  const int shift = 64 - bits;
  return static_cast<int64_t>(raw << shift) >> shift;
}

uint64_t encode_integer(DataType dtype, double value) {
  const IntegerRange range = integer_range(dtype);
  const double rounded = std::nearbyint(value);
  // 2^63 and 2^64 are exact doubles; the limits below them are not, so compare with `high + 1`.
  const double above = std::ldexp(1.0, std::bit_width(range.high));
  if (!(rounded >= static_cast<double>(range.low) && rounded < above)) {
    fail(Status::out_of_range, "expected a value that fits ", data_type_name(dtype), ", got ",
         value);
  }
  return rounded < 0 ? static_cast<uint64_t>(static_cast<int64_t>(rounded))
                     : static_cast<uint64_t>(rounded);
}

// Rounds to odd on the way through float, so that double -> bf16 never rounds twice.
uint16_t encode_bfloat16(double value) {
  float single = static_cast<float>(value);
  const double error = value - static_cast<double>(single);
  if (std::isfinite(single) && error != 0) {
    auto bits = std::bit_cast<uint32_t>(single);
    if ((error < 0) != (value < 0)) bits -= 1; // back towards zero
    single = std::bit_cast<float>(bits | 1u);
  }
  return float_to_bfloat16(single);
}

double decode(DataType dtype, uint64_t raw) {
  switch (dtype) {
  case DataType::boolean:
    return raw != 0 ? 1 : 0;
  case DataType::fp16:
    return half_to_float(static_cast<uint16_t>(raw));
  case DataType::bf16:
    return bfloat16_to_float(static_cast<uint16_t>(raw));
  case DataType::fp32:
    return std::bit_cast<float>(static_cast<uint32_t>(raw));
  default:
    break;
  }
  if (dtype >= DataType::uint1) return static_cast<double>(raw);
  return static_cast<double>(sign_extend(raw, data_type_bits(dtype)));
}

void check_numeric(const Literal& literal) {
  if (literal.type.dtype == DataType::string) {
    fail(Status::type_mismatch, "expected a number, got a ",
         literal.is_dictionary() ? "dictionary" : "string");
  }
}

int64_t checked_index(const Literal& literal, int64_t index) {
  if (index < 0 || index >= literal.type.elements()) {
    fail(Status::out_of_range, "expected an element index below ", literal.type.elements(),
         ", got ", index);
  }
  return index;
}

int64_t integer_at(const Literal& literal, int64_t index) {
  const DataType dtype = literal.type.dtype;
  const uint64_t raw = load_bits(literal.data.view(), index, data_type_bits(dtype));
  if (dtype == DataType::boolean) return raw != 0 ? 1 : 0;
  if (dtype == DataType::uint64) {
    if (raw > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail(Status::out_of_range, "expected an integer below 2^63, got ", raw);
    }
    return static_cast<int64_t>(raw);
  }
  if (dtype >= DataType::uint1 && is_integer(dtype)) return static_cast<int64_t>(raw);
  if (is_integer(dtype)) return sign_extend(raw, data_type_bits(dtype));
  const double value = decode(dtype, raw);
  if (value != std::trunc(value) || std::fabs(value) > 0x1p53) {
    fail(Status::type_mismatch, "expected an integer, got ", value);
  }
  return static_cast<int64_t>(value);
}

} // namespace

uint64_t encode_number(DataType dtype, double value) {
  switch (dtype) {
  case DataType::boolean:
    return value != 0 ? 1 : 0;
  case DataType::fp16:
    return double_to_half(value);
  case DataType::bf16:
    return encode_bfloat16(value);
  case DataType::fp32:
    return std::bit_cast<uint32_t>(static_cast<float>(value));
  case DataType::string:
    fail(Status::type_mismatch, "expected a numeric type for ", value, ", got string");
  default:
    return encode_integer(dtype, value);
  }
}

Bytes::Bytes(std::vector<std::byte> data) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(data));
  view_ = *owner;
  owner_ = std::move(owner);
}

bool Bytes::operator==(const Bytes& other) const {
  if (view_.size() != other.view_.size()) return false;
  if (view_.data() == other.view_.data() || view_.empty()) return true;
  return std::memcmp(view_.data(), other.view_.data(), view_.size()) == 0;
}

Literal Literal::boolean(bool value) { return scalar(DataType::boolean, value ? 1 : 0); }

Literal Literal::string(std::string value) {
  Literal literal;
  literal.type = {DataType::string, {}, {}};
  literal.strings.push_back(std::move(value));
  return literal;
}

Literal Literal::dictionary(std::vector<std::pair<std::string, std::string>> entries) {
  Literal literal;
  literal.type = {DataType::string, {}, {}};
  literal.entries = std::move(entries);
  return literal;
}

Literal Literal::int32(int32_t value) { return scalar(DataType::int32, value); }

Literal Literal::int32s(std::span<const int64_t> values) {
  std::vector<double> numbers(values.begin(), values.end());
  return Literal::numbers({DataType::int32, {static_cast<int64_t>(values.size())}, {}}, numbers);
}

Literal Literal::scalar(DataType dtype, double value) { return fill({dtype, {}, {}}, value); }

Literal Literal::fill(Type type, double value) {
  const uint64_t raw = encode_number(type.dtype, value);
  const int bits = data_type_bits(type.dtype);
  std::vector<std::byte> data(static_cast<size_t>(type.bytes()));
  const int64_t count = raw == 0 ? 0 : type.elements();
  for (int64_t i = 0; i < count; ++i) store_bits(data, i, bits, raw);
  return bytes(std::move(type), Bytes(std::move(data)));
}

Literal Literal::numbers(Type type, std::span<const double> values) {
  if (static_cast<int64_t>(values.size()) != type.elements()) {
    fail(Status::shape_mismatch, "expected ", type.elements(), " numbers for ",
         type_to_string(type), ", got ", values.size());
  }
  const int bits = data_type_bits(type.dtype);
  std::vector<std::byte> data(static_cast<size_t>(type.bytes()));
  for (size_t i = 0; i < values.size(); ++i) {
    store_bits(data, static_cast<int64_t>(i), bits, encode_number(type.dtype, values[i]));
  }
  return bytes(std::move(type), Bytes(std::move(data)));
}

Literal Literal::bytes(Type type, Bytes data) {
  if (type.dtype == DataType::string) {
    fail(Status::type_mismatch, "expected a numeric type, got string");
  }
  if (static_cast<int64_t>(data.size()) != type.bytes()) {
    fail(Status::shape_mismatch, "expected ", type.bytes(), " bytes for ", type_to_string(type),
         ", got ", data.size());
  }
  Literal literal;
  literal.type = std::move(type);
  literal.data = std::move(data);
  return literal;
}

Literal Literal::from_bits(Type type, std::span<const uint64_t> elements) {
  if (static_cast<int64_t>(elements.size()) != type.elements()) {
    fail(Status::shape_mismatch, "expected ", type.elements(), " elements for ",
         type_to_string(type), ", got ", elements.size());
  }
  const int bits = data_type_bits(type.dtype);
  std::vector<std::byte> data(static_cast<size_t>(type.bytes()));
  for (size_t i = 0; i < elements.size(); ++i) {
    store_bits(data, static_cast<int64_t>(i), bits, elements[i]);
  }
  return bytes(std::move(type), Bytes(std::move(data)));
}

uint64_t Literal::bits(int64_t index) const {
  check_numeric(*this);
  return load_bits(data.view(), checked_index(*this, index), data_type_bits(type.dtype));
}

double Literal::number(int64_t index) const {
  check_numeric(*this);
  return decode(type.dtype,
                load_bits(data.view(), checked_index(*this, index), data_type_bits(type.dtype)));
}

std::vector<double> Literal::numbers() const {
  check_numeric(*this);
  const int bits = data_type_bits(type.dtype);
  std::vector<double> values(static_cast<size_t>(type.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = decode(type.dtype, load_bits(data.view(), static_cast<int64_t>(i), bits));
  }
  return values;
}

std::vector<int64_t> Literal::integers() const {
  check_numeric(*this);
  std::vector<int64_t> values(static_cast<size_t>(type.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = integer_at(*this, static_cast<int64_t>(i));
  return values;
}

int64_t Literal::integer() const {
  check_numeric(*this);
  if (type.elements() != 1) {
    fail(Status::shape_mismatch, "expected one integer, got ", type_to_string(type));
  }
  return integer_at(*this, 0);
}

bool Literal::boolean() const {
  if (type.dtype != DataType::boolean || type.elements() != 1) {
    fail(Status::type_mismatch, "expected one bool, got ", type_to_string(type));
  }
  return load_bits(data.view(), 0, 8) != 0;
}

const std::string& Literal::string() const {
  if (type.dtype != DataType::string || strings.size() != 1) {
    fail(Status::type_mismatch, "expected one string, got ",
         is_dictionary() ? "a dictionary" : type_to_string(type));
  }
  return strings.front();
}

} // namespace anet::mil
