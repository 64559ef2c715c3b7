#include "backend/cpu/lower_attention.h"

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

// The rows of masks that broadcast against each other, one dimension less than they have.
Shape common_rows(std::span<const Operand> masks) {
  Shape rows;
  for (const Operand& mask : masks) {
    const size_t rank = mask.shape.size() - 1;
    if (rows.size() < rank) rows.insert(rows.begin(), rank - rows.size(), 1);
    for (size_t d = 0; d < rank; ++d) {
      int64_t& extent = rows[rows.size() - rank + d];
      extent = std::max(extent, mask.shape[d]);
    }
  }
  return rows;
}

Shape with_last(Shape shape, int64_t last) {
  shape.push_back(last);
  return shape;
}

} // namespace

std::vector<AttentionKeys> attention_keys(Lowering& l, const Operand& query,
                                          std::span<const AttentionSource> sources) {
  std::vector<AttentionKeys> keys;
  std::vector<Operand> masks;
  for (const AttentionSource& source : sources) {
    keys.push_back({l.float_matrix(source.key), l.float_matrix(source.value), std::nullopt});
    if (source.mask) masks.push_back(added_mask(l, *source.mask));
  }
  if (masks.empty()) return keys;
  const Shape rows = common_rows(masks);
  const Shape queries(query.shape.begin(), query.shape.end() - 1);
  std::vector<AttentionKeys::Mask> scanned;
  for (size_t part = 0; part < keys.size(); ++part) {
    const int64_t count = masks[part].shape.back();
    scanned.push_back({broadcast_view(masks[part], with_last(rows, count)),
                       l.temporary(DataType::int32, with_last(rows, 2))});
    keys[part].mask = {broadcast_view(masks[part], with_last(queries, count)),
                       broadcast_view(scanned.back().visible, with_last(queries, 2))};
  }
  std::vector<int32_t> touched;
  for (const AttentionKeys::Mask& mask : scanned)
    touched.insert(touched.end(), {mask.added.storage, mask.visible.storage});
  l.emit(make_visible_keys_step(scanned), std::move(touched));
  return keys;
}

void lower_attention(Lowering& l, const Operand& query, std::span<const AttentionSource> sources,
                     float scale, const Operand& output) {
  const Operand queries = l.float_matrix(query);
  const std::vector<AttentionKeys> keys = attention_keys(l, queries, sources);
  const bool direct = output.dtype == DataType::fp32 && is_matrix(output);
  const Operand result = direct ? output : l.temporary(DataType::fp32, output.shape);
  const Operand scratch = l.thread_scratch(attention_scratch(queries, keys));
  std::vector<int32_t> touched = {queries.storage, result.storage, scratch.storage};
  for (const AttentionKeys& part : keys) {
    touched.insert(touched.end(), {part.key.storage, part.value.storage});
    if (part.mask)
      touched.insert(touched.end(), {part.mask->added.storage, part.mask->visible.storage});
    const int64_t products =
        queries.elements() / queries.shape.back() * part.key.shape[part.key.shape.size() - 2];
    l.count_flops(2 * products * (part.key.shape.back() + part.value.shape.back()));
  }
  l.emit(make_attention_step(queries, keys, scale, result, scratch), std::move(touched));
  if (!direct) l.cast(result, output);
}

} // namespace anet::backend::cpu
