// A large array of floats: zeroed, 64-byte aligned, of a size fixed at creation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace anet {

class FlatArray {
public:
  FlatArray() = default;
  explicit FlatArray(int64_t elements); // throws out_of_memory

  std::span<float> values() { return {data_.get(), static_cast<size_t>(elements_)}; }
  std::span<const float> values() const { return {data_.get(), static_cast<size_t>(elements_)}; }

private:
  struct Free {
    void operator()(float* data) const;
  };
  std::unique_ptr<float[], Free> data_;
  int64_t elements_ = 0;
};

} // namespace anet
