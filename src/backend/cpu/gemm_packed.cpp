// Our own products. The right side is copied into panels as wide as a tile of the result, so that
// the kernel reads it in order from the first-level cache; the left side is read where it lies when
// its rows are contiguous, and copied otherwise. The tile of the result stays in registers. The
// scheme is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
// (2008).
//
// Where the processor adds up products of two numbers of bf16 at once (AVX512-BF16), a product of
// such operands goes the same way in pairs: what lies in a panel for an index into the depth is
// not a float but two neighbours of bf16, and the depth is half as long.
#if !defined(__APPLE__)

#include "backend/cpu/gemm.h"
#include "base/float16.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/gemm_packed.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "base/bfloat16-inl.h"

#ifndef ANET_GEMM_BLOCKS
#define ANET_GEMM_BLOCKS
namespace anet::backend::cpu {

// A panel of the right side is half of a first-level cache, the left side's block a part of the
// second level, and the right side's block the rest of it or a part of the third.
constexpr int64_t max_depth_block = 384;
// So deep are the panels of which there are copies at a time: a block of the result takes them one
// after the other while it lies in the second level.
constexpr int64_t max_panel_depth = 1024;
constexpr int64_t row_block = 96;
constexpr int64_t column_block = 512;
constexpr int64_t max_tile_rows = 12;
constexpr int64_t max_tile_columns = 2 * 16;

constexpr int64_t rounded_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Floats that a copy of a block of the right side takes.
constexpr int64_t panel_scratch(int64_t columns, int64_t depth) {
  return std::min(depth, max_panel_depth) *
         std::min(column_block, rounded_up(columns, max_tile_columns));
}

// Two rows of bf16 at an index into the depth of pairs, to be interleaved.
struct PairOfRows {
  uint16_t value;
};
template <typename T>
constexpr int64_t rows_at_index = std::is_same_v<T, PairOfRows> ? 2 : 1;

struct Product {
  int64_t rows, columns, depth;
  float alpha;
  GemmMatrix a, b;
  bool accumulate;
  float* c;
  int64_t leading_c;
  bool pairs; // the processor multiplies them
};

} // namespace anet::backend::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using V = hn::Vec<Tag>;

// Two vectors a row: with 6 rows 12 of 16 registers hold the tile, with 12 rows 24 of 32.
constexpr int tile_rows = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 12 : 6;
constexpr int tile_columns = 2 * hn::MaxLanes(Tag());
constexpr int64_t depth_block = hn::MaxLanes(Tag()) == 16 ? 256 : max_depth_block;
constexpr int64_t panel_depth = max_panel_depth / depth_block * depth_block;
static_assert(row_block % tile_rows == 0);

// Highway has no op yet for the instructions on pairs.
constexpr bool has_pairs = HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3;

template <bool pairs>
HWY_INLINE V multiply_add(V x, V y, V sum) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if constexpr (pairs) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(x.raw), "v"(y.raw));
    return sum;
  }
#endif
  return hn::MulAdd(x, y, sum);
}

HWY_INLINE int64_t lane_count() { return static_cast<int64_t>(hn::Lanes(Tag())); }

// Rows of the left side of a tile, `row` elements apart: as they lie in a matrix, or in a panel.
struct LeftRows {
  const float* data;
  int64_t row;
};

// c[rows, tile_columns] (+)= alpha * a b. b is a panel: [depth, tile_columns].
template <int rows, bool contiguous, bool pairs>
void multiply_tile(const LeftRows& a, const float* HWY_RESTRICT b, int64_t depth, float alpha,
                   bool accumulate, float* HWY_RESTRICT c, int64_t leading_c) {
  const Tag d;
  const int64_t lanes = lane_count();
  const float* row[rows];
  V left[rows], right[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    row[i] = a.data + i * a.row;
    left[i] = right[i] = hn::Zero(d);
    hwy::Prefetch(c + i * leading_c);
  }
#pragma GCC unroll 4
  for (int64_t k = 0; k < depth; ++k) {
    const V b_left = hn::LoadU(d, b), b_right = hn::LoadU(d, b + lanes);
    b += 2 * lanes;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const V x = hn::Set(d, contiguous ? row[i][k] : a.data[k * tile_rows + i]);
      left[i] = multiply_add<pairs>(x, b_left, left[i]);
      right[i] = multiply_add<pairs>(x, b_right, right[i]);
    }
  }
  const V factor = hn::Set(d, alpha);
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    float* const out = c + i * leading_c;
    const V old_left = accumulate ? hn::LoadU(d, out) : hn::Zero(d);
    const V old_right = accumulate ? hn::LoadU(d, out + lanes) : hn::Zero(d);
    hn::StoreU(hn::MulAdd(factor, left[i], old_left), d, out);
    hn::StoreU(hn::MulAdd(factor, right[i], old_right), d, out + lanes);
  }
}

