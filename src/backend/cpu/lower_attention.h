// From ops to steps of attention.
#pragma once

#include "backend/cpu/attention.h"
#include "backend/cpu/lowering.h"

#include <optional>

namespace anet::backend::cpu {

// Keys as an op or a group of ops names them. `mask`, a number to be added to a score or a boolean
// that keeps it, broadcasts to the scores.
struct AttentionSource {
  Operand key, value;
  std::optional<Operand> mask;
};

// The type in which attention multiplies these: bf16 where all are and the processor can, else
// fp32.
DataType attention_type(std::initializer_list<const Operand*> operands);
Operand attention_matrix(Lowering& l, const Operand& x, DataType type);

// The same in the form of the steps, after the step that finds out what the mask hides. `query` is
// [b..., L, E], of the type of attention.
AttentionKeys attention_keys(Lowering& l, const Operand& query, const AttentionSource& source);

// softmax(scale query key^T + mask) value into `output`, of any floating type.
void lower_attention(Lowering& l, const Operand& query, const AttentionSource& source, float scale,
                     const Operand& output);

} // namespace anet::backend::cpu
