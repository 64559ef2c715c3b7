// A large array of floats: zeroed, aligned to 64 bytes, of a size fixed at creation.
#pragma once

#include "base/aligned_memory.h"

#include <cstdint>
#include <span>

namespace anet {

class FlatArray {
public:
  FlatArray() = default;
  explicit FlatArray(int64_t elements); // throws out_of_memory

  std::span<float> values() { return {data(), static_cast<size_t>(elements_)}; }
  std::span<const float> values() const { return {data(), static_cast<size_t>(elements_)}; }

private:
  float* data() const { return reinterpret_cast<float*>(memory_.get()); }

  AlignedMemory memory_;
  int64_t elements_ = 0;
};

} // namespace anet
