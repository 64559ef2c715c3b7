#include "train/joined_weight.h"

#include "backend/host_access.h"
#include "backend/tensor_copy.h"

#include <cstring>
#include <utility>

namespace anet::train {

namespace {

// What the literal holds, with its first two axes swapped where the copy is to be transposed.
backend::Layout layout_of(const mil::Literal& matrix, bool transposed) {
  backend::Layout layout = backend::Layout::contiguous(matrix.type.dtype, matrix.type.shape);
  if (!transposed) return layout;
  std::swap(layout.shape[0], layout.shape[1]);
  std::swap(layout.strides[0], layout.strides[1]);
  return layout;
}

} // namespace

JoinedWeight::JoinedWeight(backend::Device& device, mil::JoinedInput input,
                           const mil::Literal& matrix, backend::Layout layout)
    : input_(std::move(input)), matrix_bytes_(matrix.data.size()),
      buffer_(device.allocate(layout)) {
  const backend::Mapping mapping(*buffer_, true);
  std::memset(mapping.data(), 0, static_cast<size_t>(layout.span_bytes()));
  const backend::Layout from = layout_of(matrix, input_.matrix_transposed);
  layout.shape[1] = from.shape[1];
  backend::TensorCopy(from, layout)
      .run(matrix.data.view().data(), mapping.data(), &device.thread_pool());
}

std::optional<backend::StagedPart> JoinedWeight::part_of(const WeightPort& weight) const {
  if (weight.port != input_.factor) return std::nullopt;
  backend::Layout layout = buffer_->layout();
  layout.shape[1] = input_.factor_columns;
  return backend::StagedPart{weight.offset, layout, input_.factor_transposed, buffer_.get(),
                             static_cast<size_t>(input_.factor_column * layout.strides[1])};
}

} // namespace anet::train
