#include "train/optimizer_kernels.h"

#include "base/float16.h"
#include "base/random.h"
#include "base/simd_targets.h"

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

using namespace anet;
using train::UpdateRange;

namespace {

constexpr train::AdamWFactors adamw{.gradient = 0.37f,
                                    .beta1 = 0.9f,
                                    .beta2 = 0.999f,
                                    .epsilon = 1e-8f,
                                    .step_size = 0.013f,
                                    .root_correction = 1.7f};
constexpr train::SgdFactors sgd{.gradient = 0.37f, .momentum = 0.9f, .learning_rate = 0.013f};

// Calls test() once for each instruction set that this machine has.
template <typename Test>
void on_every_target(Test&& test) {
  const auto choose = [](uint32_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  };
  for (const uint32_t target : hwy::SupportedAndGeneratedTargets()) {
    INFO("on ", hwy::TargetName(target));
    choose(target);
    test();
  }
  choose(0); // all again
}

std::vector<uint32_t> bits_of(std::span<const float> values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

struct Arrays {
  std::vector<float> weights, gradients, first, second;
  std::vector<uint16_t> mirror;

  explicit Arrays(size_t count)
      : weights(count), gradients(count), first(count), second(count), mirror(count) {
    Random random(count);
    for (auto* array : {&weights, &gradients, &first, &second}) random.fill_normal(*array, 0, 1);
    for (float& value : second) value *= value;
  }
  UpdateRange range(size_t count) {
    return {.count = static_cast<int64_t>(count),
            .weights = weights.data(),
            .gradients = gradients.data(),
            .first = {.values = first.data()},
            .second = {.values = second.data()},
            .bfloat16_weights = mirror.data()};
  }
};

// The formulas of optimizer_kernels.h, an operation at a time.
void plain_adamw(Arrays& a, size_t count, const train::AdamWFactors& f, float keep) {
  for (size_t i = 0; i < count; ++i) {
    const float g = a.gradients[i] * f.gradient;
    const float old_mean = f.beta1 * a.first[i];
    const float new_mean = (1 - f.beta1) * g;
    a.first[i] = old_mean + new_mean;
    const float old_square = f.beta2 * a.second[i];
    const float scaled = (1 - f.beta2) * g;
    const float new_square = scaled * g;
    a.second[i] = old_square + new_square;
    const float root = std::sqrt(a.second[i]) * f.root_correction;
    const float moved = f.step_size * a.first[i];
    const float change = moved / (root + f.epsilon);
    const float kept = a.weights[i] * keep;
    a.weights[i] = kept - change;
    a.mirror[i] = float_to_bfloat16(a.weights[i]);
    a.gradients[i] = 0;
  }
}

void plain_sgd(Arrays& a, size_t count, const train::SgdFactors& f, float keep) {
  for (size_t i = 0; i < count; ++i) {
    const float g = a.gradients[i] * f.gradient;
    const float old = f.momentum * a.first[i];
    a.first[i] = old + g;
    const float change = f.learning_rate * a.first[i];
    const float kept = a.weights[i] * keep;
    a.weights[i] = kept - change;
    a.mirror[i] = float_to_bfloat16(a.weights[i]);
    a.gradients[i] = 0;
  }
}

// The numbers of state in bf16, and how chance rounds them: the 16 bits behind its own are added
// to.
struct NarrowState {
  std::vector<uint16_t> first, second;

  explicit NarrowState(const Arrays& a) {
    for (const float value : a.first) first.push_back(float_to_bfloat16(value));
    for (const float value : a.second) second.push_back(float_to_bfloat16(value));
  }
  void widen(Arrays& a) const {
    for (size_t i = 0; i < first.size(); ++i) {
      a.first[i] = bfloat16_to_float(first[i]);
      a.second[i] = bfloat16_to_float(second[i]);
    }
  }
  static uint32_t hash(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    return x;
  }
  void round(const Arrays& a, size_t count, uint32_t noise, bool both = true) {
    for (size_t i = 0; i < count; ++i) {
      const uint32_t bits = hash(noise + static_cast<uint32_t>(i));
      const auto rounded = [](float value, uint32_t chance) {
        return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + chance) >> 16);
      };
      first[i] = rounded(a.first[i], bits >> 16);
      if (both) second[i] = rounded(a.second[i], bits & 0xffff);
    }
  }
};

void check_equal(const Arrays& seen, const Arrays& expected) {
  CHECK(bits_of(seen.weights) == bits_of(expected.weights));
  CHECK(bits_of(seen.gradients) == bits_of(expected.gradients));
  CHECK(bits_of(seen.first) == bits_of(expected.first));
  CHECK(bits_of(seen.second) == bits_of(expected.second));
  CHECK(seen.mirror == expected.mirror);
}

} // namespace

TEST_CASE("an update has the same bits in vectors of every width as a number at a time") {
  on_every_target([&] {
    for (size_t count = 0; count < 70; ++count) {
      const size_t size = count + 3; // what lies behind stays as it is
      Arrays seen(size), expected(size);
      train::update_adamw(seen.range(count), adamw, 0.99f);
      plain_adamw(expected, count, adamw, 0.99f);
      check_equal(seen, expected);
      train::update_sgd(seen.range(count), sgd, 0.99f);
      plain_sgd(expected, count, sgd, 0.99f);
      check_equal(seen, expected);
    }
  });
}

