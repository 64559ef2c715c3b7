#include "backend/cpu/gemv_kernels.h"

#include "mil/scale_runs.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/gemv_kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<float>;
using V = hn::Vec<Tag>;

constexpr int64_t max_lanes = 64;

HWY_INLINE int64_t lane_count() { return static_cast<int64_t>(hn::Lanes(Tag())); }

// How a vector of numbers of each type becomes one of floats.
struct Fp32 {
  using Number = float;
  static constexpr bool scaled = false;
  static HWY_INLINE V load(const Number* p) { return hn::LoadU(Tag(), p); }
};

struct Bf16 {
  using Number = hwy::bfloat16_t;
  static constexpr bool scaled = false;
  static HWY_INLINE V load(const Number* p) {
    return hn::PromoteTo(Tag(), hn::LoadU(hn::Rebind<Number, Tag>(), p));
  }
};

struct Int8 {
  using Number = int8_t;
  static constexpr bool scaled = false;
  static HWY_INLINE V load(const Number* p) {
    const auto codes = hn::LoadU(hn::Rebind<Number, Tag>(), p);
    return hn::ConvertTo(Tag(), hn::PromoteTo(hn::RebindToSigned<Tag>(), codes));
  }
};

struct ScaledInt8 : Int8 {
  static constexpr bool scaled = true;
};

// The n numbers that are left at the end of a row; the other lanes are zero.
template <typename Values>
HWY_INLINE V load_tail(const typename Values::Number* p, int64_t n) {
  typename Values::Number lanes[max_lanes];
  std::memset(static_cast<void*>(lanes), 0, sizeof(lanes));
  std::memcpy(static_cast<void*>(lanes), p, static_cast<size_t>(n) * sizeof(lanes[0]));
  return Values::load(lanes);
}

HWY_INLINE V load_scale(const std::byte* halves, int64_t index) {
#if HWY_TARGET == HWY_SCALAR || (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2)
  // Without F16C, Highway's conversion flushes subnormals.
  return hn::Set(Tag(), mil::half_at(halves, index));
#else
  const hn::Rebind<hwy::float16_t, Tag> half;
  uint16_t bits;
  std::memcpy(&bits, halves + index * 2, 2);
  return hn::PromoteTo(Tag(),
                       hn::BitCast(half, hn::Set(hn::RebindToUnsigned<decltype(half)>(), bits)));
#endif
}

