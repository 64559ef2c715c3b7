// fp16 on the CPU device at its limits: what the ANE does (ane-facts.md 6, R), in literal values
// and against the reference interpreter.
#include "support.h"

#include "base/float16.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <doctest/doctest.h>
#include <functional>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;
using mil::ValueId;
using Values = std::vector<double>;

namespace {

constexpr double inf = INFINITY;
constexpr double smallest = 0x1p-24; // subnormal

Type half(Shape shape) { return {DataType::fp16, std::move(shape), {}}; }
Type single(Shape shape) { return {DataType::fp32, std::move(shape), {}}; }

// Every kind of fp16 value, NaN among them.
Values special_values() {
  Values values = {0,    smallest, 0x1p-14, 0x1.ffcp-15, 0x1p-12, 0.1,   0.5,   1,
                   1.5,  2,        3,       11.086,      11.1,    100,   181,   255.9,
                   1000, 16384,    32752,   32768,       40000,   65472, 65504, inf};
  const size_t count = values.size();
  for (size_t i = 0; i < count; ++i) values.push_back(-values[i]);
  values.push_back(NAN);
  for (double& value : values) value = half_to_float(double_to_half(value));
  return values;
}

// How many representable numbers lie between the two; the zeros are apart, infinities adjoin the
// greatest numbers.
int distance(double a, double b) {
  const auto place = [](double value) {
    const uint16_t bits = double_to_half(value);
    return (bits & 0x8000) != 0 ? -1 - (bits & 0x7fff) : static_cast<int>(bits);
  };
  return std::abs(place(a) - place(b));
}

// The op with its inputs as ports, on the device and by the interpreter. Results may differ by
// `units` in the last place, but neither in what is infinite nor in what is NaN.
void check_half(const std::string& what, const Function& function, const TensorMap& inputs,
                int units) {
  const TensorMap expected = mil::interpret(function, inputs, mil::Precision::f16);
  for (const int threads : {1, 2}) {
    const auto device = open_device("cpu", {.threads = threads});
    const TensorMap actual = Runner(*device, function).run(inputs);
    for (const auto& [name, tensor] : expected) {
      int64_t wrong = 0;
      size_t first = 0;
      for (size_t i = 0; i < tensor.values.size(); ++i) {
        const double want = tensor.values[i], got = actual.at(name).values[i];
        const bool same_kind =
            !std::isnan(got) && !std::isnan(want) && std::isinf(got) == std::isinf(want);
        if ((!same_kind || distance(got, want) > units) && wrong++ == 0) first = i;
      }
      std::string given;
      for (const auto& [input, values] : inputs) {
        if (first < values.values.size()) given += " " + std::to_string(values.values[first]);
      }
      CHECK_MESSAGE(wrong == 0, what << " " << name << ": " << wrong << " wrong; [" << first
                                     << "] is " << actual.at(name).values[first] << ", expected "
                                     << tensor.values[first] << ", inputs" << given);
    }
  }
}

struct UnaryOp {
  std::string name;
  int units = 0;
  std::vector<std::pair<std::string, double>> numbers = {};
  std::string mode = {};
};

Function unary_function(const UnaryOp& op, const Shape& shape) {
  Builder b;
  std::vector<Builder::Input> arguments = {{"x", b.input("x", half(shape))}};
  for (const auto& [name, value] : op.numbers) {
    arguments.push_back({name, b.scalar(DataType::fp16, value)});
  }
  if (!op.mode.empty()) arguments.push_back({"mode", b.constant(Literal::string(op.mode))});
  b.output(b.add(op.name, arguments), "y");
  return std::move(b).finish();
}

// One result on the device.
double unary_result(const UnaryOp& op, double x) {
  const auto device = open_device("cpu", {.threads = 1});
  TensorMap inputs;
  inputs["x"] = {half({1}), {x}};
  return Runner(*device, unary_function(op, {1})).run(inputs).at("y").values[0];
}

double binary_result(const char* op, double x, double y) {
  Builder b;
  b.output(b.binary(op, b.input("x", half({1})), b.input("y", half({1}))), "z");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  TensorMap inputs;
  inputs["x"] = {half({1}), {x}};
  inputs["y"] = {half({1}), {y}};
  return Runner(*device, function).run(inputs).at("z").values[0];
}

bool is_positive_zero(double value) { return value == 0 && !std::signbit(value); }

} // namespace

