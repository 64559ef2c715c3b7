// From fp32 matrices to few bits: which tensors, how, and what it costs in precision.
#pragma once

#include "base/aligned_memory.h"
#include "base/thread_pool.h"
#include "mil/compressed_weight.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::quant {

// How one matrix is compressed.
struct Scheme {
  mil::Compression compression = mil::Compression::int8_channel;
  int64_t block_size = 0; // 0: 32 columns a scale, one row a palette
  bool operator==(const Scheme&) const = default;
};

// Which matrices are compressed how: the last override whose pattern (base/name_pattern.h) matches
// the name, with ".weight" or without it, decides, else `scheme`. Vectors (norms, biases) always
// stay fp32.
struct Recipe {
  struct Override {
    std::string pattern;
    std::optional<Scheme> scheme; // none: stays fp32
    bool operator==(const Override&) const = default;
  };
  Scheme scheme;
  std::vector<Override> overrides;
  bool operator==(const Recipe&) const = default;
};

// The scheme of a tensor with all fields filled in, or nullopt when it stays fp32. Throws
// unsupported naming the tensor when its extents do not fit the block size.
std::optional<Scheme> scheme_for(const Recipe& recipe, std::string_view name,
                                 const mil::Shape& shape);

// Throws invalid_argument for an override that matches none of these.
void check_overrides(const Recipe& recipe, std::span<const std::string_view> matrices);

// Rounds to nearest; scales are those with the least squared error among a few near max/127
// (max/7), palettes the result of k-means from quantiles. Values must be finite (invalid_data).
// The codes lie in `memory`, which matrices that are read together should share.
mil::CompressedWeight quantize(ThreadPool& pool, std::span<const float> values, int64_t rows,
                               int64_t columns, const Scheme& scheme, PartAllocator& memory);
mil::CompressedWeight quantize(ThreadPool& pool, std::span<const float> values, int64_t rows,
                               int64_t columns, const Scheme& scheme);

struct TensorError {
  double worst = 0;        // the largest absolute difference
  double rms = 0;          // root of the mean squared difference
  double relative_rms = 0; // the same over the root mean square of the values
};
TensorError measure_error(ThreadPool& pool, std::span<const float> values,
                          const mil::CompressedWeight& weight);

// What became of one tensor.
struct TensorReport {
  std::string name;
  std::optional<Scheme> scheme; // none: fp32
  uint64_t bytes_before = 0;    // as fp32
  uint64_t bytes_after = 0;
  TensorError error;
};

} // namespace anet::quant
