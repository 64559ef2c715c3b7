// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). The n-th number is a pure
// function of (seed, stream, n), so any position can be reached at once and state is three
// integers. All results have the same bits on every platform: only integer and IEEE +, -, *, /,
// sqrt are used.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace anet {

using PhiloxBlock = std::array<uint32_t, 4>;

PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key);

// All there is to save and restore.
struct RandomState {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t counter = 0;
  bool operator==(const RandomState&) const = default;
};

// Streams of one seed are independent. One draw uses one counter value.
class Random {
public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : state_{seed, stream, 0} {}
  explicit Random(const RandomState& state) : state_(state) {}

  const RandomState& state() const { return state_; }

  // By position; these do not move the counter, and threads may share the object.
  PhiloxBlock block_at(uint64_t counter) const;
  uint64_t bits_at(uint64_t counter) const;
  double uniform_at(uint64_t counter) const;                 // [0, 1), 53 bits
  double normal_at(uint64_t counter) const;                  // mean 0, variance 1
  uint64_t below_at(uint64_t counter, uint64_t bound) const; // [0, bound), bound > 0; bias <= 2^-64

  // In sequence.
  uint64_t bits() { return bits_at(state_.counter++); }
  double uniform() { return uniform_at(state_.counter++); }
  double normal() { return normal_at(state_.counter++); }
  uint64_t below(uint64_t bound) { return below_at(state_.counter++, bound); }

  // Four values a counter, so filling n values moves it by ceil(n / 4).
  void fill_uniform(std::span<float> values, float low, float high); // [low, high)
  void fill_normal(std::span<float> values, float mean, float deviation);

private:
  RandomState state_;
};

// A pseudo-random permutation of [0, size) in constant memory: a Feistel network over the next
// power of four, walked until it falls into range (less than four rounds on average).
class Permutation {
public:
  // size > 0.
  Permutation(uint64_t size, uint64_t seed, uint64_t stream);

  uint64_t size() const { return size_; }
  uint64_t operator()(uint64_t index) const; // index < size

private:
  uint64_t encrypt(uint64_t value) const;

  uint64_t size_;
  uint64_t seed_;
  uint64_t stream_;
  int half_bits_; // bits in each half of the network
};

} // namespace anet
