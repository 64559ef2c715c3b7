// Sizes beyond which a tokenizer's file is not believed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anet::io::tokenization {

// Ids are below it. The largest vocabularies of 2025 have 262144.
inline constexpr int32_t max_vocab_size = 1 << 22;
inline constexpr size_t max_tokenizer_size = size_t{256} << 20; // bytes of a file

} // namespace anet::io::tokenization
