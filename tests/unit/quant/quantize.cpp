// Compression against what arithmetic says: grids come back exactly, errors stay within half a
// step, Gaussian values within what optimal quantizers reach.
#include "quant/quantize.h"

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"

#include <array>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>

using namespace anet;
using mil::Compression;

namespace {

ThreadPool& pool() {
  static ThreadPool instance(2);
  return instance;
}

std::vector<float> expanded(const mil::CompressedWeight& weight) {
  std::vector<float> values(static_cast<size_t>(weight.rows * weight.columns));
  mil::expand(weight, values);
  return values;
}

std::vector<float> gaussian(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  Random(seed).fill_normal(values, 0.0f, 0.02f);
  return values;
}

Status status_of(std::span<const float> values, int64_t rows, int64_t columns,
                 const quant::Scheme& scheme) {
  try {
    quant::quantize(pool(), values, rows, columns, scheme);
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

// Multiples k of a power of two, each row with the largest of them.
std::vector<float> grid(int64_t rows, int64_t columns, int lowest, int highest) {
  std::vector<float> values;
  Random random(7);
  for (int64_t i = 0; i < rows; ++i) {
    const float step = std::ldexp(1.0f, static_cast<int>(i % 5) - 6);
    for (int64_t j = 0; j < columns; ++j) {
      const auto span = static_cast<uint64_t>(highest - lowest + 1);
      const int k = j % 8 == 0 ? highest : lowest + static_cast<int>(random.below(span));
      values.push_back(step * static_cast<float>(k));
    }
  }
  return values;
}

} // namespace

TEST_CASE("values on a grid come back exactly") {
  const auto check = [](const std::vector<float>& values, const quant::Scheme& scheme) {
    const auto weight = quant::quantize(pool(), values, 40, 64, scheme);
    CHECK(expanded(weight) == values);
    const quant::TensorError error = quant::measure_error(pool(), values, weight);
    CHECK(error.worst == 0);
    CHECK(error.rms == 0);
    CHECK(error.relative_rms == 0);
  };
  check(grid(40, 64, -127, 127), {Compression::int8_channel, 0});
  check(grid(40, 64, -127, 127), {Compression::int8_block, 32});
  check(grid(40, 64, -127, 127), {Compression::int8_block, 8});
  check(grid(40, 64, -7, 7), {Compression::int4_block, 16});
  check(grid(40, 64, -8, 7), {Compression::palette4, 1});
  check(grid(40, 64, 0, 0), {Compression::int8_channel, 0});
  check(grid(40, 64, 0, 0), {Compression::int4_block, 32});
  check(grid(40, 64, 0, 0), {Compression::palette4, 20});
}

TEST_CASE("a code of -8 is used where it serves") {
  // One value alone at the negative end: with scale 1 it is -8 exactly, with 8/7 nothing is.
  const std::vector<float> values = {-8, 1, 2, 3, -1, -2, -3, 5};
  const auto weight = quant::quantize(pool(), values, 1, 8, {Compression::int4_block, 8});
  CHECK(quant::measure_error(pool(), values, weight).worst <= 0.5);
}

TEST_CASE("errors are within half a step") {
  const std::vector<float> values = gaussian(64 * 256, 3);
  for (const quant::Scheme scheme :
       {quant::Scheme{Compression::int8_channel, 0}, quant::Scheme{Compression::int8_block, 32}}) {
    const auto weight = quant::quantize(pool(), values, 64, 256, scheme);
    const std::vector<float> seen = expanded(weight);
    const int64_t block = scheme.block_size == 0 ? 256 : scheme.block_size;
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t half;
      std::memcpy(&half, weight.scales.view().data() + i / static_cast<size_t>(block) * 2, 2);
      const float scale = half_to_float(half);
      const float clipped = std::fmax(-127 * scale, std::fmin(127 * scale, values[i]));
      REQUIRE(std::fabs(seen[i] - clipped) <= 0.5001f * scale);
    }
  }
}

// The mean squared error of Max's optimal quantizer of 16 levels for Gaussian values is 0.009497
// of the variance (Max 1960, table I); a uniform one reaches 0.01154 (table II).
TEST_CASE("a palette of a whole matrix is as good as the optimal quantizer") {
  const std::vector<float> values = gaussian(512 * 512, 11);
  const auto weight = quant::quantize(pool(), values, 512, 512, {Compression::palette4, 512});
  const double error = quant::measure_error(pool(), values, weight).relative_rms;
  CHECK(error * error == doctest::Approx(0.009497).epsilon(0.02));
}

TEST_CASE("the scales of 4-bit blocks are no worse than the largest value's") {
  const std::vector<float> values = gaussian(256 * 512, 5);
  const auto weight = quant::quantize(pool(), values, 256, 512, {Compression::int4_block, 32});
  double plain = 0, power = 0;
  for (size_t first = 0; first < values.size(); first += 32) {
    float largest = 0;
    for (size_t i = first; i < first + 32; ++i) largest = std::fmax(largest, std::fabs(values[i]));
    const float scale = largest / 7;
    for (size_t i = first; i < first + 32; ++i) {
      const double difference = values[i] - scale * std::nearbyint(values[i] / scale);
      plain += difference * difference;
      power += double{values[i]} * values[i];
    }
  }
  const double seen = quant::measure_error(pool(), values, weight).relative_rms;
  CHECK(seen < 0.98 * std::sqrt(plain / power));
}

TEST_CASE("errors are those of the definition") {
  const std::vector<float> values = {1, -1, 3, 100, 0, 0, 0, 25.4f};
  const auto weight = quant::quantize(pool(), values, 2, 4, {Compression::int8_channel, 0});
  const std::vector<float> seen = expanded(weight);
  double worst = 0, squares = 0, power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = double{seen[i]} - values[i];
    worst = std::fmax(worst, std::fabs(difference));
    squares += difference * difference;
    power += double{values[i]} * values[i];
  }
  const quant::TensorError error = quant::measure_error(pool(), values, weight);
  CHECK(error.worst == doctest::Approx(worst));
  CHECK(error.rms == doctest::Approx(std::sqrt(squares / 8)));
  CHECK(error.relative_rms == doctest::Approx(std::sqrt(squares / power)));
}

