// A flat fp32 host array as kernels see it: in place where the device reads host memory in fp32,
// else a copy in the device's memory and precision that `stage` renews.
#pragma once

#include "backend/backend.h"

#include <cstdint>
#include <memory>
#include <span>

namespace anet::backend {

class StagedArray {
public:
  // `values` outlives this object and is 64-byte aligned.
  StagedArray(Device& device, std::span<float> values, DataType dtype);

  // `shape` elements from `offset` (in elements) on.
  View view(int64_t offset, const Shape& shape) const;
  // Bytes written; 0 when the array is used in place.
  uint64_t stage(ThreadPool& pool);

  static bool is_in_place(const Device& device, DataType dtype);

private:
  std::span<float> values_;
  DataType dtype_;
  bool in_place_;
  std::unique_ptr<Buffer> buffer_;
};

} // namespace anet::backend
