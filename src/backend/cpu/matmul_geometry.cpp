#include "backend/cpu/matmul_geometry.h"

namespace anet::backend::cpu {

namespace {

Strides batch_strides(const Operand& x, const Shape& batch) {
  Operand leading = x;
  leading.shape.resize(x.shape.size() - 2);
  leading.strides.resize(x.shape.size() - 2);
  return broadcast_view(leading, batch).strides;
}

bool joins(const Operand& x) {
  const size_t rank = x.shape.size();
  if (rank < 3) return true;
  return x.shape[rank - 3] == 1 || x.shape[rank - 2] == 1 ||
         x.strides[rank - 3] == x.strides[rank - 2] * x.shape[rank - 2];
}

void erase_dimension(Operand& x, size_t d) {
  x.shape.erase(x.shape.begin() + static_cast<std::ptrdiff_t>(d));
  x.strides.erase(x.strides.begin() + static_cast<std::ptrdiff_t>(d));
}

void join(Operand& x) {
  if (x.shape.size() < 3) return;
  const size_t d = x.shape.size() - 3;
  if (x.shape[d] == 1) return erase_dimension(x, d);
  if (x.shape[d + 1] == 1) x.strides[d + 1] = x.strides[d];
  x.shape[d + 1] *= x.shape[d];
  erase_dimension(x, d);
}

Operand joined(Operand x) {
  join(x);
  return x;
}

} // namespace

std::optional<MatrixLayout> matrix_layout(const Operand& x) {
  const size_t rank = x.shape.size();
  const int64_t rows = x.shape[rank - 2];
  const int64_t columns = x.shape[rank - 1];
  const int64_t row_stride = x.strides[rank - 2];
  const int64_t column_stride = x.strides[rank - 1];
  if ((column_stride == 1 || columns == 1) && (rows == 1 || row_stride >= columns)) {
    return MatrixLayout{rows == 1 ? columns : row_stride, false};
  }
  if ((row_stride == 1 || rows == 1) && (columns == 1 || column_stride >= rows)) {
    return MatrixLayout{columns == 1 ? rows : column_stride, true};
  }
  return std::nullopt;
}

MatmulGeometry::MatmulGeometry(const Operand& left, const Operand& right, const Operand& result)
    : a(left), b(right), c(result) {
  // c^T = b^T a^T
  if (matrix_layout(c)->transposed) {
    std::swap(a, b);
    for (Operand* operand : {&a, &b, &c}) {
      const size_t rank = operand->shape.size();
      std::swap(operand->shape[rank - 1], operand->shape[rank - 2]);
      std::swap(operand->strides[rank - 1], operand->strides[rank - 2]);
    }
  }
  merge_batch_into_rows();
  a_layout = *matrix_layout(a);
  b_layout = *matrix_layout(b);
  leading_c = matrix_layout(c)->leading;
  const size_t rank = c.shape.size();
  rows = c.shape[rank - 2];
  columns = c.shape[rank - 1];
  depth = a.shape.back();
  const Shape batches(c.shape.begin(), c.shape.end() - 2);
  const Strides c_batch(c.strides.begin(), c.strides.end() - 2);
  const Strides a_batch = batch_strides(a, batches);
  const Strides b_batch = batch_strides(b, batches);
  batch = make_loop_nest<3>(batches, {&c_batch, &a_batch, &b_batch});
}

// When b is the same for a run of batches that follow each other in a and c, they are rows of one
// larger product, unless rows whose elements are apart would have to be side by side.
void MatmulGeometry::merge_batch_into_rows() {
  while (c.shape.size() > 2) {
    const size_t d = c.shape.size() - 3;
    const auto extent = [](const Operand& x) {
      return x.shape.size() > 2 ? x.shape[x.shape.size() - 3] : 1;
    };
    const bool fits = extent(a) == c.shape[d] && extent(b) == 1 && joins(a) && joins(c) &&
                      is_matrix(joined(a)) && is_matrix(joined(c));
    if (!fits && c.shape[d] != 1) return;
    for (Operand* x : {&a, &c}) join(*x);
    if (b.shape.size() > 2) erase_dimension(b, b.shape.size() - 3);
  }
}

MatmulGeometry::Offsets MatmulGeometry::offsets(int64_t row, int64_t column) const {
  return {row * (a_layout.transposed ? 1 : a_layout.leading),
          column * (b_layout.transposed ? b_layout.leading : 1), row * leading_c + column};
}

} // namespace anet::backend::cpu
