// Segments compute what the whole computes, in few pieces.
#include "gradient_check.h"

#include "base/status.h"
#include "mil/partition.h"
#include "mil/verify.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

namespace {

using namespace anet;
using namespace anet::mil;
using namespace anet::mil::test;

std::vector<std::string> names(const Function& function, const std::vector<ValueId>& ids) {
  std::vector<std::string> result;
  for (ValueId id : ids) result.push_back(function.value(id).name);
  return result;
}

using Names = std::vector<std::string>;

std::string sides_of(const std::vector<Segment>& segments) {
  std::string text;
  for (const Segment& segment : segments) text += segment.side == Side::host ? 'h' : 'e';
  return text;
}

// Runs the segments one after the other on the values made so far.
TensorMap run_segments(const std::vector<Segment>& segments, TensorMap values) {
  for (const Segment& segment : segments) {
    TensorMap inputs;
    for (const std::string& name : names(segment.function, segment.function.inputs)) {
      REQUIRE_MESSAGE(values.count(name) == 1, name);
      inputs[name] = values.at(name);
    }
    for (auto& [name, tensor] : interpret(segment.function, inputs)) {
      values[name] = std::move(tensor);
    }
  }
  return values;
}

// Every op that the engine segments hold is one that may run there.
void check_sides(const std::vector<Segment>& segments, const std::set<std::string>& on_host) {
  for (size_t i = 0; i < segments.size(); ++i) {
    if (i > 0) CHECK(segments[i].side != segments[i - 1].side);
    verify(segments[i].function);
    if (segments[i].side == Side::host) continue;
    for (const Operation& op : segments[i].function.ops) CHECK(on_host.count(op.name()) == 0);
  }
}

std::function<Side(const Operation&)> host_for(std::set<std::string> ops) {
  return [ops = std::move(ops)](const Operation& op) {
    return ops.count(op.name()) > 0 ? Side::host : Side::engine;
  };
}

// 4x4 matrices through ops of many kinds, with constants, several outputs, booleans inside and an
// input that is returned.
Function random_function(uint64_t seed) {
  Random random(seed);
  Builder b;
  std::vector<ValueId> values{b.input("x", fp32({4, 4})), b.input("y", fp32({4, 4}))};
  const std::vector<double> numbers{1, 2, 3, 4};
  const ValueId row = b.constant(Literal::numbers(fp32({1, 4}), numbers));
  const auto pick = [&] { return values[static_cast<size_t>(random.uniform() * values.size())]; };
  for (int i = 0; i < 30; ++i) {
    const ValueId x = pick();
    const ValueId y = pick();
    const ValueId less = b.binary("less", x, y);
    const ValueId made[] = {
        b.add(x, y),
        b.unary("tanh", b.mul(x, row)),
        b.unary("sin", x),
        b.unary("cos", y),
        b.transpose(x, {1, 0}),
        b.reshape(b.reshape(x, {2, 8}), {4, 4}),
        b.unary("tanh", b.matmul(x, y, false, false)),
        b.softmax(x, 1),
        b.add("select", {{"cond", less}, {"a", x}, {"b", y}}),
        b.add("select", {{"cond", b.unary("logical_not", less)}, {"a", y}, {"b", x}}),
    };
    values.push_back(made[static_cast<size_t>(random.uniform() * std::size(made))]);
  }
  b.output(values.back(), "a");
  b.output(pick(), "b");
  b.output(pick(), "c");
  return std::move(b).finish();
}

} // namespace