// Some rows with each column of x; `chains` sums of each keep additions from waiting. Rows mostly
// follow each other in memory: while some are read, the next ones are fetched.
template <typename Values, size_t rows, size_t columns, size_t chains>
HWY_INLINE void dot_rows(const GemvCall& call, int64_t first) {
  const Tag d;
  const int64_t lanes = lane_count();
  const int64_t step = static_cast<int64_t>(chains) * lanes;
  const GemvMatrix& m = call.matrix;
  const auto* const weights =
      reinterpret_cast<const typename Values::Number*>(m.data) + first * m.leading;
  const auto* next =
      reinterpret_cast<const uint8_t*>(weights + static_cast<int64_t>(rows) * m.leading);
  V sums[rows][columns][chains];
  for (size_t r = 0; r < rows; ++r)
    for (size_t j = 0; j < columns; ++j)
      for (size_t c = 0; c < chains; ++c) sums[r][j][c] = hn::Zero(d);
  V scales[rows];
  const auto add = [&](size_t chain, auto&& load_row, auto&& load_x) HWY_ATTR {
    V values[columns];
    for (size_t j = 0; j < columns; ++j)
      values[j] = load_x(call.x + static_cast<int64_t>(j) * call.x_leading);
    for (size_t r = 0; r < rows; ++r) {
      V weight = load_row(weights + static_cast<int64_t>(r) * m.leading);
      if constexpr (Values::scaled) weight = hn::Mul(weight, scales[r]);
      for (size_t j = 0; j < columns; ++j)
        sums[r][j][chain] = hn::MulAdd(weight, values[j], sums[r][j][chain]);
    }
  };
  const int64_t block = Values::scaled ? m.block_size : call.depth;
  for (int64_t begin = 0; begin < call.depth; begin += block) {
    if constexpr (Values::scaled)
      for (size_t r = 0; r < rows; ++r)
        scales[r] =
            load_scale(m.scales, ((first + static_cast<int64_t>(r)) * call.depth + begin) / block);
    const int64_t end = begin + block;
    int64_t k = begin;
    for (; k + step <= end; k += step) {
      const int64_t bytes = static_cast<int64_t>(rows * sizeof(typename Values::Number)) * step;
      for (int64_t line = 0; line < bytes; line += 64) hwy::Prefetch(next + line);
      next += bytes;
      for (size_t c = 0; c < chains; ++c) {
        const int64_t at = k + static_cast<int64_t>(c) * lanes;
        add(
            c, [=](const auto* p) HWY_ATTR { return Values::load(p + at); },
            [=](const float* p) HWY_ATTR { return Fp32::load(p + at); });
      }
    }
    for (; k + lanes <= end; k += lanes)
      add(
          0, [=](const auto* p) HWY_ATTR { return Values::load(p + k); },
          [=](const float* p) HWY_ATTR { return Fp32::load(p + k); });
    const int64_t rest = end - k;
    if (rest > 0)
      add(
          0, [=](const auto* p) HWY_ATTR { return load_tail<Values>(p + k, rest); },
          [=](const float* p) HWY_ATTR { return load_tail<Fp32>(p + k, rest); });
  }
  for (size_t r = 0; r < rows; ++r)
    for (size_t j = 0; j < columns; ++j) {
      V* const sum = sums[r][j];
      for (size_t width = chains / 2; width > 0; width /= 2)
        for (size_t c = 0; c < width; ++c) sum[c] = hn::Add(sum[c], sum[c + width]);
      call.y[static_cast<int64_t>(j) * call.y_leading + first + static_cast<int64_t>(r)] =
          hn::GetLane(hn::SumOfLanes(d, sum[0]));
    }
}

// The sums fit into 16 registers, with some to spare.
constexpr size_t rows_of(size_t columns) { return columns <= 3 ? 4 : columns <= 6 ? 2 : 1; }
constexpr size_t chains_of(size_t columns) { return columns == 1 ? 2 : 1; }

template <typename Values, size_t columns>
void dot(const GemvCall& call) {
  constexpr size_t rows = rows_of(columns), chains = chains_of(columns);
  int64_t row = 0;
  for (; row + static_cast<int64_t>(rows) <= call.rows; row += rows)
    dot_rows<Values, rows, columns, chains>(call, row);
  for (; row < call.rows; ++row) dot_rows<Values, 1, columns, chains>(call, row);
}

template <typename Values, size_t... columns>
void dot_of(const GemvCall& call, std::index_sequence<columns...>) {
  static constexpr GemvKernel kernels[] = {dot<Values, columns + 1>...};
  kernels[call.columns - 1](call);
}

template <typename Values>
void dot_any(const GemvCall& call) {
  dot_of<Values>(call, std::make_index_sequence<max_gemv_columns>());
}

void dot_int8(const GemvCall& call) {
  if (call.matrix.block_size == 0) return dot_any<Int8>(call);
  dot_any<ScaledInt8>(call);
}

// y[i] += the sum over `count` rows of x[k] * matrix[k, i], added one row after the other.
template <typename Values, size_t count>
HWY_INLINE void add_rows(const typename Values::Number* matrix, int64_t leading, int64_t n,
                         const float* x, float* y) {
  const Tag d;
  const int64_t lanes = lane_count();
  V factors[count];
  for (size_t k = 0; k < count; ++k) factors[k] = hn::Set(d, x[k]);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    V sum = hn::LoadU(d, y + i);
    for (size_t k = 0; k < count; ++k)
      sum =
          hn::MulAdd(Values::load(matrix + static_cast<int64_t>(k) * leading + i), factors[k], sum);
    hn::StoreU(sum, d, y + i);
  }
  if (i == n) return;
  V sum = load_tail<Fp32>(y + i, n - i);
  for (size_t k = 0; k < count; ++k)
    sum = hn::MulAdd(load_tail<Values>(matrix + static_cast<int64_t>(k) * leading + i, n - i),
                     factors[k], sum);
  float last[max_lanes];
  hn::StoreU(sum, d, last);
  std::memcpy(y + i, last, static_cast<size_t>(n - i) * sizeof(float));
}