using MultiplyTile = void (*)(const LeftRows&, const float*, int64_t, float, bool, float*, int64_t);

template <bool contiguous, bool pairs, int... i>
MultiplyTile find_tile(int64_t rows, std::integer_sequence<int, i...>) {
  static constexpr MultiplyTile tiles[] = {multiply_tile<i + 1, contiguous, pairs>...};
  return tiles[rows - 1];
}

template <bool pairs>
MultiplyTile tile_of(int64_t rows, bool contiguous) {
  constexpr auto sizes = std::make_integer_sequence<int, tile_rows>();
  return contiguous ? find_tile<true, pairs>(rows, sizes) : find_tile<false, pairs>(rows, sizes);
}

// What an operand may hold: float, which may be a pair, bf16 as uint16_t, or rows of pairs.
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const uint16_t* from) {
  return anet::HWY_NAMESPACE::load_bfloat16(d, from);
}

HWY_INLINE float load(const float* from) { return *from; }
HWY_INLINE float load(const uint16_t* from) { return bfloat16_to_float(*from); }

// n numbers as floats: as they are, or in `row`.
HWY_INLINE const float* widened(const float* from, int64_t, float*) { return from; }
HWY_INLINE const float* widened(const uint16_t* from, int64_t n, float* row) {
  int64_t i = 0;
  for (; i + lane_count() <= n; i += lane_count())
    hn::StoreU(load(Tag(), from + i), Tag(), row + i);
  for (; i < n; ++i) row[i] = load(from + i);
  return row;
}

// Row k of a matrix whose rows are `leading` apart: where it lies, or in `row`.
template <typename T>
HWY_INLINE const float* row_of(const T* data, int64_t leading, int64_t k, int64_t n, float* row) {
  return widened(data + k * leading, n, row);
}
HWY_INLINE const float* row_of(const PairOfRows* data, int64_t leading, int64_t k, int64_t n,
                               float* row) {
  const auto* const even = reinterpret_cast<const uint16_t*>(data) + 2 * k * leading;
  const auto* const odd = even + leading;
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<uint32_t, 16> words;
  const hn::Rebind<uint16_t, decltype(words)> halves;
  for (; i + lane_count() <= n; i += lane_count()) {
    const auto low = hn::PromoteTo(words, hn::LoadU(halves, even + i));
    const auto high = hn::PromoteTo(words, hn::LoadU(halves, odd + i));
    hn::StoreU(hn::BitCast(Tag(), hn::Or(low, hn::ShiftLeft<16>(high))), Tag(), row + i);
  }
#endif
  for (; i < n; ++i) {
    const uint32_t pair = even[i] | static_cast<uint32_t>(odd[i]) << 16;
    std::memcpy(row + i, &pair, sizeof(pair));
  }
  return row;
}

// out[k, i] = x[i, k] for i below `lines`; rows of out are `width` long.
template <typename T>
void transpose_plain(const T* x, int64_t leading, int64_t lines, int64_t depth, float* out,
                     int64_t width) {
  for (int64_t i = 0; i < lines; ++i)
    for (int64_t k = 0; k < depth; ++k) out[k * width + i] = load(x + i * leading + k);
}

