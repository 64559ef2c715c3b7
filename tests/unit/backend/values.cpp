// Values that the random op cases do not reach: NaN and infinities in fp32, powers, long sums,
// repeated indices.
#include "support.h"

#include <cmath>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;
using mil::ValueId;

TEST_CASE("NaN and infinity go through in fp32") {
  for (const char* op : {"exp", "exp2", "tanh", "sigmoid", "silu", "gelu", "erf", "log", "rsqrt",
                         "relu", "relu6", "abs", "sqrt", "square"}) {
    Builder b;
    const ValueId x = b.input("x", {DataType::fp32, {5}, {}});
    const ValueId y = std::string_view(op) == "gelu"
                          ? b.add(op, {{"x", x}, {"mode", b.constant(Literal::string("EXACT"))}})
                          : b.unary(op, x);
    b.output(y, "y");
    const Function function = std::move(b).finish();
    const auto device = open_device("cpu", {.threads = 1});
    TensorMap inputs;
    inputs["x"] = {{DataType::fp32, {5}, {}}, {NAN, INFINITY, 0, 100, 1e-30}};
    check_close(Runner(*device, function).run(inputs), mil::interpret(function, inputs),
                {1e-5, 1e-12}, op);
  }
}

namespace {

// The program's results on the device, with as many threads, beside the interpreter's.
void check_both(Builder&& b, const TensorMap& inputs, Tolerance tolerance, const char* what,
                mil::Precision precision = mil::Precision::f32) {
  const Function function = std::move(b).finish();
  for (const int threads : {1, 2}) {
    const auto device = open_device("cpu", {.threads = threads});
    check_close(Runner(*device, function).run(inputs), mil::interpret(function, inputs, precision),
                tolerance, what);
  }
}

} // namespace

TEST_CASE("comparisons with NaN are NaN in fp32") {
  Builder b;
  const ValueId x = b.input("x", {DataType::fp32, {20}, {}});
  const ValueId y = b.input("y", {DataType::fp32, {20}, {}});
  const auto number = [&](double value) { return b.scalar(DataType::fp32, value); };
  b.output(b.binary("maximum", x, y), "maximum");
  b.output(b.binary("minimum", x, y), "minimum");
  b.output(b.add("clip", {{"x", x}, {"alpha", number(-1)}, {"beta", number(1)}}), "clip");
  b.output(b.add("threshold", {{"x", x}, {"alpha", number(0)}}), "threshold");
  b.output(b.add("leaky_relu", {{"x", x}, {"alpha", number(0.5)}}), "leaky_relu");
  b.output(b.add("elu", {{"x", x}, {"alpha", number(0.5)}}), "elu");
  b.output(b.add("sigmoid_hard", {{"x", x}, {"alpha", number(0.5)}, {"beta", number(0.5)}}),
           "sigmoid_hard");
  for (const char* op : {"reduce_max", "reduce_min", "reduce_log_sum_exp"}) {
    b.output(b.reduce(op, x, {0}, false), op);
    b.output(b.reduce(op, b.reshape(x, {5, 4}), {0}, false), std::string(op) + "_columns");
  }
  TensorMap inputs;
  inputs["x"] = {{DataType::fp32, {20}, {}}, std::vector<double>(20, 1)};
  inputs["y"] = inputs["x"];
  inputs["x"].values[3] = inputs["y"].values[18] = NAN;
  inputs["x"].values[7] = INFINITY;
  check_both(std::move(b), inputs, {1e-6, 0}, "NaN");
}

TEST_CASE("powers of special values by the exponents with kernels of their own") {
  Builder b;
  const ValueId x = b.input("x", {DataType::fp32, {9}, {}});
  for (const double exponent : {2.0, 0.5, -0.5}) {
    b.output(b.binary("pow", x, b.scalar(DataType::fp32, exponent)),
             "power" + std::to_string(static_cast<int>(exponent * 2 + 10)));
  }
  TensorMap inputs;
  inputs["x"] = {{DataType::fp32, {9}, {}},
                 {0, -0.0, -4, 4, INFINITY, -INFINITY, NAN, 0x1p-140, 3e38}};
  check_both(std::move(b), inputs, {1e-6, 0}, "pow");
}

