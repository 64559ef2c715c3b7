// Tensors of llama2.c's files in their order, for the reader and the writer.
#pragma once

#include "model/parameters.h"

#include <string>
#include <vector>

namespace anet::io {

inline constexpr int64_t llama2c_header_size = 28;            // version 0: seven int32
inline constexpr int64_t llama2c_versioned_header_size = 256; // versions 1 and 2

// All layers of one kind follow each other: attention norms, queries, keys, ... `norms_first` is
// the order of versions 1 and 2.
std::vector<const model::Parameter*> llama2c_order(const model::ParameterTable& table,
                                                   int32_t layer_count, bool norms_first);

// Rows of queries and keys are in the interleaved order.
bool is_rotated(const model::Parameter& parameter);

} // namespace anet::io