TEST_CASE("fp16: special values of element-wise ops") {
  CHECK(binary_result("add", 65504, 15) == 65504); // 65519 is below the tie at 65520
  CHECK(binary_result("add", 65504, 16) == inf);
  CHECK(binary_result("sub", -65504, 16) == -inf);
  CHECK(binary_result("mul", 32752, 2) == 65504);
  CHECK(binary_result("mul", 16384, 2) == 32768); // only matmul and conv stop there
  CHECK(binary_result("mul", 256, 256) == inf);
  CHECK(is_positive_zero(binary_result("sub", inf, inf)));
  CHECK(is_positive_zero(binary_result("add", inf, -inf)));
  CHECK(is_positive_zero(binary_result("mul", 0, inf)));
  CHECK(is_positive_zero(binary_result("mul", -0.0, inf)));
  CHECK(is_positive_zero(binary_result("real_div", 0, 0)));
  CHECK(binary_result("real_div", 1, -0.0) == inf);
  CHECK(binary_result("real_div", -1, 0) == -inf);
  CHECK(binary_result("add", NAN, 1) == inf);
  CHECK(is_positive_zero(binary_result("sub", NAN, NAN)));
  CHECK(binary_result("mul", smallest, 0.75) == smallest);
  CHECK(binary_result("mul", smallest, 0.5) == 0); // a tie, to even

  CHECK(is_positive_zero(unary_result({"sqrt"}, -1)));
  CHECK(is_positive_zero(unary_result({"rsqrt", 0, {{"epsilon", 0}}}, -1)));
  CHECK(is_positive_zero(unary_result({"log", 0, {{"epsilon", 0}}}, -1)));
  CHECK(unary_result({"rsqrt", 0, {{"epsilon", 0}}}, 0) == inf);
  CHECK(unary_result({"log", 0, {{"epsilon", 0}}}, 0) == -45440);
  CHECK(unary_result({"inverse", 0, {{"epsilon", 0}}}, -0.0) == inf);
  CHECK(unary_result({"softplus"}, inf) == 0);
  CHECK(unary_result({"softsign"}, inf) == 0);
  CHECK(unary_result({"softsign"}, -inf) == 0);
  CHECK(unary_result({"exp"}, 11.0859375) == 65248); // 65247.1
  CHECK(unary_result({"exp"}, 11.09375) == inf);     // 65758.9
  CHECK(unary_result({"relu"}, NAN) == inf);
  CHECK(unary_result({"sigmoid"}, NAN) == 1);
  CHECK(unary_result({"square"}, 0x1p-12) == smallest);
}

TEST_CASE("fp16: a NaN leaves the device as +Inf, also through ops that only move it") {
  Builder b;
  const ValueId x = b.input("x", half({2, 2}));
  const ValueId rows = b.constant(Literal::int32s(std::vector<int64_t>{1, 0}));
  b.output(x, "same");
  b.output(b.transpose(x, {1, 0}), "turned");
  b.output(b.concat({x, x}, 0), "twice");
  b.output(b.slice_by_size(x, {0, 1}, {2, 1}), "part");
  b.output(b.gather(x, rows, 0), "rows");
  b.output(b.constant(Literal::numbers(half({2}), Values{NAN, 1})), "constant");
  const Function function = std::move(b).finish();
  TensorMap inputs;
  inputs["x"] = {half({2, 2}), {NAN, 1, -NAN, -inf}};
  check_half("moved", function, inputs, 0);
  const auto device = open_device("cpu", {.threads = 1});
  const TensorMap results = Runner(*device, function).run(inputs);
  CHECK(results.at("same").values == Values{inf, 1, inf, -inf});
  CHECK(results.at("turned").values == Values{inf, inf, 1, -inf});
  CHECK(results.at("rows").values == Values{inf, -inf, inf, 1});
  CHECK(results.at("constant").values == Values{inf, 1});
}

