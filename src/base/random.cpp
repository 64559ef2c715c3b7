#include "base/random.h"

#include "base/status.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace anet {
namespace {

__extension__ using Wide = unsigned __int128;

uint64_t join(uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; }

uint32_t low_half(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t high_half(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

// The C library's log, sin and cos differ between platforms in the last bit. These use arithmetic
// that IEEE 754 fixes, so a seed gives the same model everywhere. Errors are below 1e-15.

// Natural logarithm of a positive, normal number.
double portable_log(double value) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
  if (mantissa > std::numbers::sqrt2) {
    mantissa *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172: eleven terms of the series.
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double square = s * s;
  double sum = 0.0;
  for (int k = 10; k >= 0; --k) sum = sum * square + 1.0 / (2 * k + 1);
  return exponent * std::numbers::ln2 + 2.0 * s * sum;
}

// cos(2 pi t) for t in [0, 1).
double portable_cos_turn(double t) {
  // Quadrants: t = q / 4 + r with r in [-1/8, 1/8]; both steps are exact.
  const int quadrant = static_cast<int>(t * 4.0 + 0.5);
  const double angle = (t - quadrant * 0.25) * (2.0 * std::numbers::pi);
  const double square = angle * angle;
  const bool use_sine = (quadrant & 1) != 0;
  // Taylor series by Horner's rule; terms past the 18th power are below 1e-17 for |angle| < 0.79.
  double sum = 1.0;
  for (int k = use_sine ? 19 : 18; k > 1; k -= 2) sum = 1.0 - sum * square / (k * (k - 1));
  const double magnitude = use_sine ? angle * sum : sum;
  return quadrant == 1 || quadrant == 2 ? -magnitude : magnitude;
}

// (0, 1], so that its logarithm is finite.
double to_unit_open_zero(uint64_t bits) {
  return (static_cast<double>(bits >> 11) + 1.0) * 0x1p-53;
}

double to_unit(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

double box_muller_radius(double unit) { return std::sqrt(-2.0 * portable_log(unit)); }

} // namespace

PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {high_half(product1) ^ counter[1] ^ key[0], low_half(product1),
               high_half(product0) ^ counter[3] ^ key[1], low_half(product0)};
    key[0] += 0x9E3779B9; // golden ratio
    key[1] += 0xBB67AE85; // sqrt(3) - 1
  }
  return counter;
}

PhiloxBlock Random::block_at(uint64_t counter) const {
  return philox4x32(
      {low_half(counter), high_half(counter), low_half(state_.stream), high_half(state_.stream)},
      {low_half(state_.seed), high_half(state_.seed)});
}

uint64_t Random::bits_at(uint64_t counter) const {
  const PhiloxBlock block = block_at(counter);
  return join(block[0], block[1]);
}

double Random::uniform_at(uint64_t counter) const { return to_unit(bits_at(counter)); }

double Random::normal_at(uint64_t counter) const {
  const PhiloxBlock block = block_at(counter);
  return box_muller_radius(to_unit_open_zero(join(block[0], block[1]))) *
         portable_cos_turn(to_unit(join(block[2], block[3])));
}

uint64_t Random::below_at(uint64_t counter, uint64_t bound) const {
  if (bound == 0) fail(Status::invalid_argument, "expected a bound above 0");
  // High part of bits * bound, with 128 random bits: the bias is below 2^-64.
  const PhiloxBlock block = block_at(counter);
  const Wide low = Wide{join(block[0], block[1])} * bound >> 64;
  const Wide high = Wide{join(block[2], block[3])} * bound;
  return static_cast<uint64_t>((high + low) >> 64);
}

void Random::fill_uniform(std::span<float> values, float low, float high) {
  const double width = double{high} - double{low};
  for (size_t i = 0; i < values.size(); ++state_.counter) {
    for (const uint32_t word : block_at(state_.counter)) {
      if (i == values.size()) break;
      // 24 bits, so that rounding to float cannot reach `high` when low is 0.
      const auto value = static_cast<float>(low + width * ((word >> 8) * 0x1p-24));
      values[i++] = value < high ? value : low;
    }
  }
}

void Random::fill_normal(std::span<float> values, float mean, float deviation) {
  for (size_t i = 0; i < values.size(); ++state_.counter) {
    const PhiloxBlock block = block_at(state_.counter);
    std::array<double, 4> normal;
    for (size_t pair = 0; pair < 4; pair += 2) {
      const double radius = box_muller_radius((block[pair] + 1.0) * 0x1p-32);
      const double turn = block[pair + 1] * 0x1p-32;
      normal[pair] = radius * portable_cos_turn(turn);
      // sin(2 pi t) = cos(2 pi (t - 1/4))
      normal[pair + 1] = radius * portable_cos_turn(turn < 0.25 ? turn + 0.75 : turn - 0.25);
    }
    for (size_t k = 0; k < 4 && i < values.size(); ++k)
      values[i++] = static_cast<float>(mean + deviation * normal[k]);
  }
}

Permutation::Permutation(uint64_t size, uint64_t seed, uint64_t stream)
    : size_(size), seed_(seed), stream_(stream),
      half_bits_(std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2)) {
  if (size == 0) fail(Status::invalid_argument, "expected a permutation of at least 1 element");
}

uint64_t Permutation::operator()(uint64_t index) const {
  if (index >= size_)
    fail(Status::out_of_range, "expected an index below ", size_, ", seen ", index);
  // The network permutes a range of up to four times the size; the walk stays inside one cycle, so
  // it comes back into [0, size) and no two indices meet.
  do {
    index = encrypt(index);
  } while (index >= size_);
  return index;
}

uint64_t Permutation::encrypt(uint64_t value) const {
  constexpr uint32_t rounds = 8;
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_;
  uint64_t right = value & mask;
  for (uint32_t round = 0; round < rounds; ++round) {
    // Where the round stands, Random has the upper half of its counter: the two draw apart as long
    // as a permutation has a stream of its own.
    const PhiloxBlock block =
        philox4x32({low_half(right), round, low_half(stream_), high_half(stream_)},
                   {low_half(seed_), high_half(seed_)});
    const uint64_t mixed = left ^ (join(block[0], block[1]) & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

} // namespace anet
