#include "mil/type.h"

#include "base/status.h"

#include <array>
#include <limits>

namespace anet::mil {

namespace {

struct DataTypeInfo {
  const char* name;
  int bits;
};

// In the order of DataType.
constexpr std::array<DataTypeInfo, 19> data_types{{
    {"bool", 8},    {"string", 0}, {"int4", 4},  {"int8", 8},    {"int16", 16},
    {"int32", 32},  {"int64", 64}, {"uint1", 1}, {"uint2", 2},   {"uint3", 3},
    {"uint4", 4},   {"uint6", 6},  {"uint8", 8}, {"uint16", 16}, {"uint32", 32},
    {"uint64", 64}, {"fp16", 16},  {"bf16", 16}, {"fp32", 32},
}};
static_assert(data_types.size() == static_cast<size_t>(DataType::fp32) + 1);

std::string list_to_string(const std::vector<int64_t>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(values[i]);
  }
  return text + "]";
}

} // namespace

const char* data_type_name(DataType dtype) { return data_types[static_cast<size_t>(dtype)].name; }

std::optional<DataType> data_type_from_name(std::string_view name) {
  for (size_t i = 0; i < data_types.size(); ++i) {
    if (name == data_types[i].name) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

int data_type_bits(DataType dtype) { return data_types[static_cast<size_t>(dtype)].bits; }

bool is_floating(DataType dtype) {
  return dtype == DataType::fp16 || dtype == DataType::bf16 || dtype == DataType::fp32;
}

bool is_integer(DataType dtype) { return dtype >= DataType::int4 && dtype <= DataType::uint64; }

std::optional<int64_t> checked_element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t extent : shape) {
    if (extent < 1 || extent > max_extent || count > max_elements / extent) return std::nullopt;
    count *= extent;
  }
  return count;
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

std::vector<int64_t> contiguous_strides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

std::string shape_to_string(const Shape& shape) { return list_to_string(shape); }

int64_t Type::bytes() const { return (elements() * data_type_bits(dtype) + 7) / 8; }

void check_type(const Type& type) {
  if (type.shape.size() > max_rank) {
    fail(Status::invalid_program, "expected a rank of at most ", max_rank, ", got shape ",
         shape_to_string(type.shape));
  }
  if (!checked_element_count(type.shape)) {
    fail(Status::invalid_program, "expected extents from 1 to ", max_extent, " and at most ",
         max_elements, " elements, got shape ", shape_to_string(type.shape));
  }
  if (!type.buffer) return;
  const BufferLayout& layout = *type.buffer;
  if (layout.strides.size() != type.shape.size() ||
      layout.interleave_factors.size() != type.shape.size()) {
    fail(Status::invalid_program, "expected ", type.shape.size(),
         " strides and interleave factors, got ", layout.strides.size(), " and ",
         layout.interleave_factors.size());
  }
  for (int64_t stride : layout.strides) {
    if (stride < 1 || stride > max_elements) {
      fail(Status::invalid_program, "expected strides from 1 to ", max_elements, ", got ",
           list_to_string(layout.strides));
    }
  }
  for (int64_t factor : layout.interleave_factors) {
    if (factor < 1 || factor > 255) {
      fail(Status::invalid_program, "expected interleave factors from 1 to 255, got ",
           list_to_string(layout.interleave_factors));
    }
  }
}

std::string type_to_string(const Type& type) {
  const std::string name = data_type_name(type.dtype);
  if (type.buffer) {
    return "tensor_buffer<" + name + ", shape=" + list_to_string(type.shape) +
           ", strides=" + list_to_string(type.buffer->strides) +
           ", interleave_factors=" + list_to_string(type.buffer->interleave_factors) + ">";
  }
  if (type.is_scalar()) return name;
  return "tensor<" + name + ", " + list_to_string(type.shape) + ">";
}

} // namespace anet::mil