// y[i] = the sum over the depth of x[k] * matrix[k, i] for some vectors of i, kept in registers.
template <typename Values, size_t vectors>
HWY_INLINE void sum_rows(const typename Values::Number* matrix, int64_t leading, int64_t depth,
                         const float* x, float* y) {
  const Tag d;
  const int64_t lanes = lane_count();
  V sums[vectors];
  for (size_t v = 0; v < vectors; ++v) sums[v] = hn::Zero(d);
  for (int64_t k = 0; k < depth; ++k) {
    const V factor = hn::Set(d, x[k]);
    for (size_t v = 0; v < vectors; ++v)
      sums[v] = hn::MulAdd(Values::load(matrix + k * leading + static_cast<int64_t>(v) * lanes),
                           factor, sums[v]);
  }
  for (size_t v = 0; v < vectors; ++v) hn::StoreU(sums[v], d, y + static_cast<int64_t>(v) * lanes);
}

// The columns of a narrow matrix, such as the values of an attention head, as far as they fill
// blocks of vectors. Returns how many.
template <typename Values>
int64_t transposed_blocks(const GemvCall& call, const typename Values::Number* matrix) {
  constexpr size_t block = 4;
  const int64_t width = static_cast<int64_t>(block) * lane_count();
  if (call.rows > 8 * width) return 0; // too far apart to be fetched ahead
  int64_t i = 0;
  for (; i + 2 * width <= call.rows; i += 2 * width)
    sum_rows<Values, 2 * block>(matrix + i, call.matrix.leading, call.depth, call.x, call.y + i);
  for (; i + width <= call.rows; i += width)
    sum_rows<Values, block>(matrix + i, call.matrix.leading, call.depth, call.x, call.y + i);
  return i;
}

// A vector, or the n numbers that are left of one.
template <typename Values>
HWY_INLINE V load_some(const typename Values::Number* p, int64_t n) {
  return n < lane_count() ? load_tail<Values>(p, n) : Values::load(p);
}
HWY_INLINE void store_some(V x, float* p, int64_t n) {
  if (n >= lane_count()) return hn::StoreU(x, Tag(), p);
  float lanes[max_lanes];
  hn::StoreU(x, Tag(), lanes);
  std::memcpy(p, lanes, static_cast<size_t>(n) * sizeof(float));
}

// y[j, i] += the sum over the depth of x[j, k] * matrix[k, i] for some vectors of i, of which the
// last may have only `rest` numbers.
template <typename Values, size_t columns, size_t vectors>
HWY_INLINE void add_tile(const GemvCall& call, const typename Values::Number* matrix, int64_t depth,
                         const float* x, float* y, int64_t rest) {
  const int64_t lanes = lane_count(), leading = call.matrix.leading;
  V sums[columns][vectors];
  for (size_t j = 0; j < columns; ++j)
    for (size_t v = 0; v < vectors; ++v)
      sums[j][v] = load_some<Fp32>(y + static_cast<int64_t>(j) * call.y_leading +
                                       static_cast<int64_t>(v) * lanes,
                                   v + 1 < vectors ? lanes : rest);
  for (int64_t k = 0; k < depth; ++k, matrix += leading) {
    V values[vectors];
    for (size_t v = 0; v < vectors; ++v)
      values[v] = load_some<Values>(matrix + static_cast<int64_t>(v) * lanes,
                                    v + 1 < vectors ? lanes : rest);
    for (size_t j = 0; j < columns; ++j) {
      const V factor = hn::Set(Tag(), x[static_cast<int64_t>(j) * call.x_leading + k]);
      for (size_t v = 0; v < vectors; ++v) sums[j][v] = hn::MulAdd(values[v], factor, sums[j][v]);
    }
  }
  for (size_t j = 0; j < columns; ++j)
    for (size_t v = 0; v < vectors; ++v)
      store_some(sums[j][v],
                 y + static_cast<int64_t>(j) * call.y_leading + static_cast<int64_t>(v) * lanes,
                 v + 1 < vectors ? lanes : rest);
}