TEST_CASE("state in bf16 has the same bits in vectors of every width as a number at a time") {
  on_every_target([&] {
    for (size_t count = 0; count < 70; ++count) {
      Arrays seen(count + 3), expected(count + 3);
      NarrowState seen_state(seen), expected_state(seen);
      const uint32_t noise = 0xfffffff0U; // the elements' numbers wrap
      UpdateRange range = seen.range(count);
      range.first = {.bfloat16_values = seen_state.first.data()};
      range.second = {.bfloat16_values = seen_state.second.data()};
      range.noise = noise;
      expected_state.widen(expected);
      train::update_adamw(range, adamw, 0.99f);
      plain_adamw(expected, count, adamw, 0.99f);
      expected_state.round(expected, count, noise);
      CHECK(seen_state.first == expected_state.first);
      CHECK(seen_state.second == expected_state.second);
      expected_state.widen(expected);
      train::update_sgd(range, sgd, 0.99f);
      plain_sgd(expected, count, sgd, 0.99f);
      expected_state.round(expected, count, noise, false);
      CHECK(seen_state.first == expected_state.first);
      CHECK(seen_state.second == expected_state.second);
      CHECK(bits_of(seen.weights) == bits_of(expected.weights));
      CHECK(seen.mirror == expected.mirror);
    }
  });
}

// Weights first, then state without them. The range's gradients are in either type.
template <typename Apply>
void check_sweeps(Arrays& arrays, const UpdateRange& range, const Apply& apply) {
  const Arrays before = arrays;
  UpdateRange sweep = range;
  sweep.sweep = train::UpdateSweep::weights;
  apply(sweep);
  CHECK(bits_of(arrays.gradients) == bits_of(before.gradients));
  CHECK(bits_of(arrays.first) == bits_of(before.first));
  CHECK(bits_of(arrays.second) == bits_of(before.second));
  sweep.sweep = train::UpdateSweep::state;
  sweep.weights = nullptr;
  sweep.bfloat16_weights = nullptr;
  apply(sweep);
}

TEST_CASE("an update in two sweeps has the same bits as in one") {
  const auto apply_adamw = [](const UpdateRange& range) { update_adamw(range, adamw, 0.99f); };
  const auto apply_sgd = [](const UpdateRange& range) { update_sgd(range, sgd, 0.99f); };
  on_every_target([&] {
    for (size_t count = 0; count < 70; ++count) {
      Arrays seen(count + 3), expected(count + 3);
      check_sweeps(seen, seen.range(count), apply_adamw);
      plain_adamw(expected, count, adamw, 0.99f);
      check_equal(seen, expected);
      check_sweeps(seen, seen.range(count), apply_sgd);
      plain_sgd(expected, count, sgd, 0.99f);
      check_equal(seen, expected);

      NarrowState state(seen), expected_state(seen);
      UpdateRange range = seen.range(count);
      range.first = {.bfloat16_values = state.first.data()};
      range.second = {.bfloat16_values = state.second.data()};
      range.noise = 7;
      expected_state.widen(expected);
      check_sweeps(seen, range, apply_adamw);
      plain_adamw(expected, count, adamw, 0.99f);
      expected_state.round(expected, count, range.noise);
      CHECK(state.first == expected_state.first);
      CHECK(state.second == expected_state.second);
      CHECK(bits_of(seen.weights) == bits_of(expected.weights));
    }
  });
}

TEST_CASE("averages in bf16 follow the gradient where rounding to nearest would stand still") {
  constexpr size_t count = 1000;
  const train::AdamWFactors factors{
      .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1, .root_correction = 1};
  Arrays arrays(count);
  std::vector<uint16_t> first(count), second(count);
  UpdateRange range = arrays.range(count);
  range.first = {.bfloat16_values = first.data()};
  range.second = {.bfloat16_values = second.data()};
  // The squares rise to that of 3 and fall to that of 0.5, by 1/1000 of the difference a time.
  double expected = 0;
  for (uint32_t update = 0; update < 4000; ++update) {
    const float g = update < 2000 ? 3.0f : 0.5f;
    std::fill(arrays.gradients.begin(), arrays.gradients.end(), g);
    range.noise = update * 0x9e3779b9U;
    train::update_adamw(range, factors, 1);
    expected += 0.001 * (double{g} * g - expected);
  }
  double mean = 0;
  for (const uint16_t value : second) mean += bfloat16_to_float(value) / double{count};
  // One element's deviation is a few times 1/256; that of the mean of 1000 a thirtieth of it.
  CHECK(mean == doctest::Approx(expected).epsilon(0.005));
  for (const uint16_t value : first)
    CHECK(bfloat16_to_float(value) == doctest::Approx(0.5).epsilon(0.03));
}

