// From codes to numbers, row by row.
#include "mil/compressed_weight.h"
#include "mil/scale_runs.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace anet::mil {

namespace {

float signed_nibble(unsigned bits) { return static_cast<float>(static_cast<int>(bits ^ 8u) - 8); }

void expand_int8(const CompressedRow& row, float* values) {
  const auto* codes = reinterpret_cast<const int8_t*>(row.codes);
  for (ScaleRuns runs(row); runs.next();) {
    const float scale = runs.scale();
    for (int64_t i = runs.first(); i < runs.first() + runs.count(); ++i)
      values[i] = scale * static_cast<float>(codes[i]);
  }
}

// A block may begin at an odd column, in the high bits of a byte.
void expand_int4(const CompressedRow& row, float* values) {
  for (int64_t i = 0; i < row.columns; i += 2) {
    const auto pair = static_cast<unsigned>(row.codes[i / 2]);
    values[i] = signed_nibble(pair & 15u);
    values[i + 1] = signed_nibble(pair >> 4);
  }
  for (ScaleRuns runs(row); runs.next();) {
    const float scale = runs.scale();
    for (int64_t i = runs.first(); i < runs.first() + runs.count(); ++i) values[i] *= scale;
  }
}

void expand_palette(const CompressedRow& row, float* values) {
  std::array<float, 16> palette{};
  for (size_t i = 0; i < palette.size(); ++i)
    palette[i] = half_at(row.scales, static_cast<int64_t>(i));
  for (int64_t i = 0; i < row.columns; i += 2) {
    const auto pair = static_cast<unsigned>(row.codes[i / 2]);
    values[i] = palette[pair & 15u];
    values[i + 1] = palette[pair >> 4];
  }
}

// Halves that belong to a row: its scales, or the palette that it shares with its neighbours.
int64_t first_scale(const CompressedWeight& weight, int64_t row) {
  switch (weight.compression) {
  case Compression::int8_channel:
    return row;
  case Compression::int8_block:
  case Compression::int4_block:
    return row * (weight.columns / weight.block_size);
  case Compression::palette4:
    return row / weight.block_size * 16;
  }
  return 0;
}

} // namespace

const ExpandKernels& plain_expand_kernels() {
  static constexpr ExpandKernels kernels = {expand_int8, expand_int4, expand_palette};
  return kernels;
}

void expand(const CompressedWeight& weight, const Tile& tile, float* values, int64_t leading,
            const ExpandKernels& kernels) {
  const bool by_channel = weight.compression == Compression::int8_channel;
  const auto expand_row = weight.compression == Compression::palette4     ? kernels.palette
                          : weight.compression == Compression::int4_block ? kernels.int4
                                                                          : kernels.int8;
  const int bits = compression_bits(weight.compression);
  CompressedRow row;
  row.first_column = tile.first_column;
  row.columns = tile.columns;
  row.block_size = by_channel ? weight.columns : weight.block_size;
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int64_t at = tile.first_row + i;
    const int64_t element = at * weight.columns + tile.first_column;
    row.codes = weight.codes.view().data() + element * bits / 8;
    row.scales = weight.scales.view().data() + first_scale(weight, at) * 2;
    expand_row(row, values + i * leading);
  }
}

void expand(const CompressedWeight& weight, std::span<float> values) {
  expand(weight, {0, weight.rows, 0, weight.columns}, values.data(), weight.columns);
}

} // namespace anet::mil
