// A tensor as some file holds it, and its values as fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace anet::io {

// q8_0, q4_0 and q6_k are GGUF's blocks of 32, 32 and 256 values with their scales inside;
// int8_groups is llama2.c's: all values, then one fp32 scale a group.
enum class Encoding : uint8_t { fp32, fp16, bf16, q8_0, q4_0, q6_k, int8_groups };

std::string_view encoding_name(Encoding encoding);
int64_t block_elements(Encoding encoding); // 1 but for GGUF's blocks
int64_t block_bytes(Encoding encoding);

struct StoredTensor {
  Encoding encoding = Encoding::fp32;
  std::span<const std::byte> data = {};   // any alignment
  std::span<const std::byte> scales = {}; // int8_groups alone
  int64_t group_size = 0;                 // int8_groups alone
  // The rows of each head of so many are in RoPE's interleaved order; 0: they are in ours.
  int64_t interleaved_head_dim = 0;
  float factor = 1.0f; // multiplies every value
};

// Values [first, first + values.size()), both multiples of block_elements. The data must hold them;
// `factor` and the order of rows are left to the caller.
void decode(const StoredTensor& tensor, int64_t first, std::span<float> values);

// The stored row that is row `row` of ours, for heads of `head_dim` interleaved rows.
int64_t interleaved_row(int64_t row, int64_t head_dim);

} // namespace anet::io
