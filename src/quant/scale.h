// One scale and the codes of the values that share it.
#pragma once

#include <cstdint>
#include <span>

namespace anet::quant {

struct CodeRange {
  float lowest;
  float highest;
};
inline constexpr CodeRange int8_range = {-127, 127};
inline constexpr CodeRange int4_range = {-8, 7};

// Writes the codes, one a byte, and returns the scale as fp16. Throws invalid_data for values that
// are not finite, out_of_range for those whose scale fp16 cannot hold.
uint16_t quantize_block(std::span<const float> values, CodeRange range, std::span<int8_t> codes);

} // namespace anet::quant
