// Exact products of int8 matrices on any instruction set: pairs of codes, widened to 16 bits, are
// multiplied and added in one instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace anet::backend::cpu {

// Weights [outputs, depth] in the order in which the kernel reads them.
struct PackedInt8 {
  int64_t outputs = 0;
  int64_t depth = 0;
  int64_t panel = 0; // outputs that are computed together; those of the last may be padding
  std::vector<int16_t> codes; // [outputs / panel, depth / 2, panel, 2], padded with zeros

  int64_t pairs() const { return (depth + 1) / 2; }
  int64_t panels() const { return (outputs + panel - 1) / panel; }
};

PackedInt8 pack_int8(const int8_t* weights, int64_t outputs, int64_t depth);

// What becomes of the sums: y = sum * scale[output] + bias[output], as fp32 or rounded to int8.
struct Int8Epilogue {
  std::vector<float> scale, bias; // of panels() * panel entries
  bool to_int8 = false;
};

// Halves of scratch that multiply_int8 needs.
int64_t int8_scratch(const PackedInt8& weights);

// y[row, output] for rows of x that are `leading` codes apart; y has `outputs` elements a row.
void multiply_int8(const PackedInt8& weights, const Int8Epilogue& epilogue, const int8_t* x,
                   int64_t rows, int64_t leading, std::byte* y, int16_t* scratch);

} // namespace anet::backend::cpu