TEST_CASE("fp16: unary ops on every one of the 65536 values") {
  std::vector<UnaryOp> ops;
  for (const char* name : {"abs", "ceil", "floor", "round", "relu", "relu6", "sign", "square",
                           "sqrt", "atan", "cos", "sin", "tan"}) {
    ops.push_back({name, 0});
  }
  for (const char* name :
       {"erf", "exp", "exp2", "sigmoid", "silu", "softplus", "softsign", "tanh"}) {
    ops.push_back({name, 1});
  }
  for (const double epsilon : {0.0, 0.001}) {
    for (const char* name : {"rsqrt", "inverse", "log"}) {
      ops.push_back({name, 1, {{"epsilon", epsilon}}});
    }
  }
  for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
    ops.push_back({"gelu", 1, {}, mode});
  }
  ops.push_back({"elu", 1, {{"alpha", 0.75}}});
  ops.push_back({"leaky_relu", 0, {{"alpha", 0.3}}});
  ops.push_back({"threshold", 0, {{"alpha", 0.5}}});
  ops.push_back({"clip", 0, {{"alpha", -1.5}, {"beta", 3}}});
  ops.push_back({"sigmoid_hard", 1, {{"alpha", 0.2}, {"beta", 0.5}}});

  TensorMap inputs;
  Tensor& x = inputs["x"] = mil::make_tensor(half({0x10000}));
  for (size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = half_to_float(static_cast<uint16_t>(i));
  for (const UnaryOp& op : ops) {
    check_half(op.name + op.mode, unary_function(op, x.type.shape), inputs, op.units);
  }
}

TEST_CASE("fp16: binary ops on every pair of special values") {
  const Values values = special_values();
  const auto count = static_cast<int64_t>(values.size());
  TensorMap inputs;
  inputs["x"] = {half({count, 1}), values};
  inputs["y"] = {half({1, count}), values};
  for (const char* op : {"add", "sub", "mul", "real_div", "maximum", "minimum", "pow", "floor_div",
                         "mod", "equal", "not_equal", "less", "less_equal", "greater"}) {
    Builder b;
    b.output(b.binary(op, b.input("x", half({count, 1})), b.input("y", half({1, count}))), "z");
    check_half(op, std::move(b).finish(), inputs, 0);
  }
}

TEST_CASE("fp16: reductions, softmax and norms of special values") {
  const Values values = special_values();
  const int64_t rows = 200, columns = 4;
  Random random(11);
  TensorMap inputs;
  Tensor& x = inputs["x"] = mil::make_tensor(half({rows, columns, columns}));
  for (double& value : x.values) {
    value = values[static_cast<size_t>(random.integer(0, std::ssize(values) - 1))];
    // Most rows stay finite, so that ordinary overflows are among them.
    if (!std::isfinite(value) && random.integer(0, 9) != 0) value = 1;
  }
  // Sums without cancellation, which float and double see differently.
  TensorMap magnitudes = inputs;
  for (double& value : magnitudes["x"].values) value = std::isinf(value) ? value : std::fabs(value);
  for (const int64_t axis : {1, 2}) {
    for (const char* op : {"reduce_sum", "reduce_mean", "reduce_log_sum"}) {
      Builder b;
      b.output(b.reduce(op, b.input("x", x.type), {axis}, false), "y");
      check_half(op, std::move(b).finish(), magnitudes, 1);
    }
    for (const char* op : {"reduce_max", "reduce_min", "reduce_prod", "reduce_sum_square",
                           "reduce_l1_norm", "reduce_l2_norm", "reduce_log_sum_exp"}) {
      Builder b;
      b.output(b.reduce(op, b.input("x", x.type), {axis}, false), "y");
      check_half(op, std::move(b).finish(), inputs, 1);
    }
    for (const char* op : {"softmax", "cumsum"}) {
      Builder b;
      const ValueId along = b.constant(Literal::int32(static_cast<int32_t>(axis)));
      b.output(b.add(op, {{"x", b.input("x", x.type)}, {"axis", along}}), "y");
      check_half(op, std::move(b).finish(), inputs, 1);
    }
    Builder b;
    b.output(b.add("layer_norm", {{"x", b.input("x", x.type)},
                                  {"axes", b.constant(Literal::int32s(std::vector<int64_t>{axis}))},
                                  {"epsilon", b.scalar(DataType::fp16, 0.01)}}),
             "y");
    check_half("layer_norm", std::move(b).finish(), inputs, 2);
  }
  Builder b;
  b.output(
      b.add("l2_norm", {{"x", b.input("x", x.type)}, {"epsilon", b.scalar(DataType::fp16, 0.01)}}),
      "y");
  check_half("l2_norm", std::move(b).finish(), inputs, 1);
}