#if HWY_TARGET == HWY_SCALAR
template <typename T>
void transpose_into(const T* x, int64_t leading, int64_t lines, int64_t depth, float* out,
                    int64_t width) {
  transpose_plain(x, leading, lines, depth, out, width);
}
#else
// Four lines by four.
template <typename T>
HWY_INLINE void transpose_quad(const T* x, int64_t leading, float* out, int64_t width) {
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<double, 2> pairs; // no arithmetic: two floats that stay together
  const auto r0 = load(d, x), r1 = load(d, x + leading);
  const auto r2 = load(d, x + 2 * leading), r3 = load(d, x + 3 * leading);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, out + width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, out + 2 * width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, out + 3 * width);
}

template <typename T>
void transpose_into(const T* x, int64_t leading, int64_t lines, int64_t depth, float* out,
                    int64_t width) {
  const int64_t whole_lines = lines / 4 * 4, whole_depth = depth / 4 * 4;
  for (int64_t i = 0; i < whole_lines; i += 4)
    for (int64_t k = 0; k < whole_depth; k += 4)
      transpose_quad(x + i * leading + k, leading, out + k * width + i, width);
  transpose_plain(x + whole_depth, leading, whole_lines, depth - whole_depth,
                  out + whole_depth * width, width);
  transpose_plain(x + whole_lines * leading, leading, lines - whole_lines, depth, out + whole_lines,
                  width);
}
#endif

// A block of an operand: `lines` by `depth`, a line being a row of the left side or a column of the
// right side. Element k of line i is data[i * leading + k], or data[k * leading + i] when
// across. Rows of pairs are across.
template <typename T>
struct Lines {
  const T* data;
  int64_t leading;
  bool across;
  int64_t lines, depth;
};

// Of lines that are not across.
template <int width, typename T>
void pack_turned(const Lines<T>& x, float* out) {
  for (int64_t line = 0; line < x.lines; line += width)
    transpose_into(x.data + line * x.leading, x.leading, std::min<int64_t>(width, x.lines - line),
                   x.depth, out + line * x.depth, width);
}

// Panels of [depth, width], one after the other: line i is column i of the panels. The last panel
// is filled up with zeros.
template <int width, typename T>
void pack(const Lines<T>& x, float* out) {
  const int64_t whole = x.lines / width * width, rest = x.lines - whole;
  if (rest > 0) std::fill_n(out + whole * x.depth, x.depth * width, 0.0f);
  if constexpr (!std::is_same_v<T, PairOfRows>) {
    if (!x.across) return pack_turned<width>(x, out);
  }
  float buffer[column_block];
  for (int64_t k = 0; k < x.depth; ++k) {
    const float* const from = row_of(x.data, x.leading, k, x.lines, buffer);
    float* to = out + k * width;
    for (int64_t line = 0; line < whole; line += width, to += x.depth * width)
      std::memcpy(to, from + line, width * sizeof(float));
    std::copy_n(from + whole, rest, to);
  }
}

// A tile at the right edge, through a copy with whole vectors.
void multiply_edge(MultiplyTile multiply, const LeftRows& a, const float* b, int64_t depth,
                   float alpha, bool accumulate, int64_t rows, int64_t columns, float* c,
                   int64_t leading_c) {
  float tile[tile_rows * tile_columns] = {};
  for (int64_t i = 0; i < rows && accumulate; ++i)
    std::copy_n(c + i * leading_c, columns, tile + i * tile_columns);
  multiply(a, b, depth, alpha, accumulate, tile, tile_columns);
  for (int64_t i = 0; i < rows; ++i)
    std::copy_n(tile + i * tile_columns, columns, c + i * leading_c);
}

// Each tile of a block fetches a part of the next block, which comes from memory: lines of the
// tile's rows, or of one row of the transpose. After the last block comes an empty one.
template <typename T>
HWY_INLINE void fetch_part(const Lines<T>& next, int64_t row, int64_t column) {
  constexpr int64_t line = 64 / sizeof(T); // of the caches
  if (next.across) {
    const int64_t k = column + row / tile_rows;
    if (k >= next.depth) return;
    for (int64_t at = k * rows_at_index<T>; at < (k + 1) * rows_at_index<T>; ++at)
      for (int64_t i = 0; i < next.lines; i += line)
        hwy::Prefetch(next.data + at * next.leading + i);
  } else {
    const int64_t end = std::min<int64_t>(column + tile_columns, next.depth);
    for (int64_t i = row; i < std::min<int64_t>(row + tile_rows, next.lines); ++i)
      for (int64_t k = column; k < end; k += line) hwy::Prefetch(next.data + i * next.leading + k);
  }
}