// Several columns of x at once, so that the matrix is read once: a few of its rows at a time, which
// then lie in the L1 cache beside the sums.
template <typename Values, size_t columns>
void transposed_tiles(const GemvCall& call) {
  constexpr int64_t depth_block = 16;
  constexpr size_t registers = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 24 : 12;
  constexpr size_t vectors = std::clamp<size_t>(registers / columns, 1, 4);
  const int64_t lanes = lane_count(), width = static_cast<int64_t>(vectors) * lanes;
  const auto* const matrix = reinterpret_cast<const typename Values::Number*>(call.matrix.data);
  for (size_t j = 0; j < columns; ++j)
    std::fill_n(call.y + static_cast<int64_t>(j) * call.y_leading, call.rows, 0.0f);
  for (int64_t k = 0; k < call.depth; k += depth_block) {
    const int64_t depth = std::min(depth_block, call.depth - k);
    const auto* const rows = matrix + k * call.matrix.leading;
    int64_t i = 0;
    for (; i + width <= call.rows; i += width)
      add_tile<Values, columns, vectors>(call, rows + i, depth, call.x + k, call.y + i, lanes);
    for (; i < call.rows; i += lanes)
      add_tile<Values, columns, 1>(call, rows + i, depth, call.x + k, call.y + i,
                                   std::min(lanes, call.rows - i));
  }
}

// One column of x.
template <typename Values>
void transposed_column(const GemvCall& call) {
  constexpr size_t at_once = 4;
  const int64_t leading = call.matrix.leading;
  const auto* matrix = reinterpret_cast<const typename Values::Number*>(call.matrix.data);
  const int64_t done = transposed_blocks<Values>(call, matrix);
  const int64_t rows = call.rows - done;
  if (rows == 0) return;
  matrix += done;
  float* const y = call.y + done;
  std::fill_n(y, rows, 0.0f);
  int64_t k = 0;
  for (; k + static_cast<int64_t>(at_once) <= call.depth; k += at_once)
    add_rows<Values, at_once>(matrix + k * leading, leading, rows, call.x + k, y);
  for (; k < call.depth; ++k)
    add_rows<Values, 1>(matrix + k * leading, leading, rows, call.x + k, y);
}

template <typename Values, size_t... more>
void transposed_of(const GemvCall& call, std::index_sequence<more...>) {
  static constexpr GemvKernel kernels[] = {transposed_column<Values>,
                                           transposed_tiles<Values, more + 2>...};
  kernels[call.columns - 1](call);
}

template <typename Values>
void transposed(const GemvCall& call) {
  transposed_of<Values>(call, std::make_index_sequence<max_gemv_columns - 1>());
}

GemvKernels find_gemv_kernels(mil::DataType stored) {
  switch (stored) {
  case mil::DataType::fp32:
    return {dot_any<Fp32>, transposed<Fp32>};
  case mil::DataType::bf16:
    return {dot_any<Bf16>, transposed<Bf16>};
  case mil::DataType::int8:
    return {dot_int8, nullptr};
  default:
    return {};
  }
}

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(find_gemv_kernels);

} // namespace

GemvKernels gemv_kernels(mil::DataType stored) {
  return HWY_DYNAMIC_DISPATCH(find_gemv_kernels)(stored);
}

} // namespace anet::backend::cpu
#endif
