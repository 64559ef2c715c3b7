// Ops that lowering writes as fewer products: what they are then, what they compute, and which ops
// stay as they are.
#include "ane_lowered.h"
#include "mil/builder.h"
#include "mil/differentiate.h"
#include "mil/rms_norm.h"
#include "support.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <numeric>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using ane::Lowered;
using ane::Rules;
using mil::Builder;
using mil::Literal;
using mil::ValueId;

namespace {

constexpr int64_t heads = 3, channels = 12, positions = 40;

Type half(Shape shape) { return {DataType::fp16, std::move(shape), {}}; }

Rules broadcasting() {
  Rules rules;
  rules.broadcasts_both = true;
  return rules;
}

using Matrix = std::vector<double>; // [channels, channels]

// (x1, x2) -> (-x2, x1)
Matrix half_swap() {
  Matrix matrix(channels * channels, 0);
  for (size_t i = 0; i < channels / 2; ++i) {
    matrix[i * channels + channels / 2 + i] = -1;
    matrix[(channels / 2 + i) * channels + i] = 1;
  }
  return matrix;
}

// Each channel from another place, with a sign of its own.
Matrix shuffle(uint64_t seed) {
  Random random(seed);
  std::vector<size_t> from(channels);
  std::iota(from.begin(), from.end(), size_t{0});
  for (size_t i = channels; i-- > 1;)
    std::swap(from[i], from[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i)))]);
  Matrix matrix(channels * channels, 0);
  for (size_t i = 0; i < channels; ++i)
    matrix[i * channels + from[i]] = random.integer(0, 1) == 0 ? -1 : 1;
  return matrix;
}

// A rotation x c + P (x s) with something about it changed.
struct Rotation {
  Matrix matrix = half_swap();
  int64_t table_heads = 1;
  int64_t width = positions;
  bool reads_product = false; // as an output too
  bool reads_swapped = false;
  bool of_another = false;
  bool turned_around = false; // all operands

  Function function() const {
    Builder b;
    const ValueId x = b.input("x", half({heads, channels, 1, width}));
    const ValueId c = b.input("c", half({table_heads, channels, 1, width}));
    const ValueId s = b.input("s", half({table_heads, channels, 1, width}));
    const ValueId z = of_another ? b.input("z", half({heads, channels, 1, width})) : x;
    const ValueId weight = b.constant(Literal::numbers(half({channels, channels, 1, 1}), matrix));
    const ValueId straight = turned_around ? b.mul(c, x) : b.mul(x, c);
    const ValueId product = turned_around ? b.mul(s, z) : b.mul(z, s);
    const ValueId swapped = b.linear(product, weight);
    b.output(turned_around ? b.add(swapped, straight) : b.add(straight, swapped), "y");
    if (reads_product) b.output(product, "product");
    if (reads_swapped) b.output(b.mul(swapped, 3.0), "thrice");
    return std::move(b).finish();
  }
};

// d_x from d_y: d c + (P' d) s.
Function gradient_of(const Function& function) {
  return mil::differentiate(function, {.with_respect_to = {"x"},
                                       .outputs = {"y"},
                                       .taps = mil::Taps::automatic,
                                       .tap_names = {}})
      .backward;
}

Function lowered(const Function& function, const Rules& rules) {
  return ane::lower(function, rules, {}).function;
}

void check_values(const Function& function, const Rules& rules, double tolerance = 0) {
  REQUIRE(why_not(function, rules) == "");
  Random random(3);
  const LoweredError error = compare_lowered(function, rules, random_inputs(random, function));
  CHECK(error.exact <= 1e-9);
  CHECK(error.half <= tolerance);
}

// Passes over all heads: two products, with a table or both, and with a matrix.
bool is_at_once(const Function& result) {
  return count_ops(result, "mul") == 1 && count_ops(result, "add") == 0 &&
         count_ops(result, "concat") == 1;
}

bool is_as_written(const Function& result) {
  return count_ops(result, "mul") >= 2 && count_ops(result, "add") == 1 &&
         count_ops(result, "concat") == 0;
}

} // namespace

