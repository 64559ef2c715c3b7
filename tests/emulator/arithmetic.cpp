#include "arithmetic.h"

namespace emulator {

EMULATOR_CLONES void halves_to_floats(const void* halves, float* floats, int64_t count) {
  const auto* bytes = static_cast<const unsigned char*>(halves);
  for (int64_t i = 0; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, bytes + i * 2, sizeof half);
    floats[i] = half_value(half);
  }
}

EMULATOR_CLONES void floats_to_halves(const float* floats, void* halves, int64_t count) {
  auto* bytes = static_cast<unsigned char*>(halves);
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t half = half_bits(round_half(floats[i]));
    std::memcpy(bytes + i * 2, &half, sizeof half);
  }
}

EMULATOR_CLONES void round_halves(float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = round_half(values[i]);
}

EMULATOR_CLONES void replace_nan(float* values, int64_t count, float replacement) {
  for (int64_t i = 0; i < count; ++i) values[i] = values[i] != values[i] ? replacement : values[i];
}

} // namespace emulator
