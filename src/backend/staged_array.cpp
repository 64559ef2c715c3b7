#include "backend/staged_array.h"

#include "base/float16.h"
#include "base/thread_pool.h"

#include <cstring>

namespace anet::backend {

namespace {

constexpr int64_t grain = 1 << 14;

} // namespace

bool StagedArray::is_in_place(const Device& device, DataType dtype) {
  return dtype == DataType::fp32 && device.capabilities().host_memory;
}

StagedArray::StagedArray(Device& device, std::span<float> values, DataType dtype)
    : values_(values), dtype_(dtype), in_place_(is_in_place(device, dtype)) {
  const Layout layout = Layout::contiguous(dtype, {static_cast<int64_t>(values.size())});
  if (in_place_)
    buffer_ =
        device.import(reinterpret_cast<std::byte*>(values.data()), values.size_bytes(), layout);
  else
    buffer_ = device.allocate(layout);
}

View StagedArray::view(int64_t offset, const Shape& shape) const {
  const int64_t element_bytes = mil::data_type_bits(dtype_) / 8;
  return View(*buffer_, static_cast<size_t>(offset * element_bytes),
              Layout::contiguous(dtype_, shape));
}

uint64_t StagedArray::stage(ThreadPool& pool) {
  if (in_place_) return 0;
  buffer_->map(true);
  std::byte* target = buffer_->data();
  pool.parallel_for(static_cast<int64_t>(values_.size()), grain, [&](int64_t begin, int64_t end) {
    if (dtype_ == DataType::fp32) {
      std::memcpy(target + begin * 4, values_.data() + begin, static_cast<size_t>(end - begin) * 4);
      return;
    }
    auto* halves = reinterpret_cast<uint16_t*>(target);
    for (int64_t i = begin; i < end; ++i)
      halves[i] = float_to_half(values_[static_cast<size_t>(i)]);
  });
  buffer_->unmap();
  return buffer_->size_bytes();
}

} // namespace anet::backend
