#include "backend/staged_array.h"

#include "base/status.h"

#include <algorithm>
#include <utility>

namespace anet::backend {

namespace {

bool is_in_place(bool host_memory, const StagedPart& part) {
  return host_memory && part.target == nullptr && !part.transposed &&
         part.layout.dtype == DataType::fp32 && part.layout.is_contiguous();
}

bool same_place(const StagedPart& a, const StagedPart& b) {
  return a.offset == b.offset && a.transposed == b.transposed && a.target == b.target &&
         a.target_offset == b.target_offset && same_bytes(a.layout, b.layout);
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

// The whole array in bf16, when that is how most of it is read: whoever computes new values can
// then write both, and nothing is copied.
bool has_mirror(bool host_memory, size_t size, std::span<const StagedPart> copied) {
  int64_t elements = 0;
  for (const StagedPart& part : copied) {
    const bool whole = part.layout.is_contiguous() && !part.transposed && part.target == nullptr;
    if (part.layout.dtype != DataType::bf16 || !whole) return false;
    elements += mil::element_count(part.layout.shape);
  }
  return host_memory && elements > 0 && 2 * static_cast<size_t>(elements) >= size;
}

// A part as it lies in the array, with the shape of its port.
Layout flat_layout(const StagedPart& part) {
  mil::Shape shape = part.layout.shape;
  if (!part.transposed) return Layout::contiguous(DataType::fp32, shape);
  std::swap(shape[0], shape[1]);
  Layout layout = Layout::contiguous(DataType::fp32, shape);
  std::swap(layout.shape[0], layout.shape[1]);
  std::swap(layout.strides[0], layout.strides[1]);
  return layout;
}

StagedPart whole(size_t size, DataType dtype) {
  return {0, Layout::contiguous(dtype, {static_cast<int64_t>(size)})};
}

std::unique_ptr<Buffer> import_values(Device& device, std::span<float> values) {
  return device.import(reinterpret_cast<std::byte*>(values.data()), values.size_bytes(),
                       whole(values.size(), DataType::fp32).layout);
}

} // namespace

StagedArray::StagedArray(Device& device, std::span<float> values, std::span<const StagedPart> parts)
    : values_(values), host_memory_(device.capabilities().host_memory) {
  if (host_memory_) in_place_ = import_values(device, values);
  std::vector<StagedPart> copied = parts_to_copy(host_memory_, parts);
  for (const StagedPart& part : copied) {
    const auto end = static_cast<size_t>(part.offset + mil::element_count(part.layout.shape));
    if (end > values.size())
      fail(Status::internal, "expected parts of an array of ", values.size(),
           " elements, seen one that ends at ", end);
  }
  mirrored_ = has_mirror(host_memory_, values.size(), copied);
  if (mirrored_) copied = {whole(values.size(), DataType::bf16)};
  for (const StagedPart& part : copied)
    copies_.push_back({part, part.target == nullptr ? device.allocate(part.layout) : nullptr,
                       TensorCopy(flat_layout(part), part.layout)});
}

std::unique_ptr<Buffer> StagedArray::exchange(Device& device, std::span<float> values) {
  if (values.size() != values_.size())
    fail(Status::internal, "expected an array of ", values_.size(), " elements, seen one of ",
         values.size());
  std::unique_ptr<Buffer> buffer;
  if (host_memory_) buffer = import_values(device, values);
  values_ = values;
  return std::exchange(in_place_, std::move(buffer));
}

std::span<uint16_t> StagedArray::mirror() const {
  if (!mirrored_) return {};
  return {reinterpret_cast<uint16_t*>(copies_.front().buffer().data()), values_.size()};
}

const StagedArray::Copy* StagedArray::find(const StagedPart& part) const {
  if (is_in_place(host_memory_, part)) return nullptr;
  const auto found = std::find_if(copies_.begin(), copies_.end(), [&](const Copy& copy) {
    return mirrored_ || same_place(copy.part, part);
  });
  if (found == copies_.end())
    fail(Status::internal, "expected a part that was declared, seen offset ", part.offset,
         " with shape ", mil::shape_to_string(part.layout.shape));
  return &*found;
}

View StagedArray::view(const StagedPart& part) const {
  const Copy* copy = find(part);
  if (copy == nullptr)
    return View(*in_place_, static_cast<size_t>(part.offset) * sizeof(float), part.layout);
  const int64_t begin = part.offset - copy->part.offset;
  return View(copy->buffer(), part.target_offset + static_cast<size_t>(begin) * sizeof(uint16_t),
              part.layout);
}

size_t StagedArray::copies_needed(const StagedPart& part) const {
  const Copy* copy = find(part);
  return copy == nullptr ? 0 : static_cast<size_t>(copy - copies_.data()) + 1;
}

StagedArray::Pieces::Pieces(StagedArray& array, size_t copy)
    : copy_(array.copies_.at(copy)),
      source_(reinterpret_cast<const std::byte*>(array.values_.data() + copy_.part.offset)),
      mapping_(copy_.buffer(), true) {}

uint64_t StagedArray::renew(size_t copy, ThreadPool* pool) {
  const Copy& target = copies_.at(copy);
  const Mapping mapping(target.buffer(), true);
  target.conversion.run(reinterpret_cast<const std::byte*>(values_.data() + target.part.offset),
                        mapping.data() + target.part.target_offset, pool);
  return target.conversion.bytes();
}

uint64_t StagedArray::renew_all(ThreadPool& pool) {
  uint64_t bytes = 0;
  for (size_t copy = 0; copy < copies_.size(); ++copy) bytes += renew(copy, &pool);
  return bytes;
}

uint64_t StagedArray::copy_bytes(const Device& device, size_t size,
                                 std::span<const StagedPart> parts) {
  const bool host_memory = device.capabilities().host_memory;
  const std::vector<StagedPart> copied = parts_to_copy(host_memory, parts);
  if (has_mirror(host_memory, size, copied)) return size * sizeof(uint16_t);
  uint64_t bytes = 0;
  for (const StagedPart& part : copied)
    if (part.target == nullptr) bytes += static_cast<uint64_t>(part.layout.span_bytes());
  return bytes;
}

} // namespace anet::backend
