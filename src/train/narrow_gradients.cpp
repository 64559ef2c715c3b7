#include "train/narrow_gradients.h"

#include "base/status.h"

#include <algorithm>

namespace anet::train {

using backend::Layout;
using mil::DataType;

namespace {

int64_t offset_of(const TrainedTensors& tensors, const GradientPart& part) {
  return tensors.all()[part.tensor].offset + part.begin;
}

} // namespace

NarrowGradients::NarrowGradients(backend::Device& device, const TrainedTensors& tensors,
                                 const std::set<int64_t>& offsets) {
  for (const GradientPart& part : tensors.parts()) {
    const auto layout = Layout::contiguous(DataType::fp16, {part.end - part.begin});
    const int64_t offset = offset_of(tensors, part);
    buffers_.push_back(offsets.contains(offset) ? device.allocate(layout) : nullptr);
    offsets_.push_back(offset);
  }
  values_.resize(buffers_.size());
}

size_t NarrowGradients::index(int64_t offset) const {
  const auto found = std::lower_bound(offsets_.begin(), offsets_.end(), offset);
  const auto index = static_cast<size_t>(found - offsets_.begin());
  if (index == offsets_.size() || *found != offset || !buffers_[index])
    fail(Status::internal, "expected a gradient that was declared, seen offset ", offset);
  return index;
}

backend::View NarrowGradients::view(size_t part, const Layout& layout) const {
  return {*buffers_[part], 0, layout};
}

uint64_t NarrowGradients::bytes(const TrainedTensors& tensors, const std::set<int64_t>& offsets) {
  uint64_t bytes = 0;
  for (const GradientPart& part : tensors.parts())
    if (offsets.contains(offset_of(tensors, part)))
      bytes += static_cast<uint64_t>(part.end - part.begin) * sizeof(uint16_t);
  return bytes;
}

NarrowGradients::Access::Access(NarrowGradients& gradients, size_t begin, size_t end)
    : gradients_(gradients), begin_(begin), end_(begin) {
  try {
    while (end_ < end) {
      auto& buffer = gradients.buffers_[end_];
      if (buffer) buffer->map(false);
      const std::byte* data = buffer ? buffer->data() : nullptr;
      gradients.values_[end_++] = reinterpret_cast<const uint16_t*>(data);
    }
  } catch (...) {
    release();
    throw;
  }
}

void NarrowGradients::Access::release() noexcept {
  for (; end_ > begin_; --end_) {
    auto& buffer = gradients_.buffers_[end_ - 1];
    gradients_.values_[end_ - 1] = nullptr;
    try {
      if (buffer) buffer->unmap();
    } catch (...) { // NOLINT(bugprone-empty-catch): the next mapping will report it
    }
  }
}

} // namespace anet::train
