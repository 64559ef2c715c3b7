// Every half against the compiler's own type, which the machine or libgcc implements.
#include "base/float16.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <limits>

using namespace anet;

namespace {

#if defined(__aarch64__)
__extension__ using CompilerHalf = __fp16; // GCC 12 has no _Float16 there in C++
#else
__extension__ using CompilerHalf = _Float16;
#endif

uint16_t compiler_half(double value) {
  return std::bit_cast<uint16_t>(static_cast<CompilerHalf>(value));
}

bool is_half_nan(uint16_t half) { return (half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0; }

} // namespace

TEST_CASE("all halves widen as the compiler's do and come back") {
  int wrong = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float expected = static_cast<float>(std::bit_cast<CompilerHalf>(half));
    const float seen = half_to_float(half);
    if (is_half_nan(half)) {
      wrong += !std::isnan(seen) || !is_half_nan(float_to_half(seen));
      continue;
    }
    wrong += std::bit_cast<uint32_t>(seen) != std::bit_cast<uint32_t>(expected);
    wrong += float_to_half(seen) != half;
    wrong += double_to_half(seen) != half;
  }
  CHECK(wrong == 0);
}

TEST_CASE("halves round to nearest even between all neighbours") {
  int wrong = 0;
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) { // finite neighbours
    const double low = half_to_float(static_cast<uint16_t>(bits));
    const double high = half_to_float(static_cast<uint16_t>(bits + 1));
    const double middle = (low + high) / 2; // exact
    const uint16_t even = static_cast<uint16_t>(bits + (bits & 1));
    const double below = std::nextafter(middle, low);
    const double above = std::nextafter(middle, high);
    wrong += double_to_half(middle) != even;
    wrong += double_to_half(-middle) != (even | 0x8000);
    wrong += double_to_half(below) != bits || double_to_half(above) != bits + 1;
    wrong += double_to_half(middle) != compiler_half(middle);
    wrong += double_to_half(above) != compiler_half(above);
    wrong += float_to_half(static_cast<float>(middle)) != even;
  }
  CHECK(wrong == 0);
}

TEST_CASE("halves at the ends of their range") {
  CHECK(double_to_half(65504.0) == 0x7bff);
  CHECK(double_to_half(std::nextafter(65520.0, 0.0)) == 0x7bff);
  CHECK(double_to_half(65520.0) == 0x7c00);
  CHECK(double_to_half(-1e300) == 0xfc00);
  CHECK(double_to_half(0x1p-25) == 0); // a tie with zero, which is even
  CHECK(double_to_half(std::nextafter(0x1p-25, 1.0)) == 1);
  CHECK(double_to_half(-0.0) == 0x8000);
  CHECK(double_to_half(std::numeric_limits<double>::denorm_min()) == 0);
  CHECK(is_half_nan(double_to_half(std::nan(""))));
}

TEST_CASE("bfloat16 keeps the upper half of a float, rounded to nearest even") {
  CHECK(bfloat16_to_float(0x3f80) == 1.0f);
  CHECK(float_to_bfloat16(1.0f) == 0x3f80);
  CHECK(float_to_bfloat16(std::bit_cast<float>(0x3f808000u)) == 0x3f80); // tie, even below
  CHECK(float_to_bfloat16(std::bit_cast<float>(0x3f818000u)) == 0x3f82); // tie, even above
  CHECK(float_to_bfloat16(std::bit_cast<float>(0x3f808001u)) == 0x3f81);
  CHECK(float_to_bfloat16(std::bit_cast<float>(0x3f807fffu)) == 0x3f80);
  CHECK(float_to_bfloat16(std::numeric_limits<float>::max()) == 0x7f80); // rounds up to infinity
  CHECK(std::isnan(bfloat16_to_float(float_to_bfloat16(std::bit_cast<float>(0x7f800001u)))));
  for (uint32_t bits = 0; bits < 0x7f80; ++bits)
    if (float_to_bfloat16(bfloat16_to_float(static_cast<uint16_t>(bits))) != bits) FAIL(bits);
}
