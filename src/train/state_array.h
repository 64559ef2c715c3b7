// What an optimizer remembers of every trained element: a large array of fp32 or bf16 numbers,
// zeros at first, aligned to 64 bytes.
#pragma once

#include "base/aligned_memory.h"
#include "mil/type.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace anet::train {

class StateArray {
public:
  // `dtype` is fp32 or bf16. Throws out_of_memory.
  StateArray(int64_t elements, mil::DataType dtype);

  mil::DataType dtype() const { return dtype_; }
  // Of an element.
  size_t width() const { return dtype_ == mil::DataType::bf16 ? 2 : 4; }
  // Those of elements from one on; null where the numbers have the other type.
  float* floats(int64_t at) const;
  uint16_t* bfloat16(int64_t at) const;
  std::span<const std::byte> bytes(int64_t at, int64_t count) const;
  // From fp32: as they are, or rounded to nearest even.
  void write(int64_t at, std::span<const float> values);

private:
  AlignedMemory memory_;
  mil::DataType dtype_;
};

} // namespace anet::train
