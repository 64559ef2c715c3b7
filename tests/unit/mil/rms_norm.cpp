#include "mil/rms_norm.h"

#include "gradient_check.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace anet::mil;
using namespace anet::mil::test;

namespace {

constexpr double epsilon = 1e-5, factor = 4;
constexpr int64_t channels = 48, positions = 5;

Function norm_function(DataType dtype) {
  Builder b;
  const ValueId x = b.input("x", {dtype, {1, channels, 1, positions}, {}});
  b.output(b.mul(x, inverse_rms(b, x, 1, epsilon, factor)), "y");
  return std::move(b).finish();
}

Tensor numbers(DataType dtype, double scale) {
  Random random(3);
  const Type type{dtype, {1, channels, 1, positions}, {}};
  Tensor tensor = random_tensor(random, type, -scale, scale);
  for (double& value : tensor.values)
    value = Literal::scalar(dtype, value).number(); // what the type holds
  return tensor;
}

// The largest error against the closed form, relative to the largest result.
double error_of(const Function& function, const Tensor& x, Precision precision) {
  const Tensor y = interpret(function, {{"x", x}}, precision).at("y");
  double error = 0, largest = 0;
  for (int64_t position = 0; position < positions; ++position) {
    const auto at = [&](int64_t c) { return static_cast<size_t>(c * positions + position); };
    double sum = 0;
    for (int64_t c = 0; c < channels; ++c) sum += x.values[at(c)] * x.values[at(c)];
    const double inverse = factor / std::sqrt(sum / channels + epsilon);
    for (int64_t c = 0; c < channels; ++c) {
      largest = std::max(largest, std::fabs(x.values[at(c)] * inverse));
      error = std::max(error, std::fabs(y.values[at(c)] - x.values[at(c)] * inverse));
    }
  }
  return error / largest;
}

} // namespace

TEST_CASE("an RMS norm is right at every size that its type holds") {
  const Function half = norm_function(DataType::fp16);
  for (const double scale : {1e-3, 3e-3, 0.02, 1.0, 200.0, 300.0, 5000.0, 10000.0}) {
    CAPTURE(scale);
    CHECK(error_of(half, numbers(DataType::fp16, scale), Precision::f16) < 3e-3);
    CHECK(error_of(half, numbers(DataType::fp16, scale), Precision::f64) < 1e-3); // its constants'
    CHECK(error_of(norm_function(DataType::fp32), numbers(DataType::fp32, scale), Precision::f64) <
          1e-6);
  }
  const Tensor zero = make_tensor({DataType::fp16, {1, channels, 1, positions}, {}}, 0);
  const TensorMap outputs = interpret(half, {{"x", zero}}, Precision::f16);
  for (const double y : outputs.at("y").values) CHECK(y == 0);
}

TEST_CASE("its gradient is short, and right") {
  for (const DataType dtype : {DataType::fp32, DataType::fp16}) {
    const Function function = norm_function(dtype);
    const Derivative derivative = differentiate(
        function,
        {.with_respect_to = {"x"}, .outputs = {"y"}, .taps = Taps::automatic, .tap_names = {}});
    int products = 0;
    for (const Operation& op : derivative.backward.ops) products += std::string(op.name()) == "mul";
    CHECK(products <= 4); // dy y, its mean's factor, y mean, and all of it times r
    for (const double scale : {0.01, 1.0, 100.0}) {
      CAPTURE(scale);
      Random random(7);
      const TensorMap inputs = {{"x", numbers(dtype, scale)}};
      const TensorMap seeds = random_seeds(function, random);
      const TensorMap gradients = run_backward(derivative, inputs, seeds, Precision::f64);
      CHECK(worst_gradient_error(function, inputs, gradients, seeds) < 1e-3);
    }
  }
}

TEST_CASE("an inverse RMS is found as it was written, and nothing else") {
  for (const DataType dtype : {DataType::fp32, DataType::fp16}) {
    Builder b;
    const ValueId x = b.input("x", {dtype, {2, channels, 1, positions}, {}});
    const ValueId other = b.input("other", {dtype, {2, 1, 1, positions}, {}});
    const ValueId r = inverse_rms(b, x, 1, epsilon, factor);
    const auto found = find_inverse_rms(b.function(), r);
    REQUIRE(found);
    CHECK(found->x == x);
    CHECK(found->factor == doctest::Approx(factor).epsilon(1e-3));
    CHECK_FALSE(find_inverse_rms(b.function(), x));
    CHECK_FALSE(find_inverse_rms(b.function(), b.real_div(r, other)));
    CHECK_FALSE(find_inverse_rms(b.function(), b.mul(r, other)));
  }
  // The same ops around two norms.
  Builder b;
  const Type type{DataType::fp16, {1, channels, 1, positions}, {}};
  const auto norm_of = [&](const char* name) {
    const ValueId norm = b.reduce("reduce_l2_norm", b.input(name, type), {1}, true);
    return b.binary("maximum", norm, b.scalar(DataType::fp16, 1));
  };
  const ValueId one = norm_of("one"), two = norm_of("two");
  const ValueId ratio = b.real_div(b.scalar(DataType::fp16, 0.5), one);
  const ValueId root = b.mul(b.rsqrt(b.mul(ratio, ratio), 1), 2.0);
  CHECK(find_inverse_rms(b.function(), b.real_div(root, one)));
  CHECK_FALSE(find_inverse_rms(b.function(), b.real_div(root, two)));
}
