// A named tensor in somebody else's memory, as files hold them: dense, row-major, little-endian.
#pragma once

#include "mil/type.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace anet::io {

struct TensorInfo {
  std::string name;
  mil::DataType dtype = mil::DataType::fp32;
  mil::Shape shape;
  bool operator==(const TensorInfo&) const = default;
};

struct TensorView : TensorInfo {
  std::span<const std::byte> data; // any alignment; valid as long as its owner
};

// fp16, bf16 and fp32 elements as float. `values` has exactly as many as the tensor; another dtype
// is type_mismatch.
void copy_to_float(const TensorView& tensor, std::span<float> values);
std::vector<float> to_float(const TensorView& tensor);

// A view of fp32 values. Throws shape_mismatch if their number is not that of the shape.
TensorView float_tensor(std::string name, mil::Shape shape, std::span<const float> values);

} // namespace anet::io
