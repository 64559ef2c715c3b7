// Kernel::overflowed(): a step made an infinity in fp16 out of finite numbers.
#include "support.h"

#include <cmath>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;
using mil::ValueId;
using Values = std::vector<double>;

namespace {

struct Outcome {
  bool overflowed = false;
  Values values;
};

Type vector_type(DataType dtype, int64_t size) { return {dtype, {1, size}, {}}; }

// Runs y = body(x) once with one and once with two threads, which must agree.
template <typename Body>
Outcome run(DataType dtype, const Values& x, Body&& body) {
  Outcome outcome;
  for (const int threads : {1, 2}) {
    Builder b;
    const ValueId y = body(b, b.input("x", vector_type(dtype, std::ssize(x))));
    b.output(y, "y");
    const Function function = std::move(b).finish();
    const auto device = open_device("cpu", {.threads = threads});
    Runner runner(*device, function);
    CHECK_FALSE(runner.kernel().overflowed()); // before any run
    TensorMap inputs;
    inputs["x"] = {vector_type(dtype, std::ssize(x)), x};
    const Values values = runner.run(inputs).at("y").values;
    const bool overflowed = runner.kernel().overflowed();
    if (threads == 2) {
      CHECK(overflowed == outcome.overflowed);
      CHECK(values == outcome.values);
    }
    outcome = {overflowed, values};
  }
  return outcome;
}

ValueId power(Builder& b, ValueId x, double exponent) {
  return b.binary("pow", x, b.scalar(b.type(x).dtype, exponent));
}

const std::vector<std::pair<const char*, ValueId (*)(Builder&, ValueId)>>& overflowing() {
  // Each overflows fp16 for x = {300, 1} and stays finite for x = {2, 1}.
  static const std::vector<std::pair<const char*, ValueId (*)(Builder&, ValueId)>> bodies = {
      {"mul", [](Builder& b, ValueId x) { return b.mul(x, x); }},
      {"square", [](Builder& b, ValueId x) { return b.unary("square", x); }},
      {"exp", [](Builder& b, ValueId x) { return b.unary("exp", x); }},
      {"pow", [](Builder& b, ValueId x) { return power(b, x, 3); }},
      {"matmul", [](Builder& b, ValueId x) { return b.matmul(x, x, false, true); }},
      {"reduce_sum_square",
       [](Builder& b, ValueId x) { return b.reduce("reduce_sum_square", x, {1}, true); }},
      {"reduce_prod",
       [](Builder& b, ValueId x) {
         return b.reduce("reduce_prod", b.concat({x, x, x, x}, 1), {1}, true);
       }},
      {"cumsum",
       [](Builder& b, ValueId x) {
         return b.add("cumsum", {{"x", b.mul(x, 218.0)}, {"axis", b.constant(Literal::int32(1))}});
       }},
      {"accumulated scatter",
       [](Builder& b, ValueId x) {
         const ValueId zeros = b.constant(Literal::fill({DataType::fp16, {1, 1}, {}}, 0));
         const ValueId rows = b.constant(Literal::int32s(std::vector<int64_t>{0, 0}));
         return b.add("scatter", {{"data", zeros},
                                  {"indices", rows},
                                  {"updates", b.mul(x, 218.0)},
                                  {"axis", b.constant(Literal::int32(1))},
                                  {"mode", b.constant(Literal::string("add"))}});
       }},
      // The product overflows inside, and what is left is finite again: 0 * Inf is 0.
      {"hidden", [](Builder& b, ValueId x) { return b.mul(b.mul(b.mul(x, x), 300.0), 0.0); }},
      {"hidden by a quotient",
       [](Builder& b, ValueId x) {
         return b.binary("real_div", b.scalar(DataType::fp16, 1), b.unary("square", x));
       }},
      {"hidden by a comparison",
       [](Builder& b, ValueId x) {
         return b.cast(b.binary("greater", b.mul(x, x), x), DataType::fp16);
       }},
  };
  return bodies;
}

} // namespace

