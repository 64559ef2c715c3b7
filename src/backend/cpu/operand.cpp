#include "backend/cpu/operand.h"

#include "base/status.h"

#include <cstdlib>
#include <numeric>

namespace anet::backend::cpu {

int64_t element_size(DataType dtype) {
  return std::max<int64_t>(1, mil::data_type_bits(dtype) / 8);
}

bool is_dense_row_major(const Shape& shape, const Strides& strides) {
  int64_t expected = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

std::optional<Operand> reshape_view(const Operand& x, const Shape& shape) {
  // Merge the old dimensions into runs that are dense among themselves.
  std::vector<std::pair<int64_t, int64_t>> runs; // extent, innermost stride
  for (size_t d = 0; d < x.shape.size(); ++d) {
    if (x.shape[d] == 1) continue;
    if (!runs.empty() && runs.back().second == x.strides[d] * x.shape[d]) {
      runs.back() = {runs.back().first * x.shape[d], x.strides[d]};
    } else {
      runs.emplace_back(x.shape[d], x.strides[d]);
    }
  }
  Operand result = x;
  result.shape = shape;
  result.strides.assign(shape.size(), 1);
  size_t d = 0;
  for (const auto& [extent, stride] : runs) {
    int64_t remaining = extent;
    while (remaining > 1) {
      if (d == shape.size() || remaining % shape[d] != 0) return std::nullopt;
      remaining /= shape[d];
      result.strides[d] = remaining * stride;
      ++d;
    }
  }
  // What is left has extent 1; give it the stride that a dense tensor would have.
  for (size_t k = shape.size(); k-- > 0;) {
    if (shape[k] != 1) continue;
    result.strides[k] = k + 1 < shape.size() ? result.strides[k + 1] * shape[k + 1] : int64_t{1};
  }
  return result;
}

Operand transpose_view(const Operand& x, std::span<const int64_t> permutation) {
  Operand result = x;
  for (size_t d = 0; d < permutation.size(); ++d) {
    const size_t from = normalize_axis(permutation[d], x.rank());
    result.shape[d] = x.shape[from];
    result.strides[d] = x.strides[from];
  }
  return result;
}

Operand swap_last_two(const Operand& x) {
  Operand swapped = x;
  const size_t rank = x.shape.size();
  std::swap(swapped.shape[rank - 1], swapped.shape[rank - 2]);
  std::swap(swapped.strides[rank - 1], swapped.strides[rank - 2]);
  return swapped;
}

Operand slice_view(const Operand& x, size_t axis, int64_t begin, int64_t size, int64_t step) {
  Operand result = x;
  result.offset += begin * x.strides[axis];
  result.shape[axis] = size;
  result.strides[axis] = x.strides[axis] * step;
  return result;
}

Operand broadcast_view(const Operand& x, const Shape& shape) {
  Operand result = x;
  result.shape = shape;
  result.strides.assign(shape.size(), 0);
  const size_t missing = shape.size() - x.shape.size();
  for (size_t d = 0; d < x.shape.size(); ++d) {
    if (x.shape[d] == shape[d + missing]) result.strides[d + missing] = x.strides[d];
  }
  return result;
}

Operand expand_view(const Operand& x, size_t axis) {
  Operand result = x;
  const auto at = static_cast<std::ptrdiff_t>(axis);
  const int64_t stride = axis < x.shape.size() ? x.strides[axis] * x.shape[axis] : 1;
  result.shape.insert(result.shape.begin() + at, 1);
  result.strides.insert(result.strides.begin() + at, stride);
  return result;
}

size_t normalize_axis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) {
    fail(Status::invalid_program, "axis ", axis, " is outside a tensor of rank ", rank);
  }
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

template <size_t count>
LoopNest<count> make_loop_nest(const Shape& shape, const std::array<const Strides*, count>& strides,
                               LoopOrder order) {
  std::vector<size_t> dims;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1) dims.push_back(d);
  }
  if (order == LoopOrder::sorted) {
    std::stable_sort(dims.begin(), dims.end(), [&](size_t a, size_t b) {
      for (const Strides* operand : strides) {
        const int64_t left = std::abs((*operand)[a]);
        const int64_t right = std::abs((*operand)[b]);
        if (left != right && left != 0 && right != 0) return left > right;
      }
      return false;
    });
  }
  LoopNest<count> nest;
  for (const size_t d : dims) {
    std::array<int64_t, count> step;
    for (size_t k = 0; k < count; ++k) step[k] = (*strides[k])[d];
    bool merges = nest.rank > 0;
    for (size_t k = 0; k < count && merges; ++k) {
      merges = nest.strides[nest.rank - 1][k] == step[k] * shape[d];
    }
    if (merges) {
      nest.extents[nest.rank - 1] *= shape[d];
    } else {
      if (nest.rank == max_loop_rank) {
        fail(Status::unsupported, "tensor of more than ", max_loop_rank, " dimensions");
      }
      nest.extents[nest.rank++] = shape[d];
    }
    nest.strides[nest.rank - 1] = step;
  }
  if (nest.rank == 0) {
    nest.rank = 1;
    nest.extents[0] = 1;
    nest.strides[0].fill(1);
  }
  return nest;
}

template LoopNest<1> make_loop_nest(const Shape&, const std::array<const Strides*, 1>&, LoopOrder);
template LoopNest<2> make_loop_nest(const Shape&, const std::array<const Strides*, 2>&, LoopOrder);
template LoopNest<3> make_loop_nest(const Shape&, const std::array<const Strides*, 3>&, LoopOrder);
template LoopNest<4> make_loop_nest(const Shape&, const std::array<const Strides*, 4>&, LoopOrder);
template LoopNest<24> make_loop_nest(const Shape&, const std::array<const Strides*, 24>&,
                                     LoopOrder);

} // namespace anet::backend::cpu
