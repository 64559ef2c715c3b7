#include "backend/cpu/lower_attention.h"

#include "backend/cpu/gemm.h"
#include "backend/cpu/matmul_geometry.h"

#include <algorithm>
#include <cmath>

namespace anet::backend::cpu {

namespace {

// A mask as numbers to be added, its keys side by side. What a boolean mask leaves out gets minus
// infinity.
Operand added_mask(Lowering& l, const Operand& mask) {
  Operand added = mask;
  if (mask.dtype == DataType::boolean) {
    added = l.temporary(DataType::fp32, mask.shape);
    l.pointwise("select",
                {mask, l.constant(DataType::fp32, 0), l.constant(DataType::fp32, -INFINITY)},
                added);
  }
  added = l.as_float(added);
  return added.shape.back() == 1 || added.strides.back() == 1 ? added : l.dense(added);
}

Shape with_last(Shape shape, int64_t last) {
  shape.push_back(last);
  return shape;
}

} // namespace

DataType attention_type(std::initializer_list<const Operand*> operands) {
  const bool narrow = std::all_of(operands.begin(), operands.end(),
                                  [](const Operand* x) { return x->dtype == DataType::bf16; });
  return narrow && gemm_has_bf16() ? DataType::bf16 : DataType::fp32;
}

Operand attention_matrix(Lowering& l, const Operand& x, DataType type) {
  return type == DataType::bf16 ? l.gemm_matrix(x) : l.float_matrix(x);
}

AttentionKeys attention_keys(Lowering& l, const Operand& query, const AttentionSource& source) {
  AttentionKeys keys{attention_matrix(l, source.key, query.dtype),
                     attention_matrix(l, source.value, query.dtype), std::nullopt};
  if (!source.mask) return keys;
  const Operand added = added_mask(l, *source.mask);
  const Shape rows(added.shape.begin(), added.shape.end() - 1);
  const Shape queries(query.shape.begin(), query.shape.end() - 1);
  const Operand visible = l.temporary(DataType::int32, with_last(rows, 2));
  l.emit(make_visible_keys_step({added, visible}), {&added, &visible});
  keys.mask = {broadcast_view(added, with_last(queries, added.shape.back())),
               broadcast_view(visible, with_last(queries, 2))};
  return keys;
}

void lower_attention(Lowering& l, const Operand& query, const AttentionSource& source, float scale,
                     const Operand& output) {
  const Operand queries =
      attention_matrix(l, query, attention_type({&query, &source.key, &source.value}));
  const AttentionKeys keys = attention_keys(l, queries, source);
  const bool direct = output.dtype == DataType::fp32 && is_matrix(output);
  const Operand result = direct ? output : l.temporary(DataType::fp32, output.shape);
  const Operand scratch = l.thread_scratch(attention_scratch(queries, keys));
  std::vector<int32_t> touched = {queries.storage, keys.key.storage, keys.value.storage,
                                  result.storage, scratch.storage};
  if (keys.mask)
    touched.insert(touched.end(), {keys.mask->added.storage, keys.mask->visible.storage});
  const int64_t pairs =
      queries.elements() / queries.shape.back() * keys.key.shape[keys.key.shape.size() - 2];
  l.count_flops(2 * pairs * (keys.key.shape.back() + keys.value.shape.back()));
  l.emit(make_attention_step(queries, keys, scale, result, scratch), std::move(touched));
  if (!direct) l.cast(result, output);
}

} // namespace anet::backend::cpu
