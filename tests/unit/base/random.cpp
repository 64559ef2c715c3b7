#include "base/random.h"

#include "base/status.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <numbers>
#include <vector>

using namespace anet;

TEST_CASE("Philox4x32-10 gives the published known answers") {
  // Random123, kat_vectors.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
        PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  // The same block through Random: counter, stream and seed are the words, low first.
  const Random random(RandomState{0x299f31d0a4093822, 0x0370734413198a2e, 0});
  CHECK(random.block_at(0x85a308d3243f6a88) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("normal numbers are Box-Muller of the C library to the last bits") {
  const Random random(3, 4);
  for (uint64_t i = 0; i < 20000; ++i) {
    const PhiloxBlock block = random.block_at(i);
    const auto high_bits = [&](int word) {
      return static_cast<double>((uint64_t{block[word + 1]} << 32 | block[word]) >> 11) * 0x1p-53;
    };
    const double expected = std::sqrt(-2 * std::log(high_bits(0) + 0x1p-53)) *
                            std::cos(2 * std::numbers::pi * high_bits(2));
    if (std::fabs(random.normal_at(i) - expected) > 4e-15 * (1 + std::fabs(expected)))
      FAIL(i, " ", random.normal_at(i), " ", expected);
  }
}

TEST_CASE("sequences are positions, and a restored state goes on where it was") {
  Random random(42, 7);
  const double first = random.uniform();
  const double second = random.normal();
  CHECK(first == Random(42, 7).uniform_at(0));
  CHECK(second == Random(42, 7).normal_at(1));
  Random restored(random.state());
  CHECK(random.state() == RandomState{42, 7, 2});
  CHECK(restored.bits() == random.bits());
  CHECK(Random(42, 7).bits_at(0) != Random(42, 8).bits_at(0));
  CHECK(Random(42, 7).bits_at(0) != Random(43, 7).bits_at(0));
  std::vector<float> nine(9);
  std::vector<float> four(4);
  Random a(1);
  Random b(1);
  a.fill_normal(nine, 0, 1);
  CHECK(a.state().counter == 3);
  b.fill_normal(four, 0, 1);
  CHECK(std::equal(four.begin(), four.end(), nine.begin()));
  b.fill_normal(four, 0, 1);
  CHECK(std::equal(four.begin(), four.end(), nine.begin() + 4));
}

TEST_CASE("uniform and normal numbers have their moments") {
  const size_t count = 200000;
  std::vector<float> values(count);
  Random random(5);
  const auto moments = [&] {
    std::array<double, 4> sums = {};
    for (const float value : values)
      for (int power = 1; power <= 4; ++power) sums[power - 1] += std::pow(value, power);
    for (double& sum : sums) sum /= count;
    return sums;
  };
  random.fill_uniform(values, 0, 1);
  CHECK(*std::min_element(values.begin(), values.end()) >= 0.0f);
  CHECK(*std::max_element(values.begin(), values.end()) < 1.0f);
  const auto uniform = moments();
  for (int power = 1; power <= 4; ++power)
    CHECK(std::fabs(uniform[power - 1] - 1.0 / (power + 1)) < 4 / std::sqrt(count));
  random.fill_normal(values, 0, 1);
  const auto normal = moments();
  CHECK(std::fabs(normal[0]) < 4 / std::sqrt(count));
  CHECK(std::fabs(normal[1] - 1) < 4 * std::sqrt(2.0 / count));
  CHECK(std::fabs(normal[2]) < 4 * std::sqrt(15.0 / count));
  CHECK(std::fabs(normal[3] - 3) < 4 * std::sqrt(96.0 / count));
  const auto within =
      std::count_if(values.begin(), values.end(), [](float value) { return std::fabs(value) < 1; });
  CHECK(std::fabs(static_cast<double>(within) / count - 0.682689492) < 0.005);
  random.fill_normal(values, 2, 0.5f);
  CHECK(std::fabs(moments()[0] - 2) < 0.005);
  random.fill_uniform(values, -3, -2);
  CHECK(std::fabs(moments()[0] + 2.5) < 0.005);
}

TEST_CASE("below is even and stays below") {
  Random random(9);
  std::array<int, 7> seen = {};
  for (int i = 0; i < 70000; ++i) ++seen.at(random.below(7));
  double chi_square = 0;
  for (const int count : seen) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  CHECK(chi_square < 22.5); // 6 degrees of freedom, probability 0.001
  CHECK(random.below(1) == 0);
  bool high = false;
  for (int i = 0; i < 64; ++i) high = high || random.below(~uint64_t{0}) >> 63 != 0;
  CHECK(high);
  CHECK_THROWS_AS(random.below(0), Error);
}

TEST_CASE("a permutation takes every value once") {
  for (const uint64_t size : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 63u, 64u, 65u, 1000u, 65537u}) {
    const Permutation permutation(size, 1, 2);
    std::vector<bool> seen(size);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t value = permutation(i);
      REQUIRE(value < size);
      REQUIRE_FALSE(seen[value]);
      seen[value] = true;
    }
    CHECK_THROWS_AS(permutation(size), Error);
  }
  CHECK_THROWS_AS(Permutation(0, 1, 2), Error);
  const Permutation large((uint64_t{1} << 63) + 11, 1, 2);
  CHECK(large(0) != large(1));
  CHECK(large(5) < large.size());
  CHECK(Permutation(~uint64_t{0}, 1, 2)(7) < ~uint64_t{0});
}

TEST_CASE("permutations depend on seed and stream and leave no order behind") {
  std::map<std::array<uint64_t, 3>, int> orders;
  for (uint64_t seed = 0; seed < 6000; ++seed) {
    const Permutation permutation(3, seed, 1);
    ++orders[{permutation(0), permutation(1), permutation(2)}];
  }
  CHECK(orders.size() == 6);
  double chi_square = 0;
  for (const auto& [order, count] : orders)
    chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  CHECK(chi_square < 1000); // a small network is not exactly even, but no order dominates

  // Correlation of value and index, and fixed points, as of a random permutation.
  const uint64_t size = 10007;
  int fixed_points = 0;
  int same_as_other_stream = 0;
  double correlation = 0;
  const Permutation first(size, 8, 0);
  const Permutation second(size, 8, 1);
  for (uint64_t i = 0; i < size; ++i) {
    fixed_points += first(i) == i;
    same_as_other_stream += first(i) == second(i);
    correlation +=
        (static_cast<double>(i) / size - 0.5) * (static_cast<double>(first(i)) / size - 0.5);
  }
  CHECK(fixed_points < 8);
  CHECK(same_as_other_stream < 8);
  CHECK(std::fabs(correlation * 12 / size) < 4 / std::sqrt(static_cast<double>(size)));
}
