// Compile-time values: numbers, strings, lists, dictionaries, and references into blob files.
#pragma once

#include "mil/type.h"

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace anet::mil {

// Shared, immutable bytes: copying a program never copies its weights.
class Bytes {
public:
  Bytes() = default;
  explicit Bytes(std::vector<std::byte> data);
  // `owner` keeps `view` alive (a mapped file, an application's buffer).
  Bytes(std::shared_ptr<const void> owner, std::span<const std::byte> view)
      : owner_(std::move(owner)), view_(view) {}

  std::span<const std::byte> view() const { return view_; }
  size_t size() const { return view_.size(); }
  bool operator==(const Bytes& other) const;

private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> view_;
};

// Blob files by the path that the MIL text names, e.g. "@model_path/weights/weight.bin".
using BlobFiles = std::map<std::string, Bytes>;

// BLOBFILE(path, offset): offset is that of the metadata record (ane-facts.md 3.3).
struct BlobReference {
  std::string path;
  uint64_t offset = 0;
  bool operator==(const BlobReference&) const = default;
};

// One compile-time value. Exactly one of the payloads is in use: `strings` for DataType::string,
// `entries` for dictionaries (attributes only; their type is a string without strings), else
// `data`, which is dense, row-major, little-endian, sub-byte elements packed low bits first. A
// literal that came from a blob file holds both the reference and the data it resolved to.
struct Literal {
  Type type;
  Bytes data;
  std::vector<std::string> strings;
  std::vector<std::pair<std::string, std::string>> entries; // dict<string, string>
  std::optional<BlobReference> blob;

  static Literal boolean(bool value);
  static Literal string(std::string value);
  static Literal dictionary(std::vector<std::pair<std::string, std::string>> entries);
  static Literal int32(int32_t value);
  static Literal int32s(std::span<const int64_t> values); // rank 1
  // Any numeric type, rounded to nearest even; out_of_range when an integer type cannot hold it.
  static Literal scalar(DataType dtype, double value);
  static Literal fill(Type type, double value);
  static Literal numbers(Type type, std::span<const double> values);
  static Literal bytes(Type type, Bytes data);
  // From the bit pattern of each element, as bits() gives it.
  static Literal from_bits(Type type, std::span<const uint64_t> elements);

  bool operator==(const Literal&) const = default;

  bool is_dictionary() const { return type.dtype == DataType::string && strings.empty(); }

  uint64_t bits(int64_t index) const;

  // Readers convert from any integer or floating type; they throw type_mismatch for others.
  double number(int64_t index = 0) const;
  std::vector<double> numbers() const;
  std::vector<int64_t> integers() const;
  int64_t integer() const;
  bool boolean() const;
  const std::string& string() const;
};

// The bit pattern of a value in a numeric type, rounded to nearest even; out_of_range when an
// integer type cannot hold it.
uint64_t encode_number(DataType dtype, double value);

} // namespace anet::mil
