#include "backend/cpu/copy.h"

#include "base/status.h"

#include <cstring>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/copy.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
// Transposes a 4x4 block of 32-bit elements; strides are between rows, in elements.
HWY_INLINE void transpose_block(const uint32_t* source, int64_t source_stride, uint32_t* target,
                                int64_t target_stride) {
  const hn::FixedTag<uint32_t, 4> d;
  const hn::FixedTag<uint64_t, 2> pairs;
  const auto a = hn::LoadU(d, source);
  const auto b = hn::LoadU(d, source + source_stride);
  const auto c = hn::LoadU(d, source + 2 * source_stride);
  const auto e = hn::LoadU(d, source + 3 * source_stride);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_low, ce_low)), d, target);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_low, ce_low)), d, target + target_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_high, ce_high)), d,
             target + 2 * target_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_high, ce_high)), d,
             target + 3 * target_stride);
}

#endif

// target[c * target_stride + r] = source[r * source_stride + c]
void transpose_words(const uint32_t* source, int64_t source_stride, uint32_t* target,
                     int64_t target_stride, int64_t rows, int64_t columns) {
  int64_t r = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; r + 4 <= rows; r += 4) {
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      transpose_block(source + r * source_stride + c, source_stride, target + c * target_stride + r,
                      target_stride);
    }
    for (; c < columns; ++c) {
      for (int64_t i = r; i < r + 4; ++i) {
        target[c * target_stride + i] = source[i * source_stride + c];
      }
    }
  }
#endif
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      target[c * target_stride + r] = source[r * source_stride + c];
    }
  }
}

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(transpose_words);

constexpr int64_t tile = 64; // rows and columns of a tile: both sides fit the L1 cache

template <typename T>
void transpose_tile(const T* source, int64_t source_stride, T* target, int64_t target_stride,
                    int64_t rows, int64_t columns) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r)
      target[c * target_stride + r] = source[r * source_stride + c];
  }
}

template <>
void transpose_tile(const uint32_t* source, int64_t source_stride, uint32_t* target,
                    int64_t target_stride, int64_t rows, int64_t columns) {
  HWY_DYNAMIC_DISPATCH(transpose_words)
  (source, source_stride, target, target_stride, rows, columns);
}

template <typename T>
class CopyStep : public Step {
public:
  CopyStep(const Operand& source, const Operand& destination)
      : source_(source), destination_(destination),
        nest_(make_loop_nest<2>(destination.shape, {&destination.strides, &source.strides})) {}

  void run(const RunContext& context) const override {
    const T* source = address<T>(context, source_);
    T* destination = address<T>(context, destination_);
    context.pool->parallel_for(nest_.elements(), parallel_grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
        copy_row(source + offsets[1], destination + offsets[0], n);
      });
    });
  }

protected:
  void copy_row(const T* source, T* destination, int64_t n) const {
    const auto [to, from] = nest_.inner_strides();
    if (to == 1 && from == 1) {
      std::memcpy(destination, source, static_cast<size_t>(n) * sizeof(T));
    } else if (to == 1 && from == 0) {
      std::fill(destination, destination + n, *source);
    } else {
      for (int64_t i = 0; i < n; ++i) destination[i * to] = source[i * from];
    }
  }

  Operand source_;
  Operand destination_;
  LoopNest<2> nest_;
};

// The innermost loop is contiguous in the destination and another one in the source: the two are
// walked in square tiles.
template <typename T>
class TransposeStep final : public CopyStep<T> {
public:
  TransposeStep(const Operand& source, const Operand& destination, size_t unit)
      : CopyStep<T>(source, destination) {
    const size_t last = this->nest_.rank - 1;
    rows_ = this->nest_.extents[last];
    columns_ = this->nest_.extents[unit];
    source_stride_ = this->nest_.strides[last][1];
    target_stride_ = this->nest_.strides[unit][0];
    row_tiles_ = (rows_ + tile - 1) / tile;
    column_tiles_ = (columns_ + tile - 1) / tile;
    for (size_t d = 0; d < last; ++d) {
      if (d == unit) continue;
      outer_.extents[outer_.rank] = this->nest_.extents[d];
      outer_.strides[outer_.rank++] = this->nest_.strides[d];
    }
    // A loop nest wants an innermost dimension even when nothing is left for it.
    outer_.extents[outer_.rank] = 1;
    outer_.strides[outer_.rank++] = {0, 0};
  }

  void run(const RunContext& context) const override {
    const T* source = address<T>(context, this->source_);
    T* target = address<T>(context, this->destination_);
    const int64_t tiles = row_tiles_ * column_tiles_;
    const auto copy = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for_each_row(outer_, i / tiles, i / tiles + 1, [&](const auto& offsets, int64_t) {
          copy_tile(source + offsets[1], target + offsets[0], i % tiles);
        });
      }
    };
    context.pool->parallel_for(outer_.elements() * tiles, 4, copy);
  }

private:
  void copy_tile(const T* source, T* target, int64_t index) const {
    const int64_t row = index % row_tiles_ * tile;
    const int64_t column = index / row_tiles_ * tile;
    transpose_tile<T>(source + row * source_stride_ + column, source_stride_,
                      target + column * target_stride_ + row, target_stride_,
                      std::min(tile, rows_ - row), std::min(tile, columns_ - column));
  }

  int64_t rows_, columns_;
  int64_t source_stride_, target_stride_;
  int64_t row_tiles_, column_tiles_;
  LoopNest<2> outer_;
};

template <typename T>
std::unique_ptr<Step> make_copy(const Operand& source, const Operand& destination) {
  const auto nest = make_loop_nest<2>(destination.shape, {&destination.strides, &source.strides});
  const auto [to, from] = nest.inner_strides();
  if (to == 1 && from != 1 && from != 0) {
    for (size_t d = 0; d + 1 < nest.rank; ++d) {
      if (nest.strides[d][1] == 1 && nest.extents[d] >= 4) {
        return std::make_unique<TransposeStep<T>>(source, destination, d);
      }
    }
  }
  return std::make_unique<CopyStep<T>>(source, destination);
}

} // namespace

std::unique_ptr<Step> make_copy_step(const Operand& source, const Operand& destination) {
  switch (element_size(destination.dtype)) {
  case 1:
    return make_copy<uint8_t>(source, destination);
  case 2:
    return make_copy<uint16_t>(source, destination);
  case 4:
    return make_copy<uint32_t>(source, destination);
  default:
    return make_copy<uint64_t>(source, destination);
  }
}

} // namespace anet::backend::cpu
#endif