TEST_CASE("fp16: softmax of infinities, sums that overflow") {
  const auto device = open_device("cpu", {.threads = 1});
  const auto run = [&](const char* op, Values values) {
    Builder b;
    const ValueId x = b.input("x", half({1, std::ssize(values)}));
    b.output(std::string_view(op) == "softmax" ? b.softmax(x, -1) : b.reduce(op, x, {1}, true),
             "y");
    const Function function = std::move(b).finish();
    TensorMap inputs;
    inputs["x"] = {half({1, std::ssize(values)}), values};
    return Runner(*device, function).run(inputs).at("y").values;
  };
  CHECK(run("softmax", {0, -inf, 0, -65504}) == Values{0.5, 0, 0.5, 0});
  CHECK(run("softmax", {65504, 65504}) == Values{0.5, 0.5});
  CHECK(run("softmax", {inf, 1}) == Values{0, 0}); // Inf - Inf
  CHECK(run("softmax", {-inf, -inf}) == Values{0, 0});
  CHECK(run("reduce_sum", {40000, 25504}) == Values{65504});
  CHECK(run("reduce_sum", {40000, 40000}) == Values{inf});
  CHECK(run("reduce_sum", {40000, 40000, -40000}) == Values{40000}); // accumulates wide
  CHECK(run("reduce_sum", {inf, -inf}) == Values{0});
  CHECK(run("reduce_mean", {65504, 65504}) == Values{65504});
  CHECK(run("reduce_sum_square", {256, 1}) == Values{inf});
  CHECK(run("reduce_l2_norm", {300, 400}) == Values{500}); // the squares are not stored
  CHECK(run("reduce_prod", {256, 256, 0.5}) == Values{32768});
}

