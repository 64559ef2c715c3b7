#include "backend/staged_array.h"

#include "backend/host_access.h"
#include "base/status.h"

#include <algorithm>

namespace anet::backend {

namespace {

bool is_in_place(bool host_memory, const StagedPart& part) {
  return host_memory && part.layout.dtype == DataType::fp32 && part.layout.is_contiguous();
}

bool same_place(const StagedPart& a, const StagedPart& b) {
  return a.offset == b.offset && same_bytes(a.layout, b.layout);
}

// Without repetitions, in the order of their first occurrence.
std::vector<StagedPart> parts_to_copy(bool host_memory, std::span<const StagedPart> parts) {
  std::vector<StagedPart> result;
  for (const StagedPart& part : parts) {
    if (is_in_place(host_memory, part)) continue;
    const auto same = [&](const StagedPart& other) { return same_place(part, other); };
    if (std::none_of(result.begin(), result.end(), same)) result.push_back(part);
  }
  return result;
}

} // namespace

StagedArray::StagedArray(Device& device, std::span<float> values, std::span<const StagedPart> parts)
    : values_(values), host_memory_(device.capabilities().host_memory) {
  if (host_memory_)
    in_place_ =
        device.import(reinterpret_cast<std::byte*>(values.data()), values.size_bytes(),
                      Layout::contiguous(DataType::fp32, {static_cast<int64_t>(values.size())}));
  for (const StagedPart& part : parts_to_copy(host_memory_, parts)) {
    const auto end = static_cast<size_t>(part.offset + mil::element_count(part.layout.shape));
    if (end > values.size())
      fail(Status::internal, "expected parts of an array of ", values.size(),
           " elements, seen one that ends at ", end);
    copies_.push_back(
        {part, device.allocate(part.layout),
         TensorCopy(Layout::contiguous(DataType::fp32, part.layout.shape), part.layout)});
  }
}

const StagedArray::Copy* StagedArray::find(const StagedPart& part) const {
  if (is_in_place(host_memory_, part)) return nullptr;
  const auto found = std::find_if(copies_.begin(), copies_.end(),
                                  [&](const Copy& copy) { return same_place(copy.part, part); });
  if (found == copies_.end())
    fail(Status::internal, "expected a part that was declared, seen offset ", part.offset,
         " with shape ", mil::shape_to_string(part.layout.shape));
  return &*found;
}

View StagedArray::view(const StagedPart& part) const {
  if (const Copy* copy = find(part)) return View(*copy->buffer, 0, part.layout);
  return View(*in_place_, static_cast<size_t>(part.offset) * sizeof(float), part.layout);
}

size_t StagedArray::copies_needed(const StagedPart& part) const {
  const Copy* copy = find(part);
  return copy == nullptr ? 0 : static_cast<size_t>(copy - copies_.data()) + 1;
}

uint64_t StagedArray::renew(size_t copy, ThreadPool* pool) {
  const Copy& target = copies_.at(copy);
  const Mapping mapping(*target.buffer, true);
  target.conversion.run(reinterpret_cast<const std::byte*>(values_.data() + target.part.offset),
                        mapping.data(), pool);
  return target.conversion.bytes();
}

uint64_t StagedArray::renew_all(ThreadPool& pool) {
  uint64_t bytes = 0;
  for (size_t copy = 0; copy < copies_.size(); ++copy) bytes += renew(copy, &pool);
  return bytes;
}

uint64_t StagedArray::copy_bytes(const Device& device, std::span<const StagedPart> parts) {
  uint64_t bytes = 0;
  for (const StagedPart& part : parts_to_copy(device.capabilities().host_memory, parts))
    bytes += static_cast<uint64_t>(part.layout.span_bytes());
  return bytes;
}

} // namespace anet::backend