TEST_CASE("overflowed: fp16 results beyond the range, wherever they arise") {
  for (const auto& [name, body] : overflowing()) {
    CAPTURE(std::string(name));
    const Outcome over = run(DataType::fp16, {300, 1}, body);
    CHECK(over.overflowed);
    const bool hidden = std::string_view(name).substr(0, 6) == "hidden";
    for (const double value : over.values) CHECK((!hidden || std::isfinite(value)));
    CHECK_FALSE(run(DataType::fp16, {2, 1}, body).overflowed);
  }
}

TEST_CASE("overflowed: infinities that were there before, and fp32, do not count") {
  const auto mask = [](Builder& b, ValueId x) {
    return b.softmax(b.add(x, b.constant(Literal::numbers(b.type(x), Values{0, -INFINITY, 0}))), 1);
  };
  const Outcome masked = run(DataType::fp16, {1, 2, 1}, mask);
  CHECK_FALSE(masked.overflowed);
  CHECK(masked.values == Values{0.5, 0, 0.5});
  CHECK(run(DataType::fp16, {60000, 2, INFINITY}, [](Builder& b, ValueId x) {
          return b.mul(x, 2.0);
        }).overflowed); // one of them was finite
  const auto through = [](const char* op) {
    return [op](Builder& b, ValueId x) { return b.unary(op, x); };
  };
  for (const char* op : {"relu", "abs", "exp", "sqrt", "square"}) {
    CAPTURE(std::string(op));
    CHECK_FALSE(run(DataType::fp16, {1, INFINITY, NAN}, through(op)).overflowed);
  }
  CHECK_FALSE(run(DataType::fp16, {1, INFINITY, 3}, [](Builder& b, ValueId x) {
                return b.reduce("reduce_sum", x, {1}, true);
              }).overflowed);
  CHECK_FALSE(run(DataType::fp16, {1, INFINITY, 3}, [](Builder& b, ValueId x) {
                return b.matmul(x, x, false, true);
              }).overflowed);
  const auto square = [](Builder& b, ValueId x) { return b.mul(x, x); };
  const Outcome large = run(DataType::fp32, {1e30, 3, 4}, square);
  CHECK_FALSE(large.overflowed);
  CHECK(large.values[0] == INFINITY);
}

TEST_CASE("overflowed: 1/0 and values out of fp32 count, log(0) is finite on the engine") {
  CHECK(run(DataType::fp16, {0, 1}, [](Builder& b, ValueId x) {
          return b.binary("real_div", b.scalar(DataType::fp16, 1), x);
        }).overflowed);
  CHECK(
      run(DataType::fp16, {0, 1}, [](Builder& b, ValueId x) { return b.rsqrt(x, 0); }).overflowed);
  CHECK(run(DataType::fp16, {0, 0}, [](Builder& b, ValueId x) {
          return b.reduce("reduce_log_sum", x, {1}, true);
        }).overflowed);
  CHECK_FALSE(run(DataType::fp16, {0, 1}, [](Builder& b, ValueId x) {
                return b.add("log", {{"x", x}, {"epsilon", b.scalar(DataType::fp16, 0)}});
              }).overflowed);
  const auto narrow = [](Builder& b, ValueId x) { return b.cast(x, DataType::fp16); };
  CHECK(run(DataType::fp32, {70000, 1}, narrow).overflowed);
  CHECK_FALSE(run(DataType::fp32, {65504, INFINITY}, narrow).overflowed);
}

TEST_CASE("overflowed: each run answers for itself, sums into fp16 ports too") {
  Builder b;
  const ValueId x = b.input("x", vector_type(DataType::fp16, 40));
  b.output(b.mul(x, 2.0), "y");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 2});
  CompileOptions options;
  options.accumulate = {"y"};
  Runner runner(*device, function, options);
  TensorMap inputs;
  inputs["x"] = mil::make_tensor(vector_type(DataType::fp16, 40), 1);
  const auto overflows = [&](double value, double sum) {
    inputs["x"].values[37] = value;
    runner.write_output("y", mil::make_tensor(vector_type(DataType::fp16, 40), sum));
    runner.run(inputs);
    return runner.kernel().overflowed();
  };
  CHECK_FALSE(overflows(20000, 0));
  CHECK(overflows(40000, 0));
  CHECK_FALSE(overflows(20000, 0)); // clean again
  CHECK(overflows(20000, 30000));   // only the sum is too large
  CHECK_FALSE(overflows(1, 30000));
}
