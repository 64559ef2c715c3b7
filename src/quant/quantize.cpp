// Codes and scales of whole matrices, row by row, and what they cost in precision.
#include "quant/quantize.h"

#include "base/name_pattern.h"
#include "base/status.h"
#include "quant/palette.h"
#include "quant/scale.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace anet::quant {
namespace {

using mil::Compression;

constexpr int64_t default_block = 32;
constexpr int64_t range_elements = int64_t{1} << 16; // less is not worth a thread

bool is_int4(Compression compression) { return mil::compression_bits(compression) == 4; }

void check_extents(std::string_view name, const Scheme& scheme, int64_t rows, int64_t columns) {
  const auto expect = [&](bool holds, const auto&... parts) {
    if (!holds)
      fail(Status::unsupported, "cannot compress '", name, "' of ", rows, " x ", columns, " to ",
           mil::compression_name(scheme.compression), ": ", parts...);
  };
  const int64_t block = scheme.block_size;
  if (scheme.compression == Compression::int8_channel)
    return expect(block == 0, "expected no block size, seen ", block);
  const bool palette = scheme.compression == Compression::palette4;
  const int64_t extent = palette ? rows : columns;
  expect(block > 0 && extent % block == 0, "expected a block size that divides ", extent, ", seen ",
         block);
  if (!is_int4(scheme.compression)) return;
  expect(columns % 2 == 0, "expected an even number of columns");
  expect(palette || block % 2 == 0, "expected an even block size, seen ", block);
}

Scheme with_defaults(Scheme scheme) {
  if (scheme.block_size != 0) return scheme;
  if (scheme.compression == Compression::palette4) scheme.block_size = 1;
  if (scheme.compression == Compression::int8_block ||
      scheme.compression == Compression::int4_block)
    scheme.block_size = default_block;
  return scheme;
}

bool matches(const Recipe::Override& override, std::string_view name) {
  if (matches_name(override.pattern, name)) return true;
  constexpr std::string_view suffix = ".weight";
  if (!name.ends_with(suffix)) return false;
  return matches_name(override.pattern, name.substr(0, name.size() - suffix.size()));
}

// Of two 4-bit codes in a byte the first is in the low bits.
void pack_nibbles(std::span<const int8_t> codes, std::byte* packed) {
  for (size_t i = 0; i < codes.size(); i += 2)
    packed[i / 2] = static_cast<std::byte>((codes[i] & 15) | (codes[i + 1] & 15) << 4);
}

// Where the codes and scales of a matrix go while threads make them.
struct Output {
  std::shared_ptr<std::byte> codes;
  std::vector<std::byte> scales;

  Output(const mil::CompressedWeight& weight, PartAllocator& memory)
      : codes(memory.allocate(weight.code_bytes())),
        scales(static_cast<size_t>(weight.scale_count()) * 2) {}

  void put_codes(Compression compression, int64_t element, std::span<const int8_t> made) {
    std::byte* at = codes.get() + element * mil::compression_bits(compression) / 8;
    if (is_int4(compression))
      pack_nibbles(made, at);
    else
      std::memcpy(at, made.data(), made.size());
  }
  void put_scale(int64_t index, uint16_t half) {
    std::memcpy(&scales[static_cast<size_t>(index) * 2], &half, 2);
  }
};

void quantize_scaled(ThreadPool& pool, std::span<const float> values,
                     const mil::CompressedWeight& weight, Output& output) {
  const int64_t block = weight.block_size == 0 ? weight.columns : weight.block_size;
  const CodeRange range = is_int4(weight.compression) ? int4_range : int8_range;
  const int64_t grain = std::max<int64_t>(1, range_elements / block);
  pool.parallel_for(weight.scale_count(), grain, [&](int64_t begin, int64_t end) {
    std::vector<int8_t> codes(static_cast<size_t>(block));
    for (int64_t i = begin; i < end; ++i) {
      const auto part = values.subspan(static_cast<size_t>(i * block), codes.size());
      output.put_scale(i, quantize_block(part, range, codes));
      output.put_codes(weight.compression, i * block, codes);
    }
  });
}

void quantize_palettes(ThreadPool& pool, std::span<const float> values,
                       const mil::CompressedWeight& weight, Output& output) {
  const int64_t group = weight.block_size * weight.columns;
  pool.parallel_for(weight.rows / weight.block_size, 1, [&](int64_t begin, int64_t end) {
    std::vector<int8_t> codes(static_cast<size_t>(weight.columns));
    PaletteFitter fitter;
    for (int64_t i = begin; i < end; ++i) {
      const auto part = values.subspan(static_cast<size_t>(i * group), static_cast<size_t>(group));
      const Palette palette = fitter.fit(part);
      for (size_t entry = 0; entry < palette.halves.size(); ++entry)
        output.put_scale(i * 16 + static_cast<int64_t>(entry), palette.halves[entry]);
      for (int64_t row = 0; row < weight.block_size; ++row) {
        nearest_entries(palette,
                        part.subspan(static_cast<size_t>(row) * codes.size(), codes.size()), codes);
        output.put_codes(weight.compression, i * group + row * weight.columns, codes);
      }
    }
  });
}

} // namespace