// Each product is rounded once, and so is their sum, either way.
TEST_CASE("a rotation is a product with both tables, and one that swaps and adds") {
  for (const bool turned_around : {false, true}) {
    for (const Matrix& matrix : {half_swap(), shuffle(1), shuffle(2)}) {
      Rotation rotation;
      rotation.matrix = matrix;
      rotation.turned_around = turned_around;
      const Function forward = rotation.function(), backward = gradient_of(forward);
      const Function result = lowered(forward, broadcasting());
      CHECK(is_at_once(result));
      CHECK(count_ops(result, "conv") == 1);
      const Function gradient = lowered(backward, broadcasting());
      CHECK(is_at_once(gradient));
      CHECK(count_ops(gradient, "conv") == 2); // of a table, whose channels change places, too
      for (const Function* function : {&forward, &backward}) {
        CHECK(is_as_written(lowered(*function, {})));
        for (Rules rules : {Rules(), broadcasting()}) {
          check_values(*function, rules);
          rules.constant_product = ane::ConstantProduct::matmul;
          check_values(*function, rules);
        }
      }
    }
  }
}

TEST_CASE("what is read elsewhere, or is no such rotation, stays as it is") {
  const auto stays = [](const std::function<void(Rotation&)>& change) {
    Rotation rotation;
    change(rotation);
    const Function function = rotation.function();
    CHECK(is_as_written(lowered(function, broadcasting())));
    check_values(function, broadcasting());
  };
  stays([](Rotation& r) { r.reads_product = true; });
  stays([](Rotation& r) { r.reads_swapped = true; });
  stays([](Rotation& r) { r.of_another = true; });
  stays([](Rotation& r) { r.table_heads = heads; });
  stays([](Rotation& r) { r.width = 1; });
  stays([](Rotation& r) { r.matrix[channels / 2] = -2; }); // not only signs
  stays([](Rotation& r) { r.matrix[channels / 2] = 0; });  // a row of zeros
  stays([](Rotation& r) { r.matrix[0] = 1; });             // two of a row
  stays([](Rotation& r) {                                  // two of a column
    r.matrix[channels / 2] = 0;
    r.matrix[channels / 2 + 1] = 1;
  });
}

namespace {

// x / rms(x) * w, and its gradients by x and, unless it is frozen, by w.
Function norm_gradient(int64_t size, bool frozen) {
  Builder b;
  const ValueId x = b.input("x", half({1, size, 1, positions}));
  const ValueId w = b.input("w", half({1, size, 1, 1}));
  b.output(b.mul(b.mul(x, mil::inverse_rms(b, x, 1, 1e-5)), w), "y");
  mil::DifferentiateOptions options{
      .with_respect_to = {"x"}, .outputs = {"y"}, .taps = mil::Taps::automatic, .tap_names = {}};
  if (!frozen) options.with_respect_to.push_back("w");
  return mil::differentiate(std::move(b).finish(), options).backward;
}

int64_t count_passes(const Function& function, const std::string& op, int64_t elements) {
  return std::count_if(function.ops.begin(), function.ops.end(), [&](const mil::Operation& o) {
    return op == o.name() && function.type(o.outputs.front()).elements() == elements;
  });
}

} // namespace

TEST_CASE("the mean in a norm's gradient is a product of its weight with what the weight's is") {
  for (const int64_t size : {24, 64, 768, 1000}) {
    const Function backward = norm_gradient(size, false), frozen = norm_gradient(size, true);
    for (const bool narrow : {false, true}) {
      Rules rules;
      rules.narrow_reduce_sum = narrow;
      const Function result = lowered(backward, rules);
      CHECK(count_ops(result, "matmul") == 1);
      CHECK(count_ops(result, "reduce_mean") == 0);
      const Function plain = lowered(frozen, rules);
      CHECK(count_ops(plain, "matmul") == 0);
      // The norm n again, d w, d n, what the mean takes away, and all times the root; in the other
      // d w n in place of d n.
      for (const Function* function : {&result, &plain})
        CHECK(count_passes(*function, "mul", size * positions) == 5);
      check_values(backward, rules, 2e-3);
      check_values(frozen, rules, 2e-3);
    }
  }
}

TEST_CASE("that mean is infinite before it is wrong, and large before it is infinite") {
  constexpr int64_t size = 768;
  const Function backward = norm_gradient(size, false);
  const Lowered by_product = ane::lower(backward, {}, {});
  TensorMap inputs;
  for (const ValueId id : backward.inputs)
    inputs[backward.value(id).name] = mil::make_tensor(backward.type(id), 1);
  const auto largest = [&](double gradient) {
    for (double& value : inputs.at("d_y").values) value = gradient;
    const TensorMap outputs = mil::interpret(
        by_product.function, lowered_inputs(by_product, inputs), mil::Precision::f16);
    return source_outputs(backward, by_product, outputs).at("d_x").values.front();
  };
  // Of a gradient of so many in each channel nothing is left when the mean is taken away.
  CHECK(std::fabs(largest(1000)) <= 1);
  CHECK(std::isinf(largest(3000)));
}
