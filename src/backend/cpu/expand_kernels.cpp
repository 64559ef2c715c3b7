#include "backend/cpu/expand_kernels.h"

#include "mil/scale_runs.h"

#include <algorithm>
#include <cstring>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/expand_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using mil::CompressedRow;

using Tag = hn::ScalableTag<float>;

HWY_INLINE int64_t lane_count() { return static_cast<int64_t>(hn::Lanes(Tag())); }

#if HWY_TARGET == HWY_SCALAR
const mil::ExpandKernels& find_expand_kernels() { return mil::plain_expand_kernels(); }
#else
using Quad = hn::FixedTag<uint8_t, 16>;

HWY_INLINE void scale_int8(const int8_t* codes, int64_t n, float scale, float* values) {
  const int64_t lanes = lane_count();
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<int8_t, Tag> dcode;
  const auto factor = hn::Set(Tag(), scale);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto code = hn::PromoteTo(di, hn::LoadU(dcode, codes + i));
    hn::StoreU(hn::Mul(hn::ConvertTo(Tag(), code), factor), Tag(), values + i);
  }
  for (; i < n; ++i) values[i] = scale * static_cast<float>(codes[i]);
}

void expand_int8(const CompressedRow& row, float* values) {
  const auto* codes = reinterpret_cast<const int8_t*>(row.codes);
  for (mil::ScaleRuns runs(row); runs.next();)
    scale_int8(codes + runs.first(), runs.count(), runs.scale(), values + runs.first());
}

// 16 codes in [0, 16) of 8 bytes, the low bits first; 32 of 16 bytes.
struct Codes {
  hn::Vec<Quad> first, second;
};

HWY_INLINE Codes unpack(hn::Vec<Quad> bytes) {
  const auto low = hn::And(bytes, hn::Set(Quad(), uint8_t{15}));
  const auto high = hn::And(hn::ShiftRight<4>(bytes), hn::Set(Quad(), uint8_t{15}));
  return {hn::InterleaveLower(Quad(), low, high), hn::InterleaveUpper(Quad(), low, high)};
}

// Writes 32 codes as signed bytes.
HWY_INLINE void unpack_signed(const uint8_t* packed, int8_t* codes) {
  const hn::FixedTag<int8_t, 16> signed_quad;
  const Codes pair = unpack(hn::LoadU(Quad(), packed));
  const auto bias = hn::Set(signed_quad, int8_t{8});
  const auto flip = hn::Set(Quad(), uint8_t{8});
  const auto extend = [&](hn::Vec<Quad> code) {
    return hn::Sub(hn::BitCast(signed_quad, hn::Xor(code, flip)), bias);
  };
  hn::StoreU(extend(pair.first), signed_quad, codes);
  hn::StoreU(extend(pair.second), signed_quad, codes + 16);
}

void expand_int4(const CompressedRow& row, float* values) {
  constexpr int64_t piece = 512; // of codes, as bytes between the two conversions
  const auto* packed = reinterpret_cast<const uint8_t*>(row.codes);
  int8_t codes[piece];
  for (int64_t begin = 0; begin < row.columns; begin += piece) {
    const int64_t n = std::min(piece, row.columns - begin);
    const uint8_t* source = packed + begin / 2;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) unpack_signed(source + i / 2, codes + i);
    for (; i < n; ++i) {
      const int bits = source[i / 2] >> (i % 2 * 4) & 15;
      codes[i] = static_cast<int8_t>((bits ^ 8) - 8);
    }
    CompressedRow part = row;
    part.first_column += begin;
    part.columns = n;
    for (mil::ScaleRuns runs(part); runs.next();)
      scale_int8(codes + runs.first(), runs.count(), runs.scale(), values + begin + runs.first());
  }
}

// A palette's 16 floats as four tables of bytes, so that one byte shuffle looks up 16 codes.
struct Palette {
  float entries[16];
  hn::Vec<Quad> planes[4];

  explicit Palette(const std::byte* halves) {
    for (int64_t i = 0; i < 16; ++i) entries[i] = mil::half_at(halves, i);
    // Four floats a vector: their first bytes side by side, then their second ones...
    const hn::Repartition<uint32_t, Quad> d32;
    alignas(16) constexpr uint8_t order[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                               2, 6, 10, 14, 3, 7, 11, 15};
    const auto by_byte = hn::Load(Quad(), order);
    hn::Vec<decltype(d32)> quads[4];
    for (size_t i = 0; i < 4; ++i) {
      const auto bytes = hn::LoadU(Quad(), reinterpret_cast<const uint8_t*>(entries + 4 * i));
      quads[i] = hn::BitCast(d32, hn::TableLookupBytes(bytes, by_byte));
    }
    // ... and these as a matrix of 4 x 4, transposed.
    const auto low_02 = hn::InterleaveLower(d32, quads[0], quads[2]);
    const auto low_13 = hn::InterleaveLower(d32, quads[1], quads[3]);
    const auto high_02 = hn::InterleaveUpper(d32, quads[0], quads[2]);
    const auto high_13 = hn::InterleaveUpper(d32, quads[1], quads[3]);
    planes[0] = hn::BitCast(Quad(), hn::InterleaveLower(d32, low_02, low_13));
    planes[1] = hn::BitCast(Quad(), hn::InterleaveUpper(d32, low_02, low_13));
    planes[2] = hn::BitCast(Quad(), hn::InterleaveLower(d32, high_02, high_13));
    planes[3] = hn::BitCast(Quad(), hn::InterleaveUpper(d32, high_02, high_13));
  }

  HWY_INLINE void look_up(hn::Vec<Quad> codes, float* values) const {
    const Quad d;
    const hn::Repartition<uint16_t, Quad> d16;
    auto* bytes = reinterpret_cast<uint8_t*>(values);
    const auto p0 = hn::TableLookupBytes(planes[0], codes);
    const auto p1 = hn::TableLookupBytes(planes[1], codes);
    const auto p2 = hn::TableLookupBytes(planes[2], codes);
    const auto p3 = hn::TableLookupBytes(planes[3], codes);
    const auto store = [&](auto low, auto high, int64_t at) {
      const auto wide_low = hn::BitCast(d16, low), wide_high = hn::BitCast(d16, high);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d16, wide_low, wide_high)), d, bytes + at);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d16, wide_low, wide_high)), d, bytes + at + 16);
    };
    store(hn::InterleaveLower(d, p0, p1), hn::InterleaveLower(d, p2, p3), 0);
    store(hn::InterleaveUpper(d, p0, p1), hn::InterleaveUpper(d, p2, p3), 32);
  }
};

void expand_palette(const CompressedRow& row, float* values) {
  const Palette palette(row.scales);
  const auto* packed = reinterpret_cast<const uint8_t*>(row.codes);
  int64_t i = 0;
  for (; i + 32 <= row.columns; i += 32) {
    const Codes codes = unpack(hn::LoadU(Quad(), packed + i / 2));
    palette.look_up(codes.first, values + i);
    palette.look_up(codes.second, values + i + 16);
  }
  for (; i < row.columns; ++i) values[i] = palette.entries[packed[i / 2] >> (i % 2 * 4) & 15];
}

const mil::ExpandKernels& find_expand_kernels() {
  static constexpr mil::ExpandKernels kernels = {expand_int8, expand_int4, expand_palette};
  return kernels;
}
#endif

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(find_expand_kernels);

} // namespace

const mil::ExpandKernels& expand_kernels() { return HWY_DYNAMIC_DISPATCH(find_expand_kernels)(); }

} // namespace anet::backend::cpu
#endif
