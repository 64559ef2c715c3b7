// fp16 in memory, fp32 in vectors, once for each instruction set.
//
// Include after hwy/highway.h, outside any namespace. No #pragma once: see the guard below.

#if defined(ANET_FLOAT16_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ANET_FLOAT16_INL_H
#undef ANET_FLOAT16_INL_H
#else
#define ANET_FLOAT16_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace anet::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Exact. Highway's own conversion flushes subnormal numbers where it is emulated, which is
// everywhere but on Arm and with F16C.
template <class D>
HWY_INLINE hn::Vec<D> load_float16(D d, const uint16_t* source) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2)
  const hn::RebindToUnsigned<D> words;
  const hn::Rebind<uint16_t, D> halves;
  const auto bits = hn::PromoteTo(words, hn::LoadU(halves, source));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(words, 0x8000)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(words, 0x7fff)));
  // The exponent's bias is 15 there and 127 here; 0 and 31 stand for themselves.
  const auto normal = hn::Add(magnitude, hn::Set(words, uint32_t{112} << 23));
  const auto infinite = hn::Or(magnitude, hn::Set(words, uint32_t{255} << 23));
  const auto above = hn::BitCast(d, hn::Or(magnitude, hn::Set(words, uint32_t{113} << 23)));
  const auto subnormal = hn::BitCast(words, hn::Sub(above, hn::Set(d, 0x1p-14f)));
  const auto is_infinite = hn::Not(hn::Lt(magnitude, hn::Set(words, uint32_t{31} << 23)));
  const auto is_subnormal = hn::Lt(magnitude, hn::Set(words, uint32_t{1} << 23));
  const auto value =
      hn::IfThenElse(is_subnormal, subnormal, hn::IfThenElse(is_infinite, infinite, normal));
  return hn::BitCast(d, hn::Or(value, sign));
#else
  const hn::Rebind<hwy::float16_t, D> halves;
  return hn::PromoteTo(d, hn::LoadU(halves, reinterpret_cast<const hwy::float16_t*>(source)));
#endif
}

} // namespace anet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif // include guard
