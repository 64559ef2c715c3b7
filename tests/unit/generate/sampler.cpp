#include "generate/sampler.h"

#include "base/status.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

using namespace anet;
using generate::Sampler;
using generate::SamplingOptions;

namespace {

std::array<double, 4> frequencies(const SamplingOptions& options, const std::vector<float>& logits,
                                  int draws) {
  Sampler sampler(options);
  std::array<double, 4> counts{};
  for (int i = 0; i < draws; ++i)
    counts[static_cast<size_t>(sampler.sample(logits))] += 1.0 / draws;
  return counts;
}

// Probabilities 0.5, 0.25, 0.15, 0.1.
const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), std::log(0.15f),
                                   std::log(0.1f)};

} // namespace

TEST_CASE("greedy takes the largest logit, the lowest id among equals") {
  Sampler sampler({});
  CHECK(sampler.sample(std::vector<float>{1, 3, 2}) == 1);
  CHECK(sampler.sample(std::vector<float>{2, 2, 2}) == 0);
  CHECK(sampler.sample(std::vector<float>{-HUGE_VALF, -1, -HUGE_VALF}) == 1);
}

TEST_CASE("temperature 1 draws with the softmax's probabilities") {
  const auto seen = frequencies({.temperature = 1, .seed = 4}, logits, 40000);
  const double expected[] = {0.5, 0.25, 0.15, 0.1};
  for (size_t i = 0; i < 4; ++i) CHECK(seen[i] == doctest::Approx(expected[i]).epsilon(0.05));
}

TEST_CASE("temperature sharpens: 0.5 squares the probabilities") {
  const auto seen = frequencies({.temperature = 0.5, .seed = 4}, logits, 40000);
  const double total = 0.25 + 0.0625 + 0.0225 + 0.01;
  CHECK(seen[0] == doctest::Approx(0.25 / total).epsilon(0.05));
  CHECK(seen[1] == doctest::Approx(0.0625 / total).epsilon(0.05));
}

TEST_CASE("top_k keeps k, top_p the smallest set that reaches p") {
  auto seen = frequencies({.temperature = 1, .top_k = 2, .seed = 1}, logits, 20000);
  CHECK(seen[0] == doctest::Approx(2.0 / 3).epsilon(0.05));
  CHECK(seen[2] + seen[3] == 0);
  seen = frequencies({.temperature = 1, .top_p = 0.7, .seed = 1}, logits, 20000);
  CHECK(seen[0] == doctest::Approx(2.0 / 3).epsilon(0.05)); // 0.5 + 0.25 reaches 0.7
  CHECK(seen[2] + seen[3] == 0);
  seen = frequencies({.temperature = 1, .top_p = 0.8, .seed = 1}, logits, 20000);
  CHECK(seen[2] > 0); // a third is needed
  CHECK(seen[3] == 0);
  seen = frequencies({.temperature = 1, .top_p = 1e-9, .seed = 1}, logits, 100);
  CHECK(seen[0] == doctest::Approx(1.0)); // never empty
}

TEST_CASE("min_p keeps what reaches its share of the largest probability") {
  // 0.5 * 0.5 = 0.25: ids 0 and 1; the rest is too rare.
  auto seen = frequencies({.temperature = 1, .min_p = 0.499, .seed = 1}, logits, 20000);
  CHECK(seen[0] == doctest::Approx(2.0 / 3).epsilon(0.05));
  CHECK(seen[2] + seen[3] == 0);
  seen = frequencies({.temperature = 1, .min_p = 0.25, .seed = 1}, logits, 20000);
  CHECK(seen[2] == doctest::Approx(0.15 / 0.9).epsilon(0.1)); // 0.15 >= 0.125
  CHECK(seen[3] == 0);
  // After the temperature: at 0.5 the third has (0.15 / 0.5)^2 = 0.09 of the first's.
  seen = frequencies({.temperature = 0.5, .min_p = 0.1, .seed = 1}, logits, 20000);
  CHECK(seen[1] == doctest::Approx(0.2).epsilon(0.05));
  CHECK(seen[2] + seen[3] == 0);
  seen = frequencies({.temperature = 2, .min_p = 1, .seed = 1}, logits, 100);
  CHECK(seen[0] == doctest::Approx(1.0));
}

TEST_CASE("tokens that were seen are penalised: positive logits divided, negative multiplied") {
  const std::vector<float> raw = {2, 1.5, -1, -1.5};
  Sampler greedy({.repetition_penalty = 1.5});
  CHECK(greedy.sample(raw) == 0);
  greedy.observe(std::vector<int32_t>{0, 0, 0}); // once: 2 / 1.5 = 1.33
  CHECK(greedy.sample(raw) == 1);
  greedy.observe(std::vector<int32_t>{1}); // 1.5 / 1.5 = 1
  CHECK(greedy.sample(raw) == 0);
  Sampler negative({.repetition_penalty = 2});
  negative.observe(std::vector<int32_t>{2}); // -1 * 2 = -2
  CHECK(negative.sample(std::vector<float>{-9, -9, -1, -1.5}) == 3);

  // exp(ln 4 / 2) = 2 against 1, 1 and 1: two fifths instead of four sevenths.
  const std::vector<float> quadruple = {std::log(4.0f), 0, 0, 0};
  Sampler sampler({.temperature = 1, .repetition_penalty = 2, .seed = 3});
  sampler.observe(std::vector<int32_t>{0, 3}); // a logit of 0 stays
  int first = 0;
  for (int i = 0; i < 40000; ++i) first += sampler.sample(quadruple) == 0;
  CHECK(first / 40000.0 == doctest::Approx(0.4).epsilon(0.03));
  Sampler off({.repetition_penalty = 1});
  off.observe(std::vector<int32_t>{0});
  CHECK(off.sample(raw) == 0);
}

TEST_CASE("the same seed draws the same, another seed differs") {
  const auto draw = [&](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.sample(logits));
    return ids;
  };
  CHECK(draw(1) == draw(1));
  CHECK(draw(1) != draw(2));
}

TEST_CASE("bad logits and options are refused") {
  Sampler sampler({.temperature = 1});
  CHECK_THROWS_AS(sampler.sample(std::vector<float>{1, NAN}), Error);
  CHECK_THROWS_AS(sampler.sample(std::vector<float>{1, HUGE_VALF}), Error);
  CHECK_THROWS_AS(Sampler({.temperature = -1}), Error);
  CHECK_THROWS_AS(Sampler({.temperature = 1, .top_k = -1}), Error);
  CHECK_THROWS_AS(Sampler({.temperature = 1, .top_p = 1.5}), Error);
  CHECK_THROWS_AS(Sampler({.temperature = NAN}), Error);
  CHECK_THROWS_AS(Sampler({.temperature = 1, .min_p = 1.01}), Error);
  CHECK_THROWS_AS(Sampler({.repetition_penalty = -1}), Error);
  CHECK_THROWS_WITH_AS(Sampler({.repetition_penalty = 0.5}), doctest::Contains("at least 1"),
                       Error);
  CHECK_THROWS_AS(Sampler({.repetition_penalty = HUGE_VAL}), Error);
  CHECK_THROWS_WITH_AS(Sampler({.min_p = 0.1}), doctest::Contains("min_p"), Error);
  CHECK_THROWS_WITH_AS(Sampler({.top_k = 5}), doctest::Contains("temperature"), Error);
}
