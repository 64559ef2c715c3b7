// How the interpreter rounds, and what it does with infinities and NaN.
#include "base/float16.h"
#include "interpreter_case.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

using namespace anet::mil;
using namespace anet::mil::test;

namespace {

double unary_f16(const char* op, double x, double epsilon = -1) {
  Case entry{op, {{type_of(DataType::fp16, {1}), {x}}}, {}, {}};
  entry.arguments = [=](Builder& b, const std::vector<ValueId>& in) {
    std::vector<Builder::Input> arguments{{"x", in[0]}};
    if (epsilon >= 0) arguments.emplace_back("epsilon", b.scalar(DataType::fp16, epsilon));
    return arguments;
  };
  return run(entry, Precision::f16).front();
}

double binary_f16(const char* op, double x, double y) {
  const Type type = type_of(DataType::fp16, {1});
  return run({op, {{type, {x}}, {type, {y}}}, binary_arguments(), {}}, Precision::f16).front();
}

double product_f16(double x, double y) {
  const Type type = type_of(DataType::fp16, {1, 1});
  return run({"matmul", {{type, {x}}, {type, {y}}}, binary_arguments(), {}}, Precision::f16)
      .front();
}

} // namespace

TEST_CASE("results round to their precision") {
  const Case third{"real_div", {{fp32({1}), {1}}, {fp32({1}), {3}}}, binary_arguments(), {}};
  CHECK(run(third, Precision::f64).front() == 1.0 / 3);
  CHECK(run(third, Precision::f32).front() == static_cast<double>(1.0f / 3));
  CHECK(run(third, Precision::f16).front() == 0x1.554p-2);
  Case half = third;
  for (Tensor& input : half.inputs) input.type.dtype = DataType::fp16;
  CHECK(run(half, Precision::f32).front() == 0x1.554p-2);
  for (Tensor& input : half.inputs) input.type.dtype = DataType::bf16;
  CHECK(run(half, Precision::f32).front() == 0x1.56p-2);
}

TEST_CASE("bf16 rounds once, to nearest even") {
  const auto round = [](double x) {
    return run({"identity", {{type_of(DataType::bf16, {1}), {x}}}, unary_arguments(), {}},
               Precision::f32)
        .front();
  };
  CHECK(round(1 + 0x1p-8) == 1);                    // a tie goes to the even neighbour
  CHECK(round(1 + 0x1p-8 + 0x1p-40) == 1 + 0x1p-7); // which float would have rounded to a tie
  CHECK(round(-3.3e38) == -0x1.fp127);
  CHECK(round(0x1.ffp127) == INFINITY);
}

// ane-facts.md 6, R.
TEST_CASE("fp16 overflows and special values are those of the engine") {
  const double infinity = INFINITY;
  CHECK(product_f16(32752, 1) == 32752);
  CHECK(product_f16(16384, 2) == infinity);
  CHECK(product_f16(-16384, 2) == -infinity);
  CHECK(binary_f16("mul", 16384, 2) == 32768);
  CHECK(binary_f16("mul", 256, 256) == infinity);
  CHECK(unary_f16("identity", NAN) == infinity);
  CHECK(binary_f16("sub", infinity, infinity) == 0);
  CHECK(binary_f16("mul", infinity, 0) == 0);
  CHECK(binary_f16("real_div", 1, -0.0) == infinity);
  CHECK(unary_f16("sqrt", -1) == 0);
  CHECK_FALSE(std::signbit(unary_f16("sqrt", -1)));
  CHECK(unary_f16("rsqrt", -1, 0) == 0);
  CHECK(unary_f16("log", -1, 0) == 0);
  CHECK(unary_f16("log", 0, 0) == anet::half_to_float(anet::double_to_half(-45440)));
  CHECK(unary_f16("inverse", -0.0, 0) == infinity);
  CHECK(unary_f16("softplus", infinity) == 0);
  CHECK(unary_f16("softsign", infinity) == 0);
  CHECK(std::isfinite(unary_f16("exp", 11.086)));
  CHECK(unary_f16("exp", 11.1) == infinity);
  CHECK(unary_f16("square", 0x1p-12) == 0x1p-24); // subnormals stay
}

// NumPy 1.24 and PyTorch 1.13 give NaN for each of these.
TEST_CASE("NaN goes through comparisons, and fp16 reads it as +Inf") {
  const auto with = [](std::map<std::string, double> numbers) -> Arguments {
    return [numbers](Builder& b, const std::vector<ValueId>& in) {
      std::vector<Builder::Input> inputs = {{"x", in[0]}};
      for (const auto& [name, value] : numbers) inputs.push_back({name, number(b, value)});
      return inputs;
    };
  };
  const std::vector<std::pair<const char*, Arguments>> unary = {
      {"relu", unary_arguments()},
      {"relu6", unary_arguments()},
      {"clip", with({{"alpha", -1}, {"beta", 1}})},
      {"threshold", with({{"alpha", 0.5}})},
      {"leaky_relu", with({{"alpha", 0.5}})},
      {"elu", with({{"alpha", 0.5}})},
      {"sigmoid_hard", with({{"alpha", 0.5}, {"beta", 0.5}})}};
  for (const Precision precision : {Precision::f32, Precision::f64}) {
    for (const auto& [op, arguments] : unary) {
      const Values y = run({op, {{fp32({2}), {NAN, 1}}}, arguments, {}}, precision);
      CHECK_MESSAGE(std::isnan(y[0]), op);
      CHECK_MESSAGE(y[1] == 1, op);
    }
    for (const char* op : {"maximum", "minimum"}) {
      const Values z =
          run({op, {{fp32({3}), {NAN, 1, 2}}, {fp32({3}), {1, NAN, 2}}}, binary_arguments(), {}},
              precision);
      CHECK_MESSAGE((std::isnan(z[0]) && std::isnan(z[1]) && z[2] == 2), op);
    }
    for (const char* op : {"reduce_max", "reduce_min", "reduce_log_sum_exp"}) {
      for (const Values& values : {Values{NAN, 1, 2}, {1, NAN, 2}, {INFINITY, 2, NAN}}) {
        CHECK_MESSAGE(
            std::isnan(run({op, {{fp32({3}), values}}, unary_arguments(), {}}, precision).front()),
            op);
      }
    }
  }
  CHECK(unary_f16("relu", NAN) == INFINITY);
  CHECK(unary_f16("relu6", NAN) == 6);
  Builder b;
  b.output(literal(b, type_of(DataType::fp16, {2}), {NAN, 1}), "constant");
  const Function constant = std::move(b).finish();
  CHECK(interpret(constant, {}, Precision::f16)["constant"].values == Values{INFINITY, 1});
}

TEST_CASE("fp16 products are infinite when they round to 32768") {
  const auto sum = [](double y) {
    const Type row = type_of(DataType::fp16, {1, 2}), column = type_of(DataType::fp16, {2, 1});
    return run({"matmul", {{row, {32752, 1}}, {column, {1, y}}}, binary_arguments(), {}},
               Precision::f16)
        .front();
  };
  CHECK(sum(7) == 32752);
  CHECK(sum(8) == INFINITY);
  CHECK(sum(15) == INFINITY);
}
