#include "mil/builder.h"

#include "base/status.h"
#include "mil/op_table.h"
#include "mil/verify.h"

#include <doctest/doctest.h>

#include <set>

using namespace anet;
using namespace anet::mil;

namespace {

const Type image{DataType::fp16, {1, 8, 1, 32}, {}};

template <typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.status() == Status::invalid_program);
    return error.message();
  }
  return "accepted";
}

} // namespace

TEST_CASE("every argument is made explicit, with the default's value and type") {
  Builder builder;
  const ValueId x = builder.input("x", image);
  const ValueId weight = builder.constant(Literal::fill({DataType::fp16, {4, 8, 1, 1}, {}}, 1));
  const ValueId y = builder.linear(x, weight);
  builder.output(builder.unary("rsqrt", builder.unary("gelu", y)), "out");
  const Function function = std::move(builder).finish();
  CHECK_NOTHROW(verify(function));
  CHECK(every_argument_explicit(function));
  for (const Operation& op : function.ops) {
    if (std::string(op.name()) == "conv") {
      CHECK(function.constant(op, "strides")->integers() == std::vector<int64_t>{1, 1});
      CHECK(function.constant(op, "pad")->integers() == std::vector<int64_t>{0, 0, 0, 0});
      CHECK(function.constant(op, "pad_type")->string() == "valid");
      CHECK(function.constant(op, "groups")->integer() == 1);
      std::vector<std::string> names;
      for (const Argument& argument : op.arguments) names.push_back(argument.name);
      CHECK(names == std::vector<std::string>{"x", "weight", "strides", "pad_type", "pad",
                                              "dilations", "groups"});
    }
    if (std::string(op.name()) == "rsqrt") {
      CHECK(function.constant(op, "epsilon")->type.dtype == DataType::fp16);
    }
  }
}

TEST_CASE("arguments younger than the function's opset are left out") {
  for (const auto& [opset, count] : {std::pair{"ios15", 3}, {"ios16", 4}, {"ios17", 5}}) {
    Builder builder("main", opset);
    const ValueId x = builder.input("x", {DataType::fp32, {4, 2}, {}});
    const ValueId indices = builder.input("i", {DataType::int32, {3}, {}});
    builder.output(builder.gather(x, indices, 0), "y");
    const Function function = std::move(builder).finish();
    CHECK(function.ops.back().arguments.size() == static_cast<size_t>(count));
    CHECK_NOTHROW(verify(function));
    CHECK(every_argument_explicit(function));
  }
}

TEST_CASE("equal constants are one") {
  Builder builder;
  const ValueId one = builder.scalar(DataType::fp32, 1);
  CHECK(builder.scalar(DataType::fp32, 1) == one);
  CHECK(builder.constant(Literal::scalar(DataType::fp32, 1), "other") == one);
  CHECK(builder.scalar(DataType::fp16, 1) != one);
  CHECK(builder.scalar(DataType::fp32, 2) != one);
  CHECK(builder.constant(Literal::string("1")) != builder.constant(Literal::string("2")));
  // A continued function keeps sharing.
  const ValueId x = builder.input("x", {DataType::fp32, {2}, {}});
  builder.output(builder.add(x, one), "y");
  Builder continued(std::move(builder).finish());
  CHECK(continued.scalar(DataType::fp32, 1) == one);
}

TEST_CASE("names are unique and given ones are kept") {
  Builder builder;
  const ValueId x = builder.input("x", image);
  CHECK(builder.function().value(builder.unary("relu", x, "y")).name == "y");
  CHECK(builder.function().value(builder.unary("relu", x, "y")).name == "y_0");
  CHECK(builder.function().value(builder.unary("relu", x)).name == "relu_0");
  CHECK(builder.function().value(builder.unary("relu", x)).name == "relu_1");
  CHECK(builder.function().value(builder.unary("relu", x, "x")).name == "x_0");
  std::set<std::string> names;
  for (const Value& value : builder.function().values) CHECK(names.insert(value.name).second);
  CHECK(message_of([&] { builder.unary("relu", x, "a b"); }).find("expected a name") == 0);
  CHECK(message_of([&] { builder.input("x", image); }).find("expected a new name") == 0);
}

TEST_CASE("outputs are renamed, and get an op of their own when they need one") {
  Builder builder;
  const ValueId x = builder.input("x", image);
  const ValueId y = builder.unary("relu", x, "inner");
  builder.unary("relu", y, "port"); // a name inside the function gives way
  builder.output(y, "port");
  builder.output(y, "twice");
  builder.output(x, "passed");
  builder.output(builder.scalar(DataType::fp16, 1), "constant");
  CHECK(message_of([&] { builder.output(y, "x"); }) != "accepted");
  const Function function = std::move(builder).finish();
  CHECK_NOTHROW(verify(function));
  std::vector<std::string> ports;
  for (ValueId id : function.outputs) ports.push_back(function.value(id).name);
  CHECK(ports == std::vector<std::string>{"port", "twice", "passed", "constant"});
  CHECK(function.output("port") == y);
  const Operation& op = function.ops[static_cast<size_t>(function.value(y).producer)];
  CHECK(op.attribute("name")->value.string() == "port");
}

TEST_CASE("mistakes are refused when they are made") {
  Builder builder;
  const ValueId x = builder.input("x", image);
  const ValueId y = builder.input("y", {DataType::fp32, {1, 8, 1, 32}, {}});
  CHECK(message_of([&] { builder.add(x, y); }) ==
        "add: expected y of the type of x, fp16, got fp32");
  CHECK(message_of([&] { builder.unary("nope", x); }) == "unknown op 'nope'");
  CHECK(message_of([&] { builder.add("relu", {{"z", x}}); }) == "relu: unknown argument 'z'");
  CHECK(message_of([&] { builder.unary("relu", 99); }).find("relu: expected a value") == 0);
  CHECK(message_of([&] { builder.add("const", {}); }).find("expected constants") == 0);
  CHECK(message_of([&] { builder.reshape(x, {3, -1}); }).find("reshape: expected a shape") == 0);
  CHECK(message_of([&] {
          builder.add("softmax", {{"x", x}, {"axis", x}});
        }).find("softmax: expected axis of type int32") == 0);
  CHECK(message_of([&] {
          builder.add("linear", {{"x", x}, {"weight", x}});
        }) == "linear: expected a compile-time constant for weight");
  CHECK(message_of([&] { Builder("main", "ios99"); }) != "accepted");
  CHECK(message_of([&] { std::move(builder).finish(); }).find("expected function 'main'") == 0);
  Builder old("main", "ios17");
  const ValueId q = old.input("q", {DataType::fp16, {1, 2, 3}, {}});
  CHECK(message_of([&] {
          old.add("scaled_dot_product_attention", {{"query", q}, {"key", q}, {"value", q}});
        }) == "scaled_dot_product_attention: expected opset ios18 or later, got ios17");
}

TEST_CASE("extents that would overflow are refused") {
  Builder builder;
  const ValueId x = builder.input("x", {DataType::fp16, {int64_t{1} << 30, 1 << 18}, {}});
  const auto tile = [&](int64_t a, int64_t b) {
    const std::vector<int64_t> reps{a, b};
    builder.add("tile", {{"x", x}, {"reps", builder.constant(Literal::int32s(reps))}});
  };
  CHECK(message_of([&] { tile(2147483647, 2147483647); }) != "accepted");
  CHECK(message_of([&] { tile(1, 2); }) != "accepted"); // 2^49 elements
  CHECK(message_of([&] { builder.concat({x, x}, 0); }) != "accepted");
  CHECK(message_of([&] { tile(1, 1); }) == "accepted");
}