TEST_CASE("segments run one after the other are the whole") {
  const std::vector<std::string> kinds{"add",       "tanh",    "sin",    "cos",
                                       "transpose", "reshape", "matmul", "softmax",
                                       "select",    "less",    "mul",    "identity"};
  int pieces = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const Function function = random_function(seed);
    Random random(seed + 1000);
    std::set<std::string> on_host;
    for (const std::string& kind : kinds) {
      if (random.uniform() < 0.3) on_host.insert(kind);
    }
    const int64_t least = seed % 3 == 0 ? 200 : 0;
    const std::vector<Segment> segments =
        partition(function, host_for(on_host), {.min_engine_flops = least});
    INFO("seed " << seed << ": " << sides_of(segments));
    check_sides(segments, on_host);
    pieces += static_cast<int>(segments.size());
    TensorMap inputs;
    for (const char* name : {"x", "y"}) inputs[name] = random_tensor(random, fp32({4, 4}), -1, 1);
    const TensorMap values = run_segments(segments, inputs);
    for (const auto& [name, tensor] : interpret(function, inputs)) {
      REQUIRE(values.count(name) == 1);
      CHECK(values.at(name).values == tensor.values);
    }
    for (const Segment& segment : segments) {
      if (segment.side == Side::host) continue;
      CHECK(count_flops(segment.function) >= least);
      // No boolean enters or leaves the engine.
      for (const auto& ports : {segment.function.inputs, segment.function.outputs}) {
        for (ValueId id : ports) CHECK(segment.function.type(id).dtype != DataType::boolean);
      }
    }
  }
  CHECK(pieces > 400); // the cases are not all of one piece
}

TEST_CASE("a function of one side is one segment with its ports in order") {
  Builder b;
  const ValueId x = b.input("x", fp32({2, 2}));
  const ValueId y = b.input("y", fp32({2, 2}));
  b.output(b.unary("exp", y), "first");
  b.output(b.matmul(x, y, false, false), "second");
  const Function function = std::move(b).finish();
  for (const Side side : {Side::host, Side::engine}) {
    const std::vector<Segment> segments =
        partition(function, [=](const Operation&) { return side; });
    REQUIRE(segments.size() == 1);
    CHECK(segments.front().side == side);
    CHECK(names(segments.front().function, segments.front().function.inputs) == Names{"x", "y"});
    CHECK(names(segments.front().function, segments.front().function.outputs) ==
          Names{"first", "second"});
  }
}

// Two products around something that only the host does, and conversions at the end: the shape of
// a training head.
TEST_CASE("independent host work joins later host work") {
  Builder b;
  const ValueId x = b.input("x", fp32({8, 8}));
  const ValueId weight = b.input("weight", fp32({8, 8}));
  const ValueId scale = b.input("scale", fp32({8, 8}));
  const ValueId logits = b.matmul(x, weight, false, false, "logits");
  const ValueId early = b.unary("sin", scale, "early"); // reads nothing of the engine's
  const ValueId d_logits = b.mul(b.unary("sin", logits), early);
  const ValueId d_x = b.matmul(d_logits, b.transpose(weight, {1, 0}), false, false);
  const ValueId d_weight = b.matmul(x, d_logits, true, false, "narrow");
  b.output(d_x, "d_x");
  b.output(b.unary("cos", d_weight), "d_weight");
  const Function function = std::move(b).finish();
  const std::vector<Segment> segments = partition(function, host_for({"sin", "cos"}));
  REQUIRE(sides_of(segments) == "eheh");
  // The product with the cheap `mul` stays with the host's work, the transpose with its product.
  CHECK(names(segments[0].function, segments[0].function.outputs) == Names{"logits"});
  CHECK(names(segments[1].function, segments[1].function.outputs).size() == 1);
  CHECK(names(segments[2].function, segments[2].function.inputs).size() == 3);
  CHECK(names(segments[2].function, segments[2].function.outputs) == Names{"d_x", "narrow"});
  CHECK(names(segments[3].function, segments[3].function.outputs) == Names{"d_weight"});
}

TEST_CASE("cheap ops between two of the host's stay there") {
  Builder b;
  const ValueId x = b.input("x", fp32({8, 8}));
  const ValueId moved = b.transpose(b.reshape(b.unary("sin", x), {4, 16}), {1, 0});
  b.output(b.unary("cos", b.mul(moved, 2.0)), "y");
  const Function function = std::move(b).finish();
  CHECK(sides_of(partition(function, host_for({"sin", "cos"}))) == "h");
  // Without neighbours on the host they may go to the engine.
  CHECK(sides_of(partition(function, host_for({}))) == "e");
}

