// Scaled dot-product attention, one block of queries at a time, so that the scores of all queries
// never exist at once. Keys that the masks hide from a whole block are not touched.
#pragma once

#include "backend/cpu/step.h"

#include <optional>

namespace anet::backend::cpu {

// What queries attend to. The mask is fp32, the keys and values are of the type of the queries:
// fp32, or bf16 where gemm_has_bf16(). Then probabilities are rounded to bf16 before they are
// multiplied.
struct AttentionKeys {
  Operand key;   // [b..., S, E]
  Operand value; // [b..., S, V]
  struct Mask {
    Operand added;   // to the scores: [b..., L, S], its keys side by side
    Operand visible; // int32 [b..., L, 2]: see make_visible_keys_step
  };
  std::optional<Mask> mask;
};

// A key is hidden from a query when its entry of the mask is that much below the largest of the
// query's. Its probability is then exactly 0, as long as the scores of a query, scaled and without
// the mask, lie within this minus 104 of each other (e^-104 is less than the least float).
inline constexpr float hiding_distance = 29000.0f;

// visible[..., :] = the first key that the query's row of the mask does not hide, and one past the
// last. A row that hides nothing, or everything alike, sees all. `added` is [m..., S], `visible`
// [m..., 2].
std::unique_ptr<Step> make_visible_keys_step(const AttentionKeys::Mask& mask);

// output[b..., L, V] = softmax(scale * query[b..., L, E] key^T + mask) value, in fp32. Each operand
// but the mask is a matrix (is_matrix) in its last two dimensions. `scratch` is [threads,
// attention_scratch()] of fp32.
std::unique_ptr<Step> make_attention_step(const Operand& query, const AttentionKeys& keys,
                                          float scale, const Operand& output,
                                          const Operand& scratch);
int64_t attention_scratch(const Operand& query, const AttentionKeys& keys);

} // namespace anet::backend::cpu