// More rows of a tile than the first level has ways, at the same place of each of its 4 KB.
bool share_sets(int64_t leading) { return tile_rows > 8 && leading % (4096 / sizeof(float)) == 0; }

// The rows of the left side for the kernel: where they lie, or in `scratch`.
template <typename T>
LeftRows prepare(const Lines<T>& a, float* scratch) {
  if (a.across) {
    pack<tile_rows>(a, scratch);
    return {scratch, 1};
  }
  if constexpr (std::is_same_v<T, float>) {
    if (!share_sets(a.leading)) return {a.data, a.leading};
    for (int64_t i = 0; i < a.lines; ++i)
      std::copy_n(a.data + i * a.leading, a.depth, scratch + i * a.depth);
  }
  if constexpr (std::is_same_v<T, uint16_t>)
    for (int64_t i = 0; i < a.lines; ++i)
      widened(a.data + i * a.leading, a.depth, scratch + i * a.depth);
  return {scratch, a.depth};
}

// c[rows, columns] (+)= alpha * a b, for a block of rows and the panels of a block of b.
template <bool pairs, typename T>
void multiply_block(const Product& p, const Lines<T>& a, const Lines<T>& next, const float* b,
                    int64_t columns, bool accumulate, float* c, float* scratch) {
  const LeftRows block = prepare(a, scratch);
  for (int64_t j = 0; j < columns; j += tile_columns) {
    for (int64_t i = 0; i < a.lines; i += tile_rows) {
      const int64_t rows = std::min<int64_t>(tile_rows, a.lines - i);
      const LeftRows left{block.data + i * (a.across ? a.depth : block.row), block.row};
      const MultiplyTile multiply = tile_of<pairs>(rows, !a.across);
      float* const out = c + i * p.leading_c + j;
      fetch_part(next, i, j);
      if (j + tile_columns <= columns) {
        multiply(left, b + j * a.depth, a.depth, p.alpha, accumulate, out, p.leading_c);
      } else {
        multiply_edge(multiply, left, b + j * a.depth, a.depth, p.alpha, accumulate, rows,
                      columns - j, out, p.leading_c);
      }
    }
  }
}

// `lines` from `line` on, of which `depth` elements from k on. Lines of a matrix that is `across`
// are its columns.
template <typename T>
Lines<T> part(const GemmMatrix& x, bool across, int64_t line, int64_t k, int64_t lines,
              int64_t depth) {
  const int64_t at = across ? k * rows_at_index<T> * x.leading + line : line * x.leading + k;
  return {static_cast<const T*>(x.data) + at, x.leading, across, lines, depth};
}

// Where a block of the result begins, and the depth that it takes next.
struct Position {
  int64_t row = 0, k = 0;
};

// The panels of `depth` from k on, and what they are multiplied with. A product over no depth is
// zero, hence one block of it.
template <typename A, typename B, bool pairs>
void multiply_panels(const Product& p, int64_t column, int64_t columns, int64_t first,
                     int64_t depth, float* panels, float* left) {
  const auto depth_at = [&](int64_t k) { return std::min(depth_block, first + depth - k); };
  const auto rows = [&](Position at) {
    const int64_t count = std::clamp<int64_t>(p.rows - at.row, 0, row_block);
    return part<A>(p.a, p.a.transposed, count == 0 ? 0 : at.row, at.k, count, depth_at(at.k));
  };
  const auto next = [&](Position at) {
    const int64_t k = at.k + depth_block;
    return k < first + depth ? Position{at.row, k} : Position{at.row + row_block, first};
  };
  const auto panel = [&](int64_t k) {
    return panels + (k - first) * rounded_up(columns, tile_columns);
  };
  for (int64_t k = first; k == first || k < first + depth; k += depth_block)
    pack<tile_columns>(part<B>(p.b, !p.b.transposed, column, k, columns, depth_at(k)), panel(k));
  for (Position at{0, first}; at.row < p.rows; at = next(at))
    multiply_block<pairs>(p, rows(at), rows(next(at)), panel(at.k), columns,
                          p.accumulate || at.k > 0, p.c + at.row * p.leading_c + column, left);
}