TEST_CASE("exp2 is exact for whole numbers, down to the least subnormal") {
  Builder b;
  b.output(b.unary("exp2", b.input("x", {DataType::fp32, {280}, {}})), "y");
  TensorMap inputs;
  Tensor& x = inputs["x"] = mil::make_tensor({DataType::fp32, {280}, {}});
  for (int i = 0; i < 280; ++i) x.values[static_cast<size_t>(i)] = i - 151;
  check_both(std::move(b), inputs, {0, 0}, "exp2");
}

TEST_CASE("exp is exact to rounding from where results are subnormal to where they overflow") {
  const int64_t count = 8801;
  Builder b;
  b.output(b.unary("exp", b.input("x", {DataType::fp32, {count}, {}})), "y");
  TensorMap inputs;
  Tensor& x = inputs["x"] = mil::make_tensor({DataType::fp32, {count}, {}});
  for (size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = static_cast<float>(-86.9 + 0.02 * static_cast<double>(i));
  const std::vector<double> beyond = {88.72, 88.73, 1e30, INFINITY, -87.4, -104, -1e30, -INFINITY};
  std::copy(beyond.begin(), beyond.end(), x.values.begin() + 17);
  check_both(std::move(b), inputs, {1.5e-7, 0x1p-125}, "exp");
}

TEST_CASE("long reductions are shared by threads and give the same bits with any number") {
  const int64_t rows = 300, columns = 401;
  for (const char* op : {"reduce_sum", "reduce_mean", "reduce_max", "reduce_min",
                         "reduce_sum_square", "reduce_l2_norm", "reduce_log_sum_exp"}) {
    Builder b;
    const ValueId x = b.input("x", {DataType::fp32, {2, rows, columns}, {}});
    b.output(b.reduce(op, x, {0, 1, 2}, false), "all");
    b.output(b.reduce(op, x, {1, 2}, false), "two");
    b.output(b.reduce(op, b.transpose(x, {2, 0, 1}), {0, 2}, false), "turned");
    const Function function = std::move(b).finish();
    Random random(8);
    const TensorMap inputs = random_inputs(random, function);
    std::vector<std::byte> first;
    for (const int threads : {1, 2, 3}) {
      const auto device = open_device("cpu", {.threads = threads});
      Runner runner(*device, function);
      const TensorMap results = runner.run(inputs);
      if (threads == 1) {
        first = runner.output_bytes();
        check_close(results, mil::interpret(function, inputs), {1e-6, 1e-6}, op);
      }
      CHECK_MESSAGE(runner.output_bytes() == first, op);
    }
  }
}

TEST_CASE("running sums along any axis of a tensor with more lines than a block") {
  for (const int64_t axis : {0, 1, 2}) {
    Builder b;
    const ValueId x = b.input("x", {DataType::fp32, {5, 7, 601}, {}});
    const auto cumsum = [&](ValueId from, bool exclusive, bool reverse) {
      return b.add("cumsum", {{"x", from},
                              {"axis", b.constant(Literal::int32(static_cast<int32_t>(axis)))},
                              {"exclusive", b.constant(Literal::boolean(exclusive))},
                              {"reverse", b.constant(Literal::boolean(reverse))}});
    };
    b.output(cumsum(x, false, false), "plain");
    b.output(cumsum(x, true, true), "reverse");
    b.output(cumsum(b.transpose(x, {2, 1, 0}), true, false), "turned");
    Random random(2);
    TensorMap inputs;
    inputs["x"] = random_tensor(random, {DataType::fp32, {5, 7, 601}, {}});
    check_both(std::move(b), inputs, {0, 0}, "cumsum");
  }
}

TEST_CASE("fp16 scatter adds repeated rows in float and rounds once") {
  const auto scatter = [](Builder& b, const char* op, ValueId data, ValueId indices,
                          ValueId updates, const char* mode) {
    return b.add(op, {{"data", data},
                      {"indices", indices},
                      {"updates", updates},
                      {"axis", b.constant(Literal::int32(0))},
                      {"mode", b.constant(Literal::string(mode))}});
  };
  // 1 + 300 * 2^-11: each addition alone would be a tie, rounded back to 1.
  const int64_t count = 300, width = 3;
  const Type rows{DataType::fp16, {count, width}, {}}, table{DataType::fp16, {2, width}, {}};
  TensorMap inputs;
  inputs["updates"] = mil::make_tensor(rows, 0x1p-11);
  inputs["data"] = mil::make_tensor(table, 1);
  inputs["ids"] = mil::make_tensor({DataType::int32, {count}, {}}, -1);
  inputs["places"] = mil::make_tensor({DataType::int32, {count, width}, {}}, 1);
  for (const bool zero : {false, true}) {
    Builder b;
    const ValueId updates = b.input("updates", rows);
    const ValueId given = b.input("data", table);
    const ValueId data = zero ? b.constant(Literal::fill(table, 0)) : given;
    const ValueId ids = b.input("ids", {DataType::int32, {count}, {}});
    const ValueId places = b.input("places", {DataType::int32, {count, width}, {}});
    b.output(scatter(b, "scatter", data, ids, updates, "add"), "rows");
    b.output(scatter(b, "scatter_along_axis", data, places, updates, "add"), "elements");
    b.output(scatter(b, "scatter", data, ids, updates, "sub"), "less");
    b.output(b.transpose(scatter(b, "scatter", data, ids, updates, "max"), {1, 0}), "greatest");
    const Function function = std::move(b).finish();
    const auto device = open_device("cpu", {.threads = 2});
    const TensorMap results = Runner(*device, function).run(inputs);
    const double start = zero ? 0 : 1, sum = 300 * 0x1p-11;
    for (const char* name : {"rows", "elements"}) {
      CHECK(results.at(name).values[0] == start);
      CHECK(results.at(name).values[3] == doctest::Approx(start + sum).epsilon(0x1p-11));
    }
    check_close(results, mil::interpret(function, inputs, mil::Precision::f16), {0, 0}, "scatter");
  }
}

// Logits over a vocabulary: running maxima that grow late, beside infinities and a NaN.
TEST_CASE("log-sum-exp down long columns") {
  const int64_t rows = 2500, columns = 261;
  Builder b;
  const ValueId x = b.input("x", {DataType::fp32, {1, rows, 1, columns}, {}});
  b.output(b.reduce("reduce_log_sum_exp", x, {1}, true), "y");
  const Function function = std::move(b).finish();
  Random random(9);
  TensorMap inputs = random_inputs(random, function, {{"x", {-30, 30}}});
  const auto at = [&](int64_t row, int64_t column) -> double& {
    return inputs["x"].values[static_cast<size_t>(row * columns + column)];
  };
  for (int64_t row = 0; row < rows; ++row) {
    at(row, 1) = static_cast<double>(row) / 8; // each row larger than all before
    at(row, 2) = -INFINITY;
    at(row, 3) = row == 1700 ? 5 : -INFINITY;
  }
  at(77, 4) = INFINITY;
  at(2400, 5) = NAN;
  std::vector<std::byte> first;
  for (const int threads : {1, 2, 3}) {
    const auto device = open_device("cpu", {.threads = threads});
    Runner runner(*device, function);
    const TensorMap results = runner.run(inputs);
    if (threads == 1) {
      first = runner.output_bytes();
      check_close(results, mil::interpret(function, inputs), {1e-6, 1e-6}, "log-sum-exp");
    }
    CHECK(runner.output_bytes() == first);
  }
}
