#include "train/state_array.h"

#include "base/float16.h"

#include <algorithm>
#include <cstring>

namespace anet::train {

StateArray::StateArray(int64_t elements, mil::DataType dtype)
    : memory_(allocate_aligned(elements * (dtype == mil::DataType::bf16 ? 2 : 4))), dtype_(dtype) {
  std::memset(memory_.get(), 0, static_cast<size_t>(elements) * width());
}

float* StateArray::floats(int64_t at) const {
  return dtype_ == mil::DataType::fp32 ? reinterpret_cast<float*>(memory_.get()) + at : nullptr;
}

uint16_t* StateArray::bfloat16(int64_t at) const {
  return dtype_ == mil::DataType::bf16 ? reinterpret_cast<uint16_t*>(memory_.get()) + at : nullptr;
}

std::span<const std::byte> StateArray::bytes(int64_t at, int64_t count) const {
  const auto* begin = reinterpret_cast<const std::byte*>(memory_.get());
  return {begin + static_cast<size_t>(at) * width(), static_cast<size_t>(count) * width()};
}

void StateArray::write(int64_t at, std::span<const float> values) {
  if (float* wide = floats(at))
    std::copy(values.begin(), values.end(), wide);
  else
    std::transform(values.begin(), values.end(), bfloat16(at), float_to_bfloat16);
}

} // namespace anet::train
