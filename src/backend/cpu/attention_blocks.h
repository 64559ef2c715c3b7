// What the forward and the backward pass of attention share: blocks of queries, and matrices in
// batches.
#pragma once

#include "backend/cpu/attention.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/matmul_geometry.h"

#include <optional>

namespace anet::backend::cpu {

// A place in memory with the layout of a matrix.
struct MatrixPlace {
  std::byte* data = nullptr;
  MatrixLayout layout;
  DataType dtype = DataType::fp32;

  float* floats() const { return reinterpret_cast<float*>(data); } // of fp32
};

// The last two dimensions of an operand, for each index into the others.
class MatrixBatch {
public:
  MatrixBatch() = default;
  explicit MatrixBatch(const Operand& x) : x_(x), layout_(*matrix_layout(x)) {}

  int64_t rows() const { return x_.shape[x_.shape.size() - 2]; }
  int64_t columns() const { return x_.shape.back(); }
  int64_t count() const { return x_.elements() / (rows() * columns()); }
  const MatrixLayout& layout() const { return layout_; }
  // From row `first` of matrix `index`.
  MatrixPlace at(const RunContext& context, int64_t index, int64_t first = 0) const;

private:
  Operand x_;
  MatrixLayout layout_;
};

GemmMatrix matrix(const MatrixPlace& x);
GemmMatrix transposed(const MatrixPlace& x);

// gemm_f32, whichever dimension of c, of fp32, is contiguous.
void multiply(int64_t rows, int64_t columns, int64_t depth, float alpha, const GemmMatrix& a,
              const GemmMatrix& b, bool accumulate, const MatrixPlace& c, float* gemm_scratch);

// Queries of a block, so that their scores stay in a core's cache.
int64_t query_block(int64_t queries, int64_t keys);

// The keys that any query of a block sees.
struct KeyRange {
  int64_t begin = 0, size = 0;
};

// The rows of a mask and what they leave visible, for queries of a batch.
class MaskRows {
public:
  explicit MaskRows(const AttentionKeys& keys);
  KeyRange visible(const RunContext& context, int64_t batch, int64_t first, int64_t queries) const;
  // The entries for keys from `begin`, or null when nothing is added.
  const float* row(const RunContext& context, int64_t batch, int64_t query, int64_t begin) const;

private:
  int64_t keys_;
  std::optional<AttentionKeys::Mask> mask_;
};

// The scores of a block of queries, then their probabilities, over the visible keys.
class ScoreBlocks {
public:
  ScoreBlocks(const Operand& query, const AttentionKeys& keys, float scale);

  const MatrixBatch& query() const { return query_; }
  int64_t batch() const { return query_.count(); }
  int64_t block() const { return block_; }
  int64_t blocks() const { return (query_.rows() + block_ - 1) / block_; }
  const MatrixBatch& key() const { return key_; }
  const MatrixBatch& value() const { return value_; }

  int64_t score_scratch() const { return block_ * key_.rows(); }
  int64_t rounded_scratch() const;
  int64_t product_scratch() const; // for each product of a block, of the gradient too
  int64_t work() const { return batch() * query_.rows() * key_.rows() * query_.columns(); }

  // Fills probabilities[queries, the visible keys], and returns which keys those are.
  KeyRange probabilities(const RunContext& context, int64_t batch, int64_t first, int64_t queries,
                         float* probabilities, float* gemm_scratch) const;

  // What is computed for each of [queries, keys], as it is multiplied with the operands: rounded to
  // bf16 in `scratch` where they are of bf16.
  GemmMatrix as_operand(const float* rows, int64_t queries, int64_t keys, float* scratch) const;

private:
  MatrixBatch query_, key_, value_;
  bool narrow_;
  MaskRows mask_;
  float scale_;
  int64_t block_;
};

} // namespace anet::backend::cpu
