// Attention of new positions to a cache of keys and values and to each other, as text generation
// has it. The cache is read in the type and the layout that it is stored in, and only where the
// mask shows it.
#pragma once

#include "backend/cpu/step.h"

#include <array>

namespace anet::backend::cpu {

// All fp32 or bf16. Of the strides of width and keys, one of each key and value is 1.
struct CachedAttention {
  struct Part {
    Operand key, value; // [heads, 1, width, keys]
    Operand mask;       // [rows, 1, queries, keys], added to the scores; rows divide the heads
  };
  Operand query;             // [heads, group, width, queries]
  std::array<Part, 2> parts; // the cache, then what is new
  Operand output;            // like query
};

// Scratch of the step: [1, common] and [threads, own] of fp32.
struct CachedAttentionScratch {
  int64_t common = 0, own = 0;
};
CachedAttentionScratch cached_attention_scratch(const CachedAttention& attention);

// output = the values of both parts, weighted by softmax(query^T key + mask) over both. Keys at the
// end of a part that the mask puts hiding_distance (attention.h) below the best of the new ones are
// left out.
std::unique_ptr<Step> make_cached_attention_step(const CachedAttention& attention,
                                                 const Operand& common, const Operand& own);

// Whether the step can read a key or value.
bool fits_cached_attention(const Operand& x);

} // namespace anet::backend::cpu
