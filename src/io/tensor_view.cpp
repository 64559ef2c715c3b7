#include "io/tensor_view.h"

#include "base/float16.h"
#include "base/status.h"

#include <bit>
#include <cstring>

namespace anet::io {
namespace {

static_assert(std::endian::native == std::endian::little);

// Data may have any alignment, so halves are copied out one by one.
template <typename Convert>
void convert_halves(const TensorView& tensor, std::span<float> values, Convert convert) {
  const std::byte* source = tensor.data.data();
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, source + 2 * i, sizeof(half));
    values[i] = convert(half);
  }
}

} // namespace

void copy_to_float(const TensorView& tensor, std::span<float> values) {
  if (!mil::is_floating(tensor.dtype))
    fail(Status::type_mismatch, "expected a floating-point tensor '", tensor.name, "', seen ",
         mil::data_type_name(tensor.dtype));
  const size_t width = static_cast<size_t>(mil::data_type_bits(tensor.dtype)) / 8;
  if (tensor.data.size() != values.size() * width)
    fail(Status::shape_mismatch, "expected ", values.size(), " elements in tensor '", tensor.name,
         "', seen ", tensor.data.size() / width);
  if (values.empty()) return;
  if (tensor.dtype == mil::DataType::fp16)
    convert_halves(tensor, values, half_to_float);
  else if (tensor.dtype == mil::DataType::bf16)
    convert_halves(tensor, values, bfloat16_to_float);
  else
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
}

std::vector<float> to_float(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(mil::element_count(tensor.shape)));
  copy_to_float(tensor, values);
  return values;
}

TensorView float_tensor(std::string name, mil::Shape shape, std::span<const float> values) {
  if (mil::element_count(shape) != static_cast<int64_t>(values.size()))
    fail(Status::shape_mismatch, "expected ", mil::element_count(shape), " values for tensor '",
         name, "' of shape ", mil::shape_to_string(shape), ", seen ", values.size());
  TensorView view;
  view.name = std::move(name);
  view.dtype = mil::DataType::fp32;
  view.shape = std::move(shape);
  view.data = std::as_bytes(values);
  return view;
}

} // namespace anet::io