template <typename A, typename B, bool pairs = false>
void multiply(const Product& p, float* scratch) {
  float* const left = scratch + panel_scratch(p.columns, p.depth);
  for (int64_t column = 0; column < p.columns; column += column_block)
    for (int64_t k = 0; k == 0 || k < p.depth; k += panel_depth)
      multiply_panels<A, B, pairs>(p, column, std::min(column_block, p.columns - column), k,
                                   std::min(panel_depth, p.depth - k), scratch, left);
}

// Lines that are not across have to begin with a pair.
bool is_pairs(const GemmMatrix& x, bool across) {
  const bool aligned = reinterpret_cast<uintptr_t>(x.data) % sizeof(float) == 0;
  return across || (aligned && x.leading % 2 == 0);
}

bool is_pairs(const Product& p) {
  return p.pairs && p.depth % 2 == 0 && is_pairs(p.a, p.a.transposed) &&
         is_pairs(p.b, !p.b.transposed);
}

// Pairs that lie side by side are read as floats.
template <bool pairs>
void multiply_pairs(Product p, float* scratch) {
  const bool a_across = p.a.transposed, b_across = !p.b.transposed;
  p.depth /= 2;
  if (!a_across) p.a.leading /= 2;
  if (!b_across) p.b.leading /= 2;
  if (a_across && b_across) return multiply<PairOfRows, PairOfRows, pairs>(p, scratch);
  if (a_across) return multiply<PairOfRows, float, pairs>(p, scratch);
  if (b_across) return multiply<float, PairOfRows, pairs>(p, scratch);
  multiply<float, float, pairs>(p, scratch);
}

bool multiplies_pairs() { return has_pairs; }

template <bool pairs>
void multiply_any(const Product& p, float* scratch) {
  const bool narrow_a = p.a.dtype == mil::DataType::bf16,
             narrow_b = p.b.dtype == mil::DataType::bf16;
  if constexpr (pairs) {
    if (narrow_a && narrow_b && is_pairs(p)) return multiply_pairs<pairs>(p, scratch);
  }
  if (narrow_a && narrow_b) return multiply<uint16_t, uint16_t>(p, scratch);
  if (narrow_a) return multiply<uint16_t, float>(p, scratch);
  if (narrow_b) return multiply<float, uint16_t>(p, scratch);
  multiply<float, float>(p, scratch);
}

void gemm(const Product& p, float* scratch) { multiply_any<has_pairs>(p, scratch); }

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {

namespace {
HWY_EXPORT(gemm);
HWY_EXPORT(multiplies_pairs);

bool has_pair_instructions() {
#if HWY_ARCH_X86
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}
} // namespace

void gemm_f32(int64_t rows, int64_t columns, int64_t depth, float alpha, const GemmMatrix& a,
              const GemmMatrix& b, bool accumulate, float* c, int64_t leading_c, float* scratch) {
  const Product product{rows, columns,    depth, alpha,     a,
                        b,    accumulate, c,     leading_c, gemm_has_bf16()};
  HWY_DYNAMIC_DISPATCH(gemm)(product, scratch);
}

bool gemm_has_bf16() {
  static const bool has = has_pair_instructions() && HWY_DYNAMIC_DISPATCH(multiplies_pairs)();
  return has;
}

bool gemm_reads(mil::DataType dtype) {
  return dtype == mil::DataType::fp32 || dtype == mil::DataType::bf16;
}

int64_t gemm_scratch(int64_t rows, int64_t columns, int64_t depth) {
  const int64_t left =
      std::min(depth, max_depth_block) * std::min(row_block, rounded_up(rows, max_tile_rows));
  return rounded_up(panel_scratch(columns, depth) + left, 16);
}

const char* gemm_library() { return "own kernels"; }

} // namespace anet::backend::cpu
#endif

#endif
