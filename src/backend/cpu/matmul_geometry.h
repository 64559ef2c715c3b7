// A batched product as a library multiplies it: plain matrices, one after the other.
#pragma once

#include "backend/cpu/operand.h"

#include <optional>

namespace anet::backend::cpu {

// The last two dimensions of an operand as gemm sees them; nullopt when it cannot.
struct MatrixLayout {
  int64_t leading = 1;
  bool transposed = false; // columns are contiguous instead of rows
};
std::optional<MatrixLayout> matrix_layout(const Operand& x);

// True when the last two dimensions are a matrix that gemm can read or, for a result, write.
inline bool is_matrix(const Operand& x) { return matrix_layout(x).has_value(); }

// c = a b with the rows of c contiguous: a result with contiguous columns is computed transposed.
struct MatmulGeometry {
  MatmulGeometry(const Operand& a, const Operand& b, const Operand& c);

  // Where a part of the product begins, in elements.
  struct Offsets {
    int64_t a = 0, b = 0, c = 0;
  };
  bool by_rows() const { return rows >= columns; }
  int64_t side() const { return by_rows() ? rows : columns; }
  Offsets offsets(int64_t row, int64_t column) const;
  Offsets offsets(int64_t first) const { // along the longer side
    return by_rows() ? offsets(first, 0) : offsets(0, first);
  }

  Operand a, b, c;
  MatrixLayout a_layout, b_layout;
  int64_t leading_c = 0;
  int64_t rows = 0, columns = 0, depth = 0;
  LoopNest<3> batch; // of c, a, b

private:
  void merge_batch_into_rows();
};

} // namespace anet::backend::cpu
