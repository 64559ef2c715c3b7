// Types of MIL values: an element type, a shape and, for ports that fix their memory layout, a
// tensor_buffer layout. Grammar: ane-facts.md 4.1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anet::mil {

enum class DataType : uint8_t {
  boolean,
  string,
  int4,
  int8,
  int16,
  int32,
  int64,
  uint1,
  uint2,
  uint3,
  uint4,
  uint6,
  uint8,
  uint16,
  uint32,
  uint64,
  fp16,
  bf16,
  fp32,
};

const char* data_type_name(DataType dtype); // "fp16", "bool", ...
std::optional<DataType> data_type_from_name(std::string_view name);
int data_type_bits(DataType dtype); // 0 for string
bool is_floating(DataType dtype);
bool is_integer(DataType dtype); // not boolean

using Shape = std::vector<int64_t>;

// Limits of a verified program. They keep every product of extents, strides and int32 arguments
// inside int64. Operands of constexpr_lut_to_dense have two more axes than the weight they encode.
inline constexpr size_t max_rank = 8;
inline constexpr int64_t max_extent = (int64_t{1} << 31) - 1;
inline constexpr int64_t max_elements = int64_t{1} << 48;

// The product of the extents, or nullopt when an extent or the product is out of limits.
std::optional<int64_t> checked_element_count(const Shape& shape);
// Product of the extents; 1 for a scalar. Shapes in a verified program never overflow it.
int64_t element_count(const Shape& shape);
// Row-major strides in elements.
std::vector<int64_t> contiguous_strides(const Shape& shape);
std::string shape_to_string(const Shape& shape); // "[1, 768, 1, 256]"

// tensor_buffer<fp16, shape=..., strides=..., interleave_factors=...>; strides in elements.
struct BufferLayout {
  std::vector<int64_t> strides;
  std::vector<int64_t> interleave_factors;
  bool operator==(const BufferLayout&) const = default;
};

// `int32` and `tensor<int32, []>` are the same type.
struct Type {
  DataType dtype = DataType::fp32;
  Shape shape;
  std::optional<BufferLayout> buffer = std::nullopt;

  bool is_scalar() const { return shape.empty(); }
  int64_t elements() const { return element_count(shape); }
  // Dense row-major size; sub-byte elements are packed, low bits first.
  int64_t bytes() const;
  bool operator==(const Type&) const = default;
};

std::string type_to_string(const Type& type); // MIL spelling
// Throws Error(invalid_program) for a type that is out of limits or has an inconsistent layout.
void check_type(const Type& type);

} // namespace anet::mil
