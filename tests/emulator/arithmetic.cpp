#include "arithmetic.h"

namespace emulator {

EMULATOR_CLONES void halves_to_floats(const void* halves, float* floats, int64_t count) {
  const auto* from = static_cast<const uint16_t*>(halves);
  for (int64_t i = 0; i < count; ++i) floats[i] = half_value(from[i]);
}

EMULATOR_CLONES void floats_to_halves(const float* floats, void* halves, int64_t count) {
  auto* to = static_cast<uint16_t*>(halves);
  for (int64_t i = 0; i < count; ++i) to[i] = half_bits(round_half(floats[i]));
}

EMULATOR_CLONES void round_halves(float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = round_half(values[i]);
}

EMULATOR_CLONES void replace_nan(float* values, int64_t count, float replacement) {
  for (int64_t i = 0; i < count; ++i) values[i] = values[i] != values[i] ? replacement : values[i];
}

} // namespace emulator
