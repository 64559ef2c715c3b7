// The backward pass of scaled dot-product attention, one block of queries at a time: the
// probabilities are computed again, and neither they nor their gradients ever exist all at once.
#pragma once

#include "backend/cpu/attention.h"

namespace anet::backend::cpu {

// Of output = softmax(scale * query key^T + mask) value, with p the probabilities (Dao et al. 2022,
// "FlashAttention", algorithm 4, without its tiles of keys):
//   d_value = p^T d_output, d_p = d_output value^T,
//   d_scores = p * (d_p - sum(p * d_p)), over the keys of a query,
//   d_query = scale * d_scores key, d_key = scale * d_scores^T query.
// Matrices in the last two dimensions, [b..., L, E], [b..., S, E] and [b..., S, V]; what is written
// is fp32, what is read of the type of the queries.
struct AttentionGradients {
  Operand output; // of the output, [b..., L, V]; read, the others are written
  Operand query, key, value;
};

// One sequence of queries is one thread's work, in the order of its blocks.
std::unique_ptr<Step> make_attention_gradient_step(const Operand& query, const AttentionKeys& keys,
                                                   float scale, const AttentionGradients& gradients,
                                                   const Operand& scratch);
// fp32 elements a thread.
int64_t attention_gradient_scratch(const Operand& query, const AttentionKeys& keys);

} // namespace anet::backend::cpu