TEST_CASE("gradients in fp16 are what the same in fp32 are, and stay") {
  std::vector<uint16_t> halves(70000);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i); // every number
  std::erase_if(halves, [](uint16_t half) { return std::isnan(half_to_float(half)); });
  const std::vector<uint16_t> before = halves;
  const size_t count = halves.size() - 3;
  Arrays expected(halves.size());
  for (size_t i = 0; i < halves.size(); ++i) expected.gradients[i] = half_to_float(halves[i]);
  const std::vector<float> gradients = expected.gradients;
  const train::AdamWFactors factors{
      .gradient = 0.37f, .step_size = 0.013f, .root_correction = 1.7f};
  train::update_adamw(expected.range(count), factors, 0.99f);
  expected.gradients = gradients;
  train::update_sgd(expected.range(count), sgd, 0.99f);
  expected.gradients = gradients;
  on_every_target([&] {
    Arrays seen(halves.size());
    seen.gradients = gradients;
    UpdateRange range = seen.range(count);
    range.gradients = nullptr;
    range.float16_gradients = halves.data();
    train::update_adamw(range, factors, 0.99f);
    train::update_sgd(range, sgd, 0.99f);
    check_equal(seen, expected);
    CHECK(halves == before);
    for (const size_t size : {0, 1, 15, 16, 100, 31743}) // all of them finite
      CHECK(train::sum_of_squares(std::span(halves).first(size)) ==
            train::sum_of_squares(std::span(gradients).first(size)));
    CHECK(std::isinf(train::sum_of_squares(std::span(halves))));
  });
}

TEST_CASE("SGD needs no momentum, and no update a mirror") {
  Arrays arrays(21), without(21);
  UpdateRange range = without.range(21);
  range.first = range.second = {};
  range.bfloat16_weights = nullptr;
  const std::vector<float> weights = arrays.weights, gradients = arrays.gradients;
  train::update_sgd(range, {.gradient = 2, .learning_rate = 0.5f}, 1);
  for (size_t i = 0; i < 21; ++i) CHECK(without.weights[i] == weights[i] - gradients[i]);
  CHECK(without.first == arrays.first);
  CHECK(without.mirror == std::vector<uint16_t>(21));

  std::vector<float> others = arrays.weights;
  train::update_adamw(arrays.range(21), {.step_size = 0.1f, .root_correction = 1}, 0.5f);
  Arrays again(21);
  range = again.range(21);
  range.bfloat16_weights = nullptr;
  train::update_adamw(range, {.step_size = 0.1f, .root_correction = 1}, 0.5f);
  CHECK(again.weights == arrays.weights);
  CHECK(again.mirror == std::vector<uint16_t>(21));
}

TEST_CASE("scaling is what an update does where gradient and state are zeros") {
  on_every_target([&] {
    for (size_t count = 0; count < 40; ++count) {
      Arrays seen(count + 3), expected(count + 3);
      for (Arrays* arrays : {&seen, &expected})
        for (auto* zeros : {&arrays->gradients, &arrays->first, &arrays->second})
          zeros->assign(count + 3, 0.0f);
      train::scale_weights(seen.range(count), 0.97f);
      plain_adamw(expected, count, {.epsilon = 1e-8f, .step_size = 1, .root_correction = 1}, 0.97f);
      check_equal(seen, expected);
    }
  });
}

TEST_CASE("the mirror rounds to nearest even, and keeps what is not finite") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto of_bits = [](uint32_t bits) { return std::bit_cast<float>(bits); };
  // Halfway below an even and an odd one, just beside them, the largest float, NaNs whose payload
  // would be lost or carry, subnormals.
  const std::vector<float> values = {of_bits(0x3f808000), of_bits(0x3f818000),
                                     of_bits(0x3f807fff), of_bits(0x3f808001),
                                     of_bits(0x7f7fffff), of_bits(0x7f800001),
                                     of_bits(0xffffffff), of_bits(0x00000001),
                                     of_bits(0x00008001), infinity,
                                     -infinity,           -0.0f,
                                     of_bits(0xbf818000)};
  const std::vector<uint16_t> expected = {0x3f80, 0x3f82, 0x3f80, 0x3f81, 0x7f80, 0x7fc0, 0xffff,
                                          0x0000, 0x0001, 0x7f80, 0xff80, 0x8000, 0xbf82};
  on_every_target([&] {
    std::vector<float> weights = values, gradients(values.size());
    std::vector<uint16_t> mirror(values.size());
    train::update_sgd({.count = static_cast<int64_t>(values.size()),
                       .weights = weights.data(),
                       .gradients = gradients.data(),
                       .bfloat16_weights = mirror.data()},
                      {}, 1);
    CHECK(mirror == expected);
  });
}

TEST_CASE("a sum of squares has the same bits in vectors of every width") {
  for (const size_t count : {0, 1, 15, 16, 17, 100, 4099}) {
    const Arrays arrays(count);
    double sums[16] = {};
    for (size_t i = 0; i < count; ++i) {
      const double value = arrays.weights[i];
      sums[i % 16] += value * value;
    }
    double expected = 0;
    for (const double sum : sums) expected += sum;
    on_every_target([&] { CHECK(train::sum_of_squares(arrays.weights) == expected); });
  }
}