TEST_CASE("small engine segments move to the host") {
  Builder b;
  const ValueId x = b.input("x", fp32({8, 8}));
  const ValueId first = b.matmul(x, x, false, false);
  b.output(b.matmul(b.unary("sin", first), x, false, false), "y");
  const Function function = std::move(b).finish();
  CHECK(count_flops(function) == 2 * 2 * 512);
  CHECK(sides_of(partition(function, host_for({"sin"}), {.min_engine_flops = 1024})) == "ehe");
  CHECK(sides_of(partition(function, host_for({"sin"}), {.min_engine_flops = 1025})) == "h");
}

TEST_CASE("outputs that nothing computes come from the host") {
  Builder b;
  const ValueId x = b.input("x", fp32({2, 2}));
  b.output(b.matmul(x, x, false, false), "y");
  b.output(b.constant(Literal::fill(fp32({2}), 3)), "three");
  const Function function = std::move(b).finish();
  const std::vector<Segment> segments = partition(function, host_for({}));
  TensorMap inputs{{"x", make_tensor(fp32({2, 2}), 1)}};
  const TensorMap values = run_segments(segments, inputs);
  CHECK(values.at("three").values == std::vector<double>{3, 3});
  CHECK(values.at("y").values == std::vector<double>{2, 2, 2, 2});
}

TEST_CASE("an output that is read inside is one of its segment") {
  Builder b;
  const ValueId x = b.input("x", fp32({4, 4}));
  const ValueId product = b.matmul(x, x, false, false);
  b.output(product, "product");
  b.output(b.unary("sin", product), "y");
  const std::vector<Segment> segments = partition(std::move(b).finish(), host_for({"sin"}));
  REQUIRE(sides_of(segments) == "eh");
  CHECK(names(segments[0].function, segments[0].function.outputs) == Names{"product"});
  CHECK(names(segments[1].function, segments[1].function.inputs) == Names{"product"});
}

TEST_CASE("ops that only some outputs need") {
  Builder b;
  const ValueId x = b.input("x", fp32({4, 4}));
  const ValueId shared = b.unary("exp", x);
  b.output(b.unary("sin", shared), "kept");
  b.output(b.unary("cos", b.unary("tanh", shared)), "gradient");
  const Function function = std::move(b).finish();
  const std::vector<bool> only = ops_only_for(function, {"gradient"});
  std::set<std::string> found;
  for (size_t i = 0; i < only.size(); ++i) {
    if (only[i]) found.insert(function.ops[i].name());
  }
  CHECK(found == std::set<std::string>{"tanh", "cos"});
  CHECK_THROWS_WITH_AS(ops_only_for(function, {"absent"}), "expected an output named absent",
                       Error);
}

TEST_CASE("flops are multiply-adds times two") {
  Builder b;
  const ValueId x = b.input("x", fp32({2, 3, 4, 5}));
  b.output(b.matmul(x, x, true, false), "a");                   // 2*3 of 5x4x5
  b.output(b.linear(x, b.input("w", fp32({7, 3, 1, 1}))), "b"); // 2*20 positions of 7x3
  b.output(b.add("conv", {{"x", x},
                          {"weight", b.input("k", fp32({6, 1, 3, 2}))},
                          {"groups", b.constant(Literal::int32(3))}}),
           "c"); // 2 of [6, 2, 4] results of 6 taps
  b.output(b.add("scaled_dot_product_attention", {{"query", x}, {"key", x}, {"value", x}}), "d");
  const Function function = std::move(b).finish();
  std::vector<int64_t> flops;
  for (const Operation& op : function.ops) {
    if (const int64_t count = count_flops(function, op)) flops.push_back(count);
  }
  CHECK(flops ==
        std::vector<int64_t>{2 * 6 * 5 * 4 * 5, 2 * 40 * 21, 2 * 96 * 6, 2 * 2 * 6 * 4 * 4 * 5});
}
