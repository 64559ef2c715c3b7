// Matrices that stay in few bits inside a kernel.
#pragma once

#include "backend/cpu/step.h"
#include "mil/compressed_weight.h"

namespace anet::backend::cpu {

// What an operand shows of a compressed weight: all of it, or its transpose.
struct CompressedMatrix {
  mil::CompressedWeight weight;
  DataType dtype = DataType::fp32; // of the values: see expand
  bool transposed = false;

  int64_t rows() const { return transposed ? weight.columns : weight.rows; }
  int64_t columns() const { return transposed ? weight.rows : weight.columns; }
  // Writes a tile of the weight to rows `leading` floats apart. Values of fp16 are rounded, as the
  // ANE does; those of bf16 are not, as between ops that are computed together.
  void expand(const mil::Tile& tile, float* values, int64_t leading) const;
};

// The matrix that the last two dimensions of x show, when x lies on all of a dense, row-major
// [weight.rows, weight.columns] and its other extents are 1.
std::optional<CompressedMatrix> compressed_matrix(const Operand& x,
                                                  const mil::CompressedWeight& weight);

// Writes rows of the weight from `first_row` on, as many as the operand has and of its type, to
// dense row-major memory. Allocates nothing.
std::unique_ptr<Step> make_expand_step(const mil::CompressedWeight& weight, int64_t first_row,
                                       const Operand& output);

// As make_matmul_step with the matrix for a (left) or b, expanded tile by tile into `scratch`,
// [threads, compressed_matmul_scratch]. The tiles and the order of sums depend on the shapes alone,
// so that the result has the same bits for any number of threads.
enum class Side : uint8_t { left, right };
// Floats of scratch that it needs for each thread.
int64_t compressed_matmul_scratch(const CompressedMatrix& matrix, Side side);
std::unique_ptr<Step> make_compressed_matmul_step(const CompressedMatrix& matrix, Side side,
                                                  const Operand& other, const Operand& c,
                                                  const Operand& scratch, bool accumulate);

} // namespace anet::backend::cpu
