#include "train/folded_norm.h"

#include "base/float16.h"
#include "base/random.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace anet;

namespace {

std::vector<float> normal(size_t count, float deviation, uint64_t seed = 1) {
  std::vector<float> values(count);
  Random(seed).fill_normal(values, 0.0f, deviation);
  return values;
}

} // namespace

TEST_CASE("what stays at a norm is the first power of two that fits, from 1 to its magnitude") {
  std::vector<double> asked;
  const auto factors = [&](std::vector<float> weight, double fitting) {
    asked.clear();
    const auto chosen = train::norm_factor(weight, [&](double factor) {
      asked.push_back(factor);
      return factor == fitting;
    });
    CHECK(chosen.value_or(0) == fitting);
    return asked;
  };
  using Factors = std::vector<double>;
  CHECK(factors({0.03f, -0.03f}, 1) == Factors{1});
  CHECK(factors({0.03f, -0.03f}, 0.25) == Factors{1, 0.5, 0.25});
  CHECK(factors({0.1f, -0.15f}, 0) == Factors{1, 0.5, 0.25, 0.125});
  CHECK(factors({6, -6}, 0) == Factors{1, 2, 4, 8});
  CHECK(factors({-1.3f, 1.1f}, 0) == Factors{1});
  CHECK(factors({0, 0}, 0) == Factors{1});
  CHECK(factors({1e-20f}, 0).back() == 0x1p-6);
  CHECK(factors({1e20f}, 0).back() == 64);
  CHECK(factors({2, std::numeric_limits<float>::quiet_NaN()}, 0) == Factors{1});
  CHECK(train::column_factors(std::vector<float>{0.5f, -3}, 0.25) == std::vector<float>{2, -12});
}

// Rows of any length, so that each place of a vector and of its rest is one that matters.
TEST_CASE("fp16 holds a matrix unless one product is too large") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const size_t width : {1, 5, 16, 19, 40}) {
    CAPTURE(width);
    const std::vector<float> matrix = normal(3 * width, 0.5f), columns(width, 2.0f);
    CHECK(train::fp16_holds(matrix, columns));
    for (size_t i = 0; i < matrix.size(); ++i)
      for (const float value : {32753.0f, -32753.0f, infinity, nan, 1e30f}) {
        std::vector<float> changed = matrix;
        changed[i] = value;
        CHECK_FALSE(train::fp16_holds(changed, columns));
        if (std::abs(value) < 40000) {
          changed[i] = 32752;
          CHECK(train::fp16_holds(changed, columns));
        }
      }
  }
}

TEST_CASE("fp16 does not hold a matrix of which more than one in 128 becomes a denormal") {
  const std::vector<float> ones(64, 1.0f);
  CHECK(train::fp16_holds(std::vector<float>(640, 0.0f), ones));
  CHECK(train::fp16_holds(std::vector<float>(640, 1e-6f), ones)); // they were before
  CHECK(train::fp16_holds(normal(64000, 0.02f), std::vector<float>(64, 0.5f)));
  CHECK_FALSE(train::fp16_holds(normal(64000, 0.02f), std::vector<float>(64, 0.2f)));
  std::vector<float> matrix(1280, 1.0f), columns = ones;
  columns[63] = 0x1p-13f;
  for (size_t i = 0; i < 10; ++i) matrix[64 * i + 63] = 0.49f;
  CHECK(train::fp16_holds(matrix, columns));
  matrix[64 * 10 + 63] = 0.49f;
  CHECK_FALSE(train::fp16_holds(matrix, columns));
  matrix[0] = 60000; // one that is large makes up for nothing
  CHECK_FALSE(train::fp16_holds(matrix, columns));
}

TEST_CASE("a matrix with its columns multiplied is rounded once") {
  const std::vector<float> matrix = normal(7 * 13, 0.3f), columns = normal(13, 2.0f, 2);
  const mil::Bytes bytes = train::fp16_with_columns(matrix, columns);
  REQUIRE(bytes.size() == matrix.size() * 2);
  for (size_t i = 0; i < matrix.size(); ++i) {
    uint16_t half = 0;
    std::memcpy(&half, bytes.view().data() + 2 * i, 2);
    CHECK(half == float_to_half(matrix[i] * columns[i % 13]));
  }
}
