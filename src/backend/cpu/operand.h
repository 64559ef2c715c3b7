// How kernels see tensors: a storage, an offset and strides in elements. Views are operands that
// share a storage.
#pragma once

#include "mil/type.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace anet::backend::cpu {

using mil::DataType;
using mil::Shape;
using Strides = std::vector<int64_t>;

// No op needs more: tile and blockwise scales double a rank of at most 5.
inline constexpr size_t max_loop_rank = 16;

struct Operand {
  int32_t storage = -1; // index into the kernel's storages
  DataType dtype = DataType::fp32;
  Shape shape;
  Strides strides;    // in elements; 0 repeats, negative runs backwards
  int64_t offset = 0; // in elements

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  int64_t elements() const { return mil::element_count(shape); }
};

// Bytes that one element takes in memory: sub-byte types are unpacked to a byte, booleans are one.
int64_t element_size(DataType dtype);

bool is_dense_row_major(const Shape& shape, const Strides& strides);
inline bool is_dense_row_major(const Operand& x) { return is_dense_row_major(x.shape, x.strides); }

// The same elements in another shape, row-major order; nullopt when only a copy can do it.
std::optional<Operand> reshape_view(const Operand& x, const Shape& shape);
Operand transpose_view(const Operand& x, std::span<const int64_t> permutation);
Operand swap_last_two(const Operand& x);
// Elements begin, begin + step, ... along one axis; the step may be negative.
Operand slice_view(const Operand& x, size_t axis, int64_t begin, int64_t size, int64_t step = 1);
// NumPy broadcasting: missing leading dimensions and extents of 1 repeat.
Operand broadcast_view(const Operand& x, const Shape& shape);
// Inserts a dimension of extent 1.
Operand expand_view(const Operand& x, size_t axis);

// Axis in [0, rank) from one that may count from the end.
size_t normalize_axis(int64_t axis, int64_t rank);

// Nested loops over the elements of several operands of one shape: dimensions of extent 1 are
// gone, neighbours are merged where every operand allows it, and the loops are ordered so that
// the first operand's smallest stride is innermost.
template <size_t count>
struct LoopNest {
  size_t rank = 0; // at least 1
  std::array<int64_t, max_loop_rank> extents{};
  std::array<std::array<int64_t, count>, max_loop_rank> strides{};

  int64_t inner() const { return extents[rank - 1]; }
  const std::array<int64_t, count>& inner_strides() const { return strides[rank - 1]; }
  int64_t elements() const {
    int64_t product = 1;
    for (size_t d = 0; d < rank; ++d) product *= extents[d];
    return product;
  }
};

enum class LoopOrder : uint8_t { sorted, given };

template <size_t count>
LoopNest<count> make_loop_nest(const Shape& shape, const std::array<const Strides*, count>& strides,
                               LoopOrder order = LoopOrder::sorted);

extern template LoopNest<1> make_loop_nest(const Shape&, const std::array<const Strides*, 1>&,
                                           LoopOrder);
extern template LoopNest<2> make_loop_nest(const Shape&, const std::array<const Strides*, 2>&,
                                           LoopOrder);
extern template LoopNest<3> make_loop_nest(const Shape&, const std::array<const Strides*, 3>&,
                                           LoopOrder);
extern template LoopNest<4> make_loop_nest(const Shape&, const std::array<const Strides*, 4>&,
                                           LoopOrder);
extern template LoopNest<24> make_loop_nest(const Shape&, const std::array<const Strides*, 24>&,
                                            LoopOrder);

// Calls visit(offsets, length) for each piece of an innermost loop within the elements
// [begin, end) of the nest: `offsets` are those of the piece's first element.
template <size_t count, typename Visit>
void for_each_row(const LoopNest<count>& nest, int64_t begin, int64_t end, Visit&& visit) {
  const int64_t inner = nest.inner();
  const size_t outer = std::min(nest.rank - 1, max_loop_rank - 1); // the bound helps the compiler
  std::array<int64_t, max_loop_rank> index{};
  std::array<int64_t, count> offsets{};
  int64_t rest = begin / inner;
  int64_t column = begin % inner;
  for (size_t d = outer; d-- > 0;) {
    index[d] = rest % nest.extents[d];
    rest /= nest.extents[d];
    for (size_t k = 0; k < count; ++k) offsets[k] += index[d] * nest.strides[d][k];
  }
  while (begin < end) {
    const int64_t length = std::min(inner - column, end - begin);
    std::array<int64_t, count> start = offsets;
    for (size_t k = 0; k < count; ++k) start[k] += column * nest.inner_strides()[k];
    visit(start, length);
    begin += length;
    column = 0;
    for (size_t d = outer; d-- > 0;) {
      for (size_t k = 0; k < count; ++k) offsets[k] += nest.strides[d][k];
      if (++index[d] < nest.extents[d]) break;
      for (size_t k = 0; k < count; ++k) offsets[k] -= nest.extents[d] * nest.strides[d][k];
      index[d] = 0;
    }
  }
}

} // namespace anet::backend::cpu