TEST_CASE("any number of threads gives the same bits") {
  const std::vector<float> values = gaussian(300 * 128, 1);
  ThreadPool one(1), five(5);
  for (const Compression compression : {Compression::int8_channel, Compression::int8_block,
                                        Compression::int4_block, Compression::palette4}) {
    const quant::Scheme scheme{compression, 0};
    const auto first = quant::quantize(one, values, 300, 128, scheme);
    CHECK(first == quant::quantize(five, values, 300, 128, scheme));
    CHECK(quant::measure_error(one, values, first).rms ==
          quant::measure_error(five, values, first).rms);
  }
}

TEST_CASE("values that cannot be compressed are refused") {
  std::vector<float> values(64, 1.0f);
  values[40] = std::numeric_limits<float>::quiet_NaN();
  for (const Compression compression : {Compression::int8_channel, Compression::int8_block,
                                        Compression::int4_block, Compression::palette4}) {
    values[40] = NAN;
    CHECK(status_of(values, 2, 32, {compression, 0}) == Status::invalid_data);
    values[40] = INFINITY;
    CHECK(status_of(values, 2, 32, {compression, 0}) == Status::invalid_data);
    values[40] = 1e8f;
    CHECK(status_of(values, 2, 32, {compression, 0}) == Status::out_of_range);
    values[40] = 1e-30f;
    CHECK(status_of(values, 2, 32, {compression, 0}) == Status::ok);
  }
  CHECK(status_of(values, 3, 32, {}) == Status::shape_mismatch);
  CHECK(status_of(values, 2, 32, {Compression::int8_channel, 8}) == Status::unsupported);
  CHECK(status_of(values, 2, 32, {Compression::int4_block, 1}) == Status::unsupported);
  CHECK(status_of(values, 2, 32, {Compression::int8_block, -4}) == Status::unsupported);
}

TEST_CASE("tiny values do not overflow their scale") {
  const std::vector<float> values(32, 1e-42f);
  for (const Compression compression :
       {Compression::int8_channel, Compression::int4_block, Compression::palette4})
    for (const float value : expanded(quant::quantize(pool(), values, 1, 32, {compression, 0})))
      CHECK(std::fabs(value) <= 1e-7f);
}

TEST_CASE("a recipe's last match decides") {
  quant::Recipe recipe;
  recipe.scheme = {Compression::int4_block, 0};
  recipe.overrides = {{"self_attn.*", quant::Scheme{Compression::int8_channel, 0}},
                      {"layers.1.self_attn.v_proj.weight", quant::Scheme{Compression::palette4, 4}},
                      {"embed_tokens.weight", std::nullopt}};
  const auto scheme = [&](const char* name) { return quant::scheme_for(recipe, name, {64, 32}); };
  CHECK(scheme("model.layers.0.mlp.up_proj.weight") == quant::Scheme{Compression::int4_block, 32});
  CHECK(scheme("model.layers.0.self_attn.q_proj.weight") ==
        quant::Scheme{Compression::int8_channel, 0});
  CHECK(scheme("model.layers.1.self_attn.v_proj.weight") ==
        quant::Scheme{Compression::palette4, 4});
  CHECK(scheme("model.embed_tokens.weight") == std::nullopt);
  recipe.overrides.push_back({"up_proj", std::nullopt}); // without ".weight"
  CHECK(scheme("model.layers.0.mlp.up_proj.weight") == std::nullopt);
  recipe.overrides.pop_back();
  CHECK(quant::scheme_for(recipe, "model.norm.weight", {64}) == std::nullopt);
  try {
    quant::scheme_for(recipe, "model.layers.0.mlp.up_proj.weight", {64, 40});
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(error.status() == Status::unsupported);
    CHECK(error.message().find("model.layers.0.mlp.up_proj.weight") != std::string::npos);
  }
}

TEST_CASE("an override that matches nothing is refused") {
  constexpr std::array<std::string_view, 2> matrices = {"model.layers.0.mlp.up_proj.weight",
                                                        "lm_head.weight"};
  quant::Recipe recipe;
  recipe.overrides = {{"up_proj", std::nullopt}, {"lm_head.weight", std::nullopt}};
  quant::check_overrides(recipe, matrices);
  recipe.overrides.push_back({"up_prj", std::nullopt});
  CHECK_THROWS_AS(quant::check_overrides(recipe, matrices), Error);
}
