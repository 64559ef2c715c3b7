// A matrix in few bits, as MIL's constexpr ops hold it. Scales and palettes are fp16, the most that
// the ANE takes (ane-facts.md 3.4, R), so a weight has the same values on every device.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>

namespace anet::mil {

enum class Compression : int32_t {
  int8_channel = 1, // scale[row] * code
  int8_block = 2,   // scale[row, column / block_size] * code
  int4_block = 3,   // the same with codes in [-8, 7]
  palette4 = 4,     // palette[row / block_size, code], 16 entries a palette
};

const char* compression_name(Compression compression); // "int8_channel", ...
std::optional<Compression> compression_from_name(std::string_view name);
int compression_bits(Compression compression); // of a code

// [rows, columns], row-major. Codes are signed but for a palette's; of two 4-bit codes in a byte
// the first is in the low bits, so `columns` is even then.
struct CompressedWeight {
  Compression compression = Compression::int8_channel;
  int64_t rows = 0;
  int64_t columns = 0;
  // Columns that share a scale, or rows that share a palette; divides them. 0 for int8_channel.
  int64_t block_size = 0;
  Bytes codes;
  Bytes scales; // fp16: [rows], [rows, columns / block_size] or [rows / block_size, 16]

  int64_t code_bytes() const;
  int64_t scale_count() const;
  size_t bytes() const { return codes.size() + scales.size(); }
  bool operator==(const CompressedWeight&) const = default;
};

// Throws invalid_data when sizes do not fit each other, naming the one that does not.
void check_compressed_weight(const CompressedWeight& weight);

// A part of a matrix; the columns begin and end at even ones.
struct Tile {
  int64_t first_row = 0, rows = 0;
  int64_t first_column = 0, columns = 0;
};

// Columns [first_column, first_column + columns) of one row.
struct CompressedRow {
  const std::byte* codes = nullptr;  // of the first of these columns
  const std::byte* scales = nullptr; // fp16: of the row's first block, or a palette; not aligned
  int64_t first_column = 0;
  int64_t columns = 0;
  int64_t block_size = 0; // columns that share a scale
};

// How a row is expanded. A device may bring loops that are faster than the plain ones; the values
// are the same, for scale * code is exact in fp32.
struct ExpandKernels {
  void (*int8)(const CompressedRow& row, float* values);
  void (*int4)(const CompressedRow& row, float* values);
  void (*palette)(const CompressedRow& row, float* values);
};
const ExpandKernels& plain_expand_kernels();

// Writes the tile's values to rows `leading` elements apart.
void expand(const CompressedWeight& weight, const Tile& tile, float* values, int64_t leading,
            const ExpandKernels& kernels = plain_expand_kernels());
// All of it; values has rows * columns elements.
void expand(const CompressedWeight& weight, std::span<float> values);

// What an op that makes a constant holds, when it is such a matrix: [rows, columns, 1...].
std::optional<CompressedWeight> compressed_weight(const Function& function, const Operation& op);

// Turns inputs [rows, columns, 1...] into constants that stay compressed: each becomes the op of
// its compression, with scales of the input's type (fp16 or fp32), or with a cast behind it (bf16,
// which does not hold the scales). Literals too: a frozen model's weights are of both kinds.
using ConstantValue = std::variant<Literal, CompressedWeight>;
Function bind_constants(const Function& function,
                        const std::map<std::string, ConstantValue>& values);

} // namespace anet::mil
