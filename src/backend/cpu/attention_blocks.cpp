#include "backend/cpu/attention_blocks.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/reduce_kernels.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

// Scores of a block: a part of a core's second-level cache.
constexpr int64_t block_scores = 1 << 16;

// Rows of bf16 hold whole pairs (gemm_has_bf16).
int64_t rounded_leading(int64_t keys) { return (keys + 1) / 2 * 2; }

// Offset of the index-th element of the leading dimensions, all but the last `inner`.
int64_t leading_offset(const Operand& x, int64_t index, size_t inner) {
  int64_t offset = 0;
  for (size_t d = x.shape.size() - inner; d-- > 0;) {
    offset += index % x.shape[d] * x.strides[d];
    index /= x.shape[d];
  }
  return offset;
}

} // namespace

MatrixPlace MatrixBatch::at(const RunContext& context, int64_t index, int64_t first) const {
  const int64_t offset = leading_offset(x_, index, 2) + first * x_.strides[x_.strides.size() - 2];
  return {address<std::byte>(context, x_) + offset * element_size(x_.dtype), layout_, x_.dtype};
}

GemmMatrix matrix(const MatrixPlace& x) {
  return {x.data, x.layout.leading, x.layout.transposed, x.dtype};
}

GemmMatrix transposed(const MatrixPlace& x) {
  return {x.data, x.layout.leading, !x.layout.transposed, x.dtype};
}

void multiply(int64_t rows, int64_t columns, int64_t depth, float alpha, const GemmMatrix& a,
              const GemmMatrix& b, bool accumulate, const MatrixPlace& c, float* gemm_scratch) {
  if (!c.layout.transposed)
    return gemm_f32(rows, columns, depth, alpha, a, b, accumulate, c.floats(), c.layout.leading,
                    gemm_scratch);
  const GemmMatrix left{b.data, b.leading, !b.transposed, b.dtype};
  const GemmMatrix right{a.data, a.leading, !a.transposed, a.dtype};
  gemm_f32(columns, rows, depth, alpha, left, right, accumulate, c.floats(), c.layout.leading,
           gemm_scratch);
}

int64_t query_block(int64_t queries, int64_t keys) {
  const int64_t fitting = block_scores / std::max<int64_t>(1, keys) / 16 * 16;
  return std::min(queries, std::clamp<int64_t>(fitting, 16, 64));
}

MaskRows::MaskRows(const AttentionKeys& keys)
    : keys_(keys.key.shape[keys.key.shape.size() - 2]), mask_(keys.mask) {}

KeyRange MaskRows::visible(const RunContext& context, int64_t batch, int64_t first,
                           int64_t queries) const {
  if (!mask_) return {0, keys_};
  const Operand& visible = mask_->visible;
  const size_t rank = visible.shape.size();
  const int32_t* pair = address<int32_t>(context, visible) + leading_offset(visible, batch, 2);
  int64_t begin = keys_, end = 0;
  for (int64_t query = first; query < first + queries; ++query) {
    const int32_t* own = pair + query * visible.strides[rank - 2];
    begin = std::min<int64_t>(begin, own[0]);
    end = std::max<int64_t>(end, own[1]);
  }
  return {begin, end - begin};
}

const float* MaskRows::row(const RunContext& context, int64_t batch, int64_t query,
                           int64_t begin) const {
  if (!mask_) return nullptr;
  const Operand& added = mask_->added;
  return address<float>(context, added) + leading_offset(added, batch, 2) +
         query * added.strides[added.strides.size() - 2] + begin;
}

ScoreBlocks::ScoreBlocks(const Operand& query, const AttentionKeys& keys, float scale)
    : query_(query), key_(keys.key), value_(keys.value), narrow_(query.dtype == DataType::bf16),
      mask_(keys), scale_(scale), block_(query_block(query_.rows(), key_.rows())) {}

int64_t ScoreBlocks::product_scratch() const {
  const int64_t keys = key_.rows(), width = std::max(query_.columns(), value_.columns());
  const int64_t few = std::max(block_, width); // columns and rows of what has as many terms as keys
  return std::max(gemm_scratch(few, few, keys),
                  gemm_scratch(std::max(few, keys), std::max(few, keys), few));
}

int64_t ScoreBlocks::rounded_scratch() const {
  return narrow_ ? block_ * rounded_leading(key_.rows()) / 2 : 0;
}

GemmMatrix ScoreBlocks::as_operand(const float* rows, int64_t queries, int64_t keys,
                                   float* scratch) const {
  if (!narrow_) return {rows, keys, false};
  static const StoreFloat store = store_float(DataType::bf16);
  const int64_t leading = rounded_leading(keys);
  auto* const rounded = reinterpret_cast<uint16_t*>(scratch);
  for (int64_t query = 0; query < queries; ++query)
    store(rows + query * keys, reinterpret_cast<std::byte*>(rounded + query * leading), 1, keys);
  return {rounded, leading, false, DataType::bf16};
}

KeyRange ScoreBlocks::probabilities(const RunContext& context, int64_t batch, int64_t first,
                                    int64_t queries, float* probabilities,
                                    float* gemm_scratch) const {
  const KeyRange range = mask_.visible(context, batch, first, queries);
  gemm_f32(queries, range.size, query_.columns(), scale_, matrix(query_.at(context, batch, first)),
           transposed(key_.at(context, batch, range.begin)), false, probabilities, range.size,
           gemm_scratch);
  const auto largest_of = reduce_kernels(Accumulation::max).row;
  for (int64_t query = 0; query < queries; ++query) {
    float* row = probabilities + query * range.size;
    const float* mask = mask_.row(context, batch, first + query, range.begin);
    const float largest =
        mask == nullptr ? largest_of(row, range.size, 0) : add_row(row, mask, range.size);
    softmax_row(row, row, range.size, largest);
  }
  return range;
}

} // namespace anet::backend::cpu