std::optional<Scheme> scheme_for(const Recipe& recipe, std::string_view name,
                                 const mil::Shape& shape) {
  if (shape.size() != 2) return std::nullopt;
  std::optional<Scheme> scheme = recipe.scheme;
  for (const Recipe::Override& override : recipe.overrides)
    if (matches(override, name)) scheme = override.scheme;
  if (!scheme) return std::nullopt;
  scheme = with_defaults(*scheme);
  check_extents(name, *scheme, shape[0], shape[1]);
  return scheme;
}

void check_overrides(const Recipe& recipe, std::span<const std::string_view> matrices) {
  for (const Recipe::Override& override : recipe.overrides) {
    const bool found = std::any_of(matrices.begin(), matrices.end(),
                                   [&](std::string_view name) { return matches(override, name); });
    if (!found)
      fail(Status::invalid_argument,
           "expected a pattern of matrices such as 'down_proj' or "
           "'layers.0.mlp.*', seen '",
           override.pattern, "', which matches none of this model");
  }
}

mil::CompressedWeight quantize(ThreadPool& pool, std::span<const float> values, int64_t rows,
                               int64_t columns, const Scheme& scheme, PartAllocator& memory) {
  if (static_cast<int64_t>(values.size()) != rows * columns || values.empty())
    fail(Status::shape_mismatch, "expected ", rows, " x ", columns, " values, seen ",
         values.size());
  const Scheme full = with_defaults(scheme);
  check_extents("matrix", full, rows, columns);
  mil::CompressedWeight weight{.compression = full.compression,
                               .rows = rows,
                               .columns = columns,
                               .block_size = full.block_size,
                               .codes = {},
                               .scales = {}};
  Output output(weight, memory);
  if (full.compression == Compression::palette4)
    quantize_palettes(pool, values, weight, output);
  else
    quantize_scaled(pool, values, weight, output);
  const std::byte* const codes = output.codes.get();
  weight.codes =
      mil::Bytes(std::move(output.codes), {codes, static_cast<size_t>(weight.code_bytes())});
  weight.scales = mil::Bytes(std::move(output.scales));
  return weight;
}

mil::CompressedWeight quantize(ThreadPool& pool, std::span<const float> values, int64_t rows,
                               int64_t columns, const Scheme& scheme) {
  PartAllocator own(0);
  return quantize(pool, values, rows, columns, scheme, own);
}

TensorError measure_error(ThreadPool& pool, std::span<const float> values,
                          const mil::CompressedWeight& weight) {
  if (static_cast<int64_t>(values.size()) != weight.rows * weight.columns)
    fail(Status::shape_mismatch, "expected ", weight.rows, " x ", weight.columns, " values, seen ",
         values.size());
  struct Sums {
    double worst = 0, squares = 0, reference = 0;
  };
  // By row, so that the sums do not depend on the number of threads.
  std::vector<Sums> rows(static_cast<size_t>(weight.rows));
  const int64_t grain = std::max<int64_t>(1, range_elements / weight.columns);
  pool.parallel_for(weight.rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(weight.columns));
    for (int64_t i = begin; i < end; ++i) {
      mil::expand(weight, {i, 1, 0, weight.columns}, row.data(), weight.columns);
      const float* given = values.data() + i * weight.columns;
      Sums& sums = rows[static_cast<size_t>(i)];
      for (size_t j = 0; j < row.size(); ++j) {
        const double difference = double{row[j]} - given[j];
        sums.worst = std::max(sums.worst, std::fabs(difference));
        sums.squares += difference * difference;
        sums.reference += double{given[j]} * given[j];
      }
    }
  });
  Sums total;
  for (const Sums& sums : rows) {
    total.worst = std::max(total.worst, sums.worst);
    total.squares += sums.squares;
    total.reference += sums.reference;
  }
  TensorError error;
  error.worst = total.worst;
  error.rms = std::sqrt(total.squares / static_cast<double>(values.size()));
  error.relative_rms = total.reference > 0 ? std::sqrt(total.squares / total.reference) : 0;
  return error;
}

} // namespace anet::quant
