// bf16 in memory, fp32 in vectors, once for each instruction set.
//
// Include after hwy/highway.h, outside any namespace. No #pragma once: see the guard below.

#if defined(ANET_BFLOAT16_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ANET_BFLOAT16_INL_H
#undef ANET_BFLOAT16_INL_H
#else
#define ANET_BFLOAT16_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace anet::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// bf16 is the upper half of a float.
template <class D>
HWY_INLINE hn::Vec<D> load_bfloat16(D d, const uint16_t* source) {
  const hn::RebindToUnsigned<D> words;
  const hn::Rebind<uint16_t, D> halves;
  const auto bits = hn::PromoteTo(words, hn::LoadU(halves, source));
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}

// Rounds to nearest even, as float_to_bfloat16 does.
template <class D>
HWY_INLINE void store_bfloat16(D, hn::Vec<D> value, uint16_t* out) {
  const hn::RebindToUnsigned<D> words;
  const hn::RebindToSigned<D> integers;
  const hn::Rebind<uint16_t, D> halves;
  const auto bits = hn::BitCast(words, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7fff))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(words, 0x40));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(value));
  const auto result = hn::IfThenElse(is_nan, quiet, rounded);
  // Below 2^16, so that no lane saturates.
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, result)), halves, out);
}

// Rounds a finite value up or down by chance, so that it is right on average: `noise` has 16 random
// bits. What bf16 can hold stays as it is.
template <class D>
HWY_INLINE void store_bfloat16(D, hn::Vec<D> value, hn::Vec<hn::RebindToUnsigned<D>> noise,
                               uint16_t* out) {
  const hn::RebindToUnsigned<D> words;
  const hn::RebindToSigned<D> integers;
  const hn::Rebind<uint16_t, D> halves;
  const auto bits = hn::ShiftRight<16>(hn::Add(hn::BitCast(words, value), noise));
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, bits)), halves, out);
}

} // namespace anet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
