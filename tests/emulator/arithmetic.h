// fp16 values held in floats: conversions and rounding that compilers vectorise, the same bits on
// every processor.
#pragma once

#include "base/float16.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Several versions of one function, the processor's best chosen when the library is loaded. Only
// GCC on x86 has it; NEON is always there on arm64. Sanitizers do not run that early.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EMULATOR_CLONES                                                                            \
  __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))
#else
#define EMULATOR_CLONES
#endif

namespace emulator {

// To the nearest fp16, ties to even; 65520 and up is infinite.
inline float round_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits & 0x80000000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Normal numbers keep 10 of 23 bits of mantissa.
  const uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u)) & ~0x1fffu;
  // Below 2^-14 the unit is 2^-24, which is what adding 0.5 leaves of a float.
  const float shifted = (std::bit_cast<float>(magnitude) + 0.5f) - 0.5f;
  uint32_t rounded = magnitude < 0x38800000u ? std::bit_cast<uint32_t>(shifted) : normal;
  rounded = rounded >= 0x47800000u ? 0x7f800000u : rounded;
  rounded = magnitude > 0x7f800000u ? 0x7fc00000u : rounded;
  return std::bit_cast<float>(sign | rounded);
}

// From double, without rounding to float first.
inline float round_half_once(double value) {
  return anet::half_to_float(anet::double_to_half(value));
}

// The bits of a float that is an fp16 value already.
inline uint16_t half_bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - 0x38000000u) >> 13;
  // 0.5 leaves units of 2^-24 in the mantissa.
  const uint32_t small =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t half = magnitude < 0x38800000u ? small : normal;
  half = magnitude >= 0x7f800000u ? (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u) : half;
  return static_cast<uint16_t>(sign | half);
}

inline float half_value(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t normal = (magnitude << 13) + 0x38000000u;
  const uint32_t small =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  uint32_t bits = magnitude < 0x400u ? small : normal;
  bits = magnitude >= 0x7c00u ? (magnitude << 13) + 0x70000000u : bits;
  return std::bit_cast<float>(sign | bits);
}

// Halves are aligned to 2 bytes.
void halves_to_floats(const void* halves, float* floats, int64_t count);
// Rounds.
void floats_to_halves(const float* floats, void* halves, int64_t count);
void round_halves(float* values, int64_t count);
// NaN becomes `replacement`.
void replace_nan(float* values, int64_t count, float replacement);

} // namespace emulator