TEST_CASE("fp16: products are infinite from 32768 on") {
  const auto product = [](const char* op, double x, double w, double bias) {
    Builder b;
    const std::string_view name = op;
    const bool plain = name == "matmul" || name == "linear";
    const Shape x_shape = plain ? Shape{1, 2} : Shape{1, 2, 1, 1};
    const Shape w_shape = name == "matmul" ? Shape{2, 1}
                          : plain          ? Shape{1, 2}
                          : name == "conv" ? Shape{1, 2, 1, 1}
                                           : Shape{2, 1, 1, 1};
    std::vector<Builder::Input> arguments = {{"x", b.input("x", half(x_shape))}};
    const ValueId weight = b.constant(Literal::numbers(half(w_shape), Values{w, 1}));
    arguments.push_back({name == "matmul" ? "y" : "weight", weight});
    if (name != "matmul" && bias != 0) {
      arguments.push_back({"bias", b.constant(Literal::numbers(half({1}), Values{bias}))});
    }
    ValueId y = b.add(op, arguments);
    b.output(y, "y");
    const Function function = std::move(b).finish();
    TensorMap inputs;
    // The second product is the bias where the op has none.
    inputs["x"] = {half(x_shape), {x, name == "matmul" ? bias : 0}};
    check_half(op, function, inputs, 0);
    const auto device = open_device("cpu", {.threads = 1});
    return Runner(*device, function).run(inputs).at("y").values[0];
  };
  for (const char* op : {"matmul", "linear", "conv", "conv_transpose"}) {
    CAPTURE(op);
    CHECK(product(op, 32752, 1, 0) == 32752);
    CHECK(product(op, -32752, 1, 0) == -32752);
    CHECK(product(op, 32752, 1, 7) == 32752); // 32759 rounds down
    CHECK(product(op, 32752, 1, 8) == inf);   // a tie, to the even 32768
    CHECK(product(op, 32752, 1, 15) == inf);  // would round to 32768
    CHECK(product(op, 16384, 2, 0) == inf);
    CHECK(product(op, 16384, -2, 0) == -inf);
    CHECK(product(op, 255, 256, 0) == inf);
    CHECK(product(op, 256, 256, -32768) == inf); // 32768 after the sum
    CHECK(product(op, 256, 256, -33024) == 32512);
    CHECK(product(op, inf, 1, -inf) == 0);
    CHECK(product(op, inf, 0, 1) == 0); // 0 * Inf
    CHECK(product(op, NAN, 1, 1) == inf);
    CHECK(product(op, smallest, 1, 0) == smallest);
  }
}

TEST_CASE("fp16: casts from and to fp32") {
  const Values values = {0,
                         -0.0,
                         1,
                         65504,
                         65519.99609375, // the last float below the tie
                         65520,
                         1e30,
                         -1e30,
                         1 + 0x1p-11, // a tie, to even
                         1 + 0x1p-11 + 0x1p-23,
                         1 + 3 * 0x1p-11,
                         smallest,
                         0.5 * smallest, // a tie, to 0
                         0.5 * smallest + 0x1p-47,
                         1.5 * smallest, // a tie, to 2
                         0x1p-14 - 0x1p-25,
                         0x1p-14 - 0x1p-26,
                         1e-30,
                         inf,
                         -inf,
                         NAN};
  const Values expected = {
      0,       0,           1,          65504,    65504, inf,      inf,          -inf,
      1,       1 + 0x1p-10, 1 + 0x1p-9, smallest, 0,     smallest, 2 * smallest, 0x1p-14,
      0x1p-14, 0,           inf,        -inf,     inf};
  const auto count = static_cast<int64_t>(values.size());
  Builder b;
  const ValueId x = b.input("x", single({count}));
  const ValueId narrow = b.cast(x, DataType::fp16);
  b.output(narrow, "narrow");
  b.output(b.cast(b.mul(narrow, 1.0), DataType::fp32), "wide");
  const Function function = std::move(b).finish();
  TensorMap inputs;
  inputs["x"] = {single({count}), values};
  for (const int threads : {1, 2}) {
    const auto device = open_device("cpu", {.threads = threads});
    const TensorMap results = Runner(*device, function).run(inputs);
    CHECK(results.at("narrow").values == expected);
    CHECK(results.at("wide").values == expected);
  }
  check_half("cast", function, inputs, 0);

  // Every fp16 value survives the way to fp32 and back; NaN is read as +Inf.
  Builder back;
  const ValueId y = back.input("y", half({0x10000}));
  back.output(back.cast(y, DataType::fp32), "wide");
  const Function widening = std::move(back).finish();
  TensorMap all;
  all["y"] = mil::make_tensor(half({0x10000}));
  for (size_t i = 0; i < all["y"].values.size(); ++i) {
    all["y"].values[i] = half_to_float(static_cast<uint16_t>(i));
  }
  const auto device = open_device("cpu", {.threads = 2});
  const Tensor wide = Runner(*device, widening).run(all).at("wide");
  int64_t wrong = 0;
  for (size_t i = 0; i < wide.values.size(); ++i) {
    const double given = all["y"].values[i];
    if (wide.values[i] != (std::isnan(given) ? inf : given)) ++wrong;
  }
  CHECK(wrong == 0);
}
