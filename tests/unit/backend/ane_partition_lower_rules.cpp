// What lowering does about each rule of the engine (ane-facts.md 3.4, 3.5, 4 and 6).
#include "ane_lowered.h"
#include "base/status.h"
#include "mil/partition.h"
#include "support.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using ane::Lowered;
using ane::PeaksOf;
using ane::Rules;
using mil::Builder;
using mil::Literal;
using mil::Precision;
using mil::ValueId;

namespace {

Type half(Shape shape) { return {DataType::fp16, std::move(shape), {}}; }

Function finish(Builder& b, ValueId output) {
  b.output(output, "out");
  return std::move(b).finish();
}

// Constants that fp16 holds exactly.
Literal weights(Random& random, Shape shape) {
  std::vector<double> values(static_cast<size_t>(mil::element_count(shape)));
  for (double& value : values) value = static_cast<double>(random.integer(-16, 16)) / 16;
  return Literal::numbers(half(std::move(shape)), values);
}

LoweredError check(const Function& function, const Rules& rules, uint64_t seed = 1) {
  REQUIRE(why_not(function, rules) == "");
  Random random(seed);
  const LoweredError error = compare_lowered(function, rules, random_inputs(random, function));
  CHECK(error.exact <= 1e-9);
  CHECK(error.half <= 1e-2);
  return error;
}

Shape input_shape(const Lowered& lowered, size_t index) { return lowered.inputs[index].type.shape; }
Shape output_shape(const Lowered& lowered, size_t index) {
  return lowered.outputs[index].type.shape;
}

// x [1, in, 1, positions] through a runtime weight [out, in, 1, 1], and what its gradient needs.
Function projection(int64_t out, int64_t in, int64_t positions, bool transposed) {
  Builder b;
  const ValueId x = b.input("x", half({1, transposed ? out : in, 1, positions}));
  ValueId weight = b.input("weight", half({out, in, 1, 1}));
  if (transposed) weight = b.transpose(weight, {1, 0, 2, 3});
  return finish(b, b.linear(x, weight));
}

// `given_transposed`: x is [1, positions, in].
Function weight_gradient(int64_t out, int64_t in, int64_t positions,
                         bool given_transposed = false) {
  Builder b;
  const ValueId x = given_transposed
                        ? b.input("x", half({1, positions, in}))
                        : b.reshape(b.input("x", half({1, in, 1, positions})), {1, in, positions});
  const ValueId dy = b.reshape(b.input("dy", half({1, out, 1, positions})), {1, out, positions});
  return finish(b, b.reshape(b.matmul(dy, x, false, !given_transposed), {out, in, 1, 1}));
}

double peak_of(const Function& function, const TensorMap& inputs, const Rules& rules = {}) {
  const Lowered lowered = ane::lower(function, rules, {.peaks = PeaksOf::all});
  REQUIRE(lowered.peaks != "");
  check_engine_rules(function, lowered, rules);
  const TensorMap outputs =
      mil::interpret(lowered.function, lowered_inputs(lowered, inputs), Precision::f16);
  REQUIRE(outputs.at(lowered.peaks).values.size() == 1);
  return outputs.at(lowered.peaks).values.front();
}

std::string message_of(const Function& function, const Rules& rules) {
  try {
    ane::lower(function, rules, {});
  } catch (const Error& error) {
    CHECK(error.status() == Status::unsupported);
    return error.message();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("a runtime weight is an operand of one matmul, transposed by a flag") {
  for (const bool transposed : {false, true}) {
    const Function function = projection(12, 20, 7, transposed);
    const Lowered lowered = ane::lower(function, {}, {});
    CHECK(computing_ops(lowered.function) == std::set<std::string>{"matmul"});
    CHECK(input_shape(lowered, 0) == Shape{1, 1, transposed ? 12 : 20, 7});
    CHECK(input_shape(lowered, 1) == Shape{1, 1, 12, 20});
    CHECK(output_shape(lowered, 0) == Shape{1, 1, transposed ? 20 : 12, 7});
    check(function, {});
  }
}

TEST_CASE("a runtime weight is the kernel of a convolution where the chip takes one") {
  Rules rules;
  rules.parameter_convolution = true;
  for (const bool transposed : {false, true}) {
    const Function function = projection(12, 20, 7, transposed);
    const Lowered lowered = ane::lower(function, rules, {});
    // Another order of its elements is left to matmul.
    CHECK(count_ops(lowered.function, "conv") == (transposed ? 0 : 1));
    CHECK(count_ops(lowered.function, "matmul") == (transposed ? 1 : 0));
    CHECK(input_shape(lowered, 1) == Shape{1, 1, 12, 20}); // staged as for matmul
    check(function, rules);
  }
  rules.max_channels = 10; // no convolution of so many
  CHECK(count_ops(ane::lower(projection(12, 20, 7, false), rules, {}).function, "matmul") == 1);
  rules.max_channels = 65536;
  Builder b; // a batch
  const ValueId x = b.input("x", half({2, 20, 1, 7}));
  const Function batch = finish(b, b.linear(x, b.input("weight", half({12, 20, 1, 1}))));
  CHECK(count_ops(ane::lower(batch, rules, {}).function, "matmul") == 1);
  check(batch, rules);
}

TEST_CASE("a weight's gradient is one matmul whose result is the port") {
  const Function function = weight_gradient(12, 20, 7);
  const Lowered lowered = ane::lower(function, {}, {});
  CHECK(computing_ops(lowered.function) == std::set<std::string>{"matmul"});
  CHECK(output_shape(lowered, 0) == Shape{1, 1, 12, 20});
  check(function, {});
}

TEST_CASE("a large weight's gradient is a convolution where kernels may be computed") {
  Rules rules;
  rules.computed_convolution = true;
  const Function function = weight_gradient(257, 260, 7);
  const Lowered lowered = ane::lower(function, rules, {});
  CHECK(computing_ops(lowered.function) == std::set<std::string>{"conv", "reshape", "transpose"});
  CHECK(output_shape(lowered, 0) == Shape{1, 257, 1, 260}); // rows as those of [1, 1, 257, 260]
  check(function, rules);
  const auto is_matmul = [&](const Function& gradient) {
    return count_ops(ane::lower(gradient, rules, {}).function, "matmul") == 1;
  };
  CHECK(is_matmul(weight_gradient(8, 260, 7))); // an adapter's
  CHECK(is_matmul(weight_gradient(257, 8, 7)));
  rules.max_height = 260;
  const Function high = weight_gradient(520, 257, 7);
  CHECK(count_ops(ane::lower(high, rules, {}).function, "conv") == 1);
  check(high, rules);
  rules.max_channels = 256;
  CHECK(is_matmul(function));
}

TEST_CASE("an activation that is given transposed is the image of a weight's gradient as it is") {
  Rules rules;
  CHECK(ane::transposed_operands(rules).most == 0);
  rules.computed_convolution = true;
  const Function function = weight_gradient(257, 260, 7, true);
  const Lowered lowered = ane::lower(function, rules, {});
  CHECK(computing_ops(lowered.function) == std::set<std::string>{"conv", "reshape"});
  CHECK(input_shape(lowered, 0) == Shape{1, 7, 1, 260});
  check(function, rules);
  const auto is_matmul = [&](const Function& gradient) {
    return count_ops(ane::lower(gradient, rules, {}).function, "matmul") == 1;
  };
  const auto asks_for = [&](int64_t least, int64_t most) {
    const mil::TransposedOperands which = ane::transposed_operands(rules);
    return which.most > 0 && least >= which.least && most <= which.most;
  };
  // What is asked for is what is a convolution then.
  CHECK(asks_for(256, 16384));
  CHECK(!is_matmul(weight_gradient(256, 16384, 1, true)));
  CHECK_FALSE(asks_for(255, 260));
  CHECK(is_matmul(weight_gradient(260, 255, 7, true)));
  CHECK(is_matmul(weight_gradient(255, 260, 7, true)));
  CHECK_FALSE(asks_for(256, 16385)); // no port holds it
  rules.max_channels = 259;
  CHECK_FALSE(asks_for(256, 260));
  CHECK(is_matmul(weight_gradient(260, 257, 7, true)));
}

TEST_CASE("a weight that is read transposed stays as it is where kernels may be computed") {
  Rules rules;
  rules.parameter_convolution = rules.computed_convolution = true;
  const Function function = projection(300, 257, 260, true);
  const Lowered lowered = ane::lower(function, rules, {});
  CHECK(computing_ops(lowered.function) == std::set<std::string>{"conv", "reshape", "transpose"});
  CHECK(count_ops(lowered.function, "transpose") == 2); // of what it multiplies, and of the result
  CHECK(input_shape(lowered, 1).back() == 257);
  check(function, rules);
  const auto is_matmul = [&](const Function& product) {
    return count_ops(ane::lower(product, rules, {}).function, "matmul") == 1;
  };
  CHECK(is_matmul(projection(300, 257, 255, true))); // too few columns for two transposes
  CHECK(is_matmul(projection(300, 255, 260, true)));
  CHECK(is_matmul(projection(16385, 256, 256, true)));
  rules.max_channels = 256;
  CHECK(is_matmul(function));
}

TEST_CASE("matrices higher than the limit are split over the channels") {
  Rules rules;
  rules.max_height = 16;
  const Function logits = projection(40, 12, 7, false);
  CHECK(input_shape(ane::lower(logits, rules, {}), 1) == Shape{1, 4, 10, 12});
  CHECK(output_shape(ane::lower(logits, rules, {}), 0) == Shape{1, 4, 10, 7});
  check(logits, rules);
  check(projection(40, 12, 7, true), rules);
  check(weight_gradient(40, 12, 7), rules);
  // 41 rows have no parts.
  const Function prime = projection(41, 12, 7, false);
  const std::string reason = why_not(prime, rules);
  CHECK(contains(reason, "conv 'out'"));
  CHECK(contains(reason, "expected height of at most 16"));
  CHECK(contains(reason, "seen 41"));
  CHECK(contains(message_of(prime, rules), "expected height of at most 16"));
}

TEST_CASE("constant weights are convolutions or matmul, as the rules say") {
  Random random(3);
  Builder b;
  const ValueId x = b.input("x", half({1, 20, 1, 7}));
  const ValueId first = b.constant(weights(random, {12, 20, 1, 1}));
  const ValueId y = b.unary("relu", b.linear(x, first));
  const ValueId back = b.linear(y, b.transpose(first, {1, 0, 2, 3}));
  const Function function = finish(b, back);
  Rules rules;
  const Lowered images = ane::lower(function, rules, {});
  CHECK(computing_ops(images.function) == std::set<std::string>{"conv", "relu"});
  CHECK(input_shape(images, 0) == Shape{1, 20, 1, 7});
  check(function, rules);
  rules.constant_product = ane::ConstantProduct::matmul;
  const Lowered matrices = ane::lower(function, rules, {});
  CHECK(computing_ops(matrices.function) == std::set<std::string>{"matmul", "relu"});
  check(function, rules);
}

// A frozen head: more outputs than channels forward, more inputs than a convolution takes backward.
TEST_CASE("constant weights too large for one convolution are several") {
  Rules rules;
  rules.max_channels = 30;
  rules.max_height = 16;
  Random random(6);
  const Literal weight = weights(random, {40, 12, 1, 1});
  Builder b;
  const ValueId logits = b.linear(b.input("x", half({1, 12, 1, 7})), b.constant(weight));
  const Function forward = finish(b, b.add(logits, b.input("bias", half({1, 40, 1, 1}))));
  CHECK(count_ops(ane::lower(forward, rules, {}).function, "conv") == 4);
  CHECK(output_shape(ane::lower(forward, rules, {}), 0) == Shape{1, 4, 10, 7});
  check(forward, rules);

  // So are its gradients, which lie as the logits do.
  Builder d;
  const ValueId turned = d.transpose(d.constant(weight), {1, 0, 2, 3});
  const Function gradient = finish(d, d.linear(d.input("x", half({1, 40, 1, 7})), turned));
  CHECK(count_ops(ane::lower(gradient, rules, {}).function, "conv") == 4);
  CHECK(input_shape(ane::lower(gradient, rules, {}), 0) == Shape{1, 4, 10, 7});
  check(gradient, rules);

  const Literal tall = weights(random, {33000, 3, 1, 1});
  Builder c;
  const ValueId back = c.transpose(c.constant(tall), {1, 0, 2, 3});
  const Function backward = finish(c, c.linear(c.input("x", half({1, 33000, 1, 2})), back));
  CHECK(count_ops(ane::lower(backward, {}, {}).function, "conv") == 3);
  CHECK(check(backward, {}).half <= 1e-2);
}

TEST_CASE("frozen weights beside runtime ones") {
  Random random(7);
  Builder b;
  const ValueId x = b.input("x", half({1, 20, 1, 7}));
  const ValueId down = b.input("down", half({4, 20, 1, 1}));
  const ValueId up = b.input("up", half({12, 4, 1, 1}));
  const ValueId base = b.linear(x, b.constant(weights(random, {12, 20, 1, 1})));
  const ValueId adapted = b.mul(b.linear(b.linear(x, down), up), 2.0);
  const Function function = finish(b, b.add(base, adapted));
  for (const auto& [label, rules] : rules_variants()) {
    INFO(label);
    check(function, rules);
  }
  const Lowered lowered = ane::lower(function, {}, {});
  CHECK(count_ops(lowered.function, "conv") == 1);
  CHECK(count_ops(lowered.function, "matmul") == 2);
}

TEST_CASE("a bias is added") {
  Random random(4);
  for (const bool constant : {false, true}) {
    Builder b;
    const ValueId x = b.input("x", half({2, 6, 1, 5}));
    const ValueId weight = constant ? b.constant(weights(random, {4, 6, 1, 1}))
                                    : b.input("weight", half({4, 6, 1, 1}));
    const ValueId bias = constant ? b.constant(weights(random, {4})) : b.input("bias", half({4}));
    check(finish(b, b.add("conv", {{"x", x}, {"weight", weight}, {"bias", bias}})), {});
  }
}

TEST_CASE("windows need constant weights") {
  Random random(5);
  const std::vector<int64_t> strides{2, 1};
  const std::vector<int64_t> pad{1, 0, 2, 1};
  for (const char* op : {"conv", "conv_transpose"}) {
    for (const bool constant : {true, false}) {
      Builder b;
      const ValueId x = b.input("x", half({2, 6, 9, 8}));
      const Shape shape = std::string(op) == "conv" ? Shape{4, 3, 3, 2} : Shape{6, 2, 3, 2};
      const ValueId weight =
          constant ? b.constant(weights(random, shape)) : b.input("weight", half(shape));
      const Function function =
          finish(b, b.add(op, {{"x", x},
                               {"weight", weight},
                               {"bias", b.constant(weights(random, {4}))},
                               {"strides", b.constant(Literal::int32s(strides))},
                               {"pad_type", b.constant(Literal::string("custom"))},
                               {"pad", b.constant(Literal::int32s(pad))},
                               {"groups", b.constant(Literal::int32(2))}}));
      if (constant) {
        check(function, {});
      } else {
        CHECK(contains(why_not(function, {}), "a window needs a constant weight"));
      }
    }
  }
  // One spatial axis gets a second one.
  Builder b;
  const ValueId x = b.input("x", half({2, 6, 9}));
  check(finish(b, b.add("conv", {{"x", x}, {"weight", b.constant(weights(random, {4, 6, 3}))}})),
        {});
}

TEST_CASE("sums over many elements are products with ones") {
  for (const ane::ConstantProduct form :
       {ane::ConstantProduct::convolution, ane::ConstantProduct::matmul}) {
    Rules rules;
    rules.constant_product = form;
    for (const std::vector<int64_t>& axes :
         {std::vector<int64_t>{3}, {2}, {1}, {0}, {1, 3}, {0, 1, 2, 3}, {2, 3}}) {
      for (const char* op : {"reduce_sum", "reduce_mean", "reduce_sum_square"}) {
        Builder b;
        const ValueId x = b.input("x", half({18, 19, 20, 21}));
        const Function function = finish(b, b.reduce(op, x, axes, true));
        const std::set<std::string> ops = computing_ops(ane::lower(function, rules, {}).function);
        CHECK(ops.count("reduce_sum") == 0);
        CHECK(ops.count("reduce_mean") == 0);
        check(function, rules);
      }
    }
  }
}

TEST_CASE("a sum overflows where fp16 does, a mean not before its operand") {
  const auto value_of = [](const char* op, int64_t count, double each) {
    Builder b;
    const ValueId x = b.input("x", half({1, count, 1, 2}));
    const Function function = finish(b, b.reduce(op, x, {1}, true));
    const Lowered lowered = ane::lower(function, {}, {});
    TensorMap inputs{{"x", mil::make_tensor(half({1, count, 1, 2}), each)}};
    const TensorMap outputs =
        mil::interpret(lowered.function, lowered_inputs(lowered, inputs), Precision::f16);
    return outputs.at(lowered.outputs.front().symbol).values.front();
  };
  CHECK(value_of("reduce_sum", 64, 1000) == 64000);
  CHECK(value_of("reduce_sum", 64, -1000) == -64000);
  CHECK(std::isinf(value_of("reduce_sum", 64, 1024)));
  CHECK(value_of("reduce_sum", 4096, 1) == 4096);
  CHECK(value_of("reduce_mean", 64, 65504) == 65504);
  CHECK(value_of("reduce_mean", 5632, 60000) == 60000);
  // Rounded twice, by the sum and by the division.
  CHECK(std::fabs(value_of("reduce_mean", 65, -65504) + 65504) <= 32);
}

TEST_CASE("running sums are products with triangles") {
  for (const bool exclusive : {false, true}) {
    for (const bool reverse : {false, true}) {
      for (int64_t axis = 0; axis < 4; ++axis) {
        Builder b;
        const ValueId x = b.input("x", half({3, 4, 5, 6}));
        const Function function =
            finish(b, b.add("cumsum", {{"x", x},
                                       {"axis", b.constant(Literal::int32(int32_t(axis)))},
                                       {"exclusive", b.constant(Literal::boolean(exclusive))},
                                       {"reverse", b.constant(Literal::boolean(reverse))}}));
        check(function, {});
      }
    }
  }
  Builder b;
  const Function wide = finish(b, b.add("cumsum", {{"x", b.input("x", half({1, 5000}))},
                                                   {"axis", b.constant(Literal::int32(1))}}));
  CHECK(contains(why_not(wide, {}), "expected an axis of at most 2048 elements, seen 5000"));
}

TEST_CASE("slices of the width go by the height where they would clamp") {
  Builder b;
  const ValueId x = b.input("x", half({2, 3, 4, 10}));
  const Function function = finish(b, b.slice_by_size(x, {0, 0, 1, 5}, {2, 3, 2, 5}));
  Rules rules;
  check(function, rules);
  CHECK(count_ops(ane::lower(function, rules, {}).function, "transpose") == 2);
  // The clamp: a value that only a slice at 0 lets through.
  const std::vector<int64_t> begin{0, 0, 1, 5};
  rules.clamps_width_slices = false;
  rules.slices_width = true;
  check(function, rules);
  CHECK(computing_ops(ane::lower(function, rules, {}).function) ==
        std::set<std::string>{"slice_by_size"});
}

TEST_CASE("two pads that meet are a concatenation") {
  Builder b;
  const auto pad = [&](ValueId x, std::vector<int64_t> amounts) {
    return b.add("pad", {{"x", x}, {"pad", b.constant(Literal::int32s(amounts))}});
  };
  const ValueId first = pad(b.input("x", half({2, 3, 4, 5})), {0, 0, 0, 0, 0, 6, 0, 0});
  const ValueId second = pad(b.input("y", half({2, 3, 6, 5})), {0, 0, 0, 0, 4, 0, 0, 0});
  const Function function = finish(b, b.add(second, first));
  const Lowered lowered = ane::lower(function, {}, {});
  CHECK(computing_ops(lowered.function) == std::set<std::string>{"concat"});
  check(function, {});
  Rules rules;
  rules.has_concat = false;
  check(function, rules);
}

TEST_CASE("repeating is adding zeros that broadcast") {
  for (const Shape& shape :
       {Shape{1, 6, 1, 5}, Shape{2, 3, 4, 5}, Shape{1}, Shape{3, 1, 2, 2, 2}}) {
    Builder b;
    std::vector<int64_t> reps(shape.size(), 2);
    const Function function =
        finish(b, b.add("tile", {{"x", b.input("x", half(shape))},
                                 {"reps", b.constant(Literal::int32s(reps))}}));
    CHECK(count_ops(ane::lower(function, {}, {}).function, "tile") == 0);
    check(function, {});
  }
}

TEST_CASE("booleans stay inside") {
  Builder b;
  const ValueId x = b.input("x", half({1, 6, 1, 5}));
  const ValueId y = b.input("y", half({1, 1, 1, 5}));
  const ValueId less = b.binary("less", x, y);
  const ValueId not_less = b.unary("logical_not", less);
  const ValueId chosen = b.add("select", {{"cond", not_less}, {"a", x}, {"b", y}});
  const Function function = finish(b, b.add(chosen, b.cast(less, DataType::fp16)));
  check(function, {});
  // As a port they are refused, and so is what reads them.
  Builder ports;
  const ValueId condition = ports.input("condition", {DataType::boolean, {4}, {}});
  const ValueId a = ports.input("a", half({4}));
  const Function selection =
      finish(ports, ports.add("select", {{"cond", condition}, {"a", a}, {"b", a}}));
  CHECK(contains(why_not(selection, {}), "select 'out': the engine has no port of type bool"));
  Builder result;
  const Function comparison = finish(result, result.binary("less", result.input("x", half({4})),
                                                           result.scalar(DataType::fp16, 1)));
  CHECK(contains(why_not(comparison, {}), "less 'out': the engine has no port of type bool"));
}

TEST_CASE("only fp16 is computed in") {
  Builder b;
  const ValueId x = b.input("x", {DataType::fp32, {4}, {}});
  const Function function = finish(b, b.add(x, x));
  CHECK(why_not(function, {}) ==
        "add 'out': the engine computes in fp16, 'x' is fp32 (ane-facts.md 4.4)");
  Builder indices;
  const ValueId rows = indices.input("rows", {DataType::int32, {2}, {}});
  const Function gathered =
      finish(indices, indices.gather(indices.input("x", half({4, 3})), rows, 0));
  CHECK(contains(why_not(gathered, {}), "gather 'out'"));
}

TEST_CASE("fp32 and int8 enter and leave where there are such ports") {
  Builder b;
  const ValueId x = b.cast(b.input("x", {DataType::fp32, {1, 6, 1, 5}, {}}), DataType::fp16);
  const Function function = finish(b, b.cast(b.mul(x, x), DataType::fp32));
  CHECK(contains(why_not(function, {}), "does not convert fp32 to fp16"));
  Rules rules;
  rules.fp32_ports = true;
  REQUIRE(why_not(function, rules) == "");
  const Lowered lowered = ane::lower(function, rules, {});
  CHECK(lowered.inputs.front().type.dtype == DataType::fp32);
  CHECK(lowered.outputs.front().type.dtype == DataType::fp32);
  check(function, rules);

  Builder q;
  const ValueId bytes = q.input("x", {DataType::int8, {1, 6, 1, 5}, {}});
  const ValueId wide =
      q.add("dequantize", {{"input", bytes}, {"scale", q.scalar(DataType::fp16, 0.25)}});
  const ValueId sum = q.add(wide, 1.0);
  std::vector<double> scales{0.25, 0.5, 1, 2, 4, 8};
  const ValueId narrow =
      q.add("quantize", {{"input", sum},
                         {"scale", q.constant(Literal::numbers(half({6}), scales))},
                         {"axis", q.constant(Literal::int32(1))},
                         {"output_dtype", q.constant(Literal::string("int8"))}});
  const Function quantized = finish(q, narrow);
  CHECK(contains(why_not(quantized, {}), "int8 ports"));
  Rules bytes_too;
  bytes_too.int8_ports = true;
  check(quantized, bytes_too);
}

TEST_CASE("compressed weights keep a form that the engine takes") {
  Random random(9);
  std::vector<double> integers(12 * 20);
  for (double& value : integers) value = static_cast<double>(random.integer(-8, 7));
  std::vector<double> scales(12);
  for (double& value : scales) value = static_cast<double>(random.integer(1, 8)) / 32;
  const auto function_with = [&](DataType dtype, const char* op) {
    Builder b;
    const ValueId x = b.input("x", half({1, 20, 1, 7}));
    const ValueId data = b.constant(Literal::numbers({dtype, {12, 20, 1, 1}, {}}, integers));
    ValueId weight = mil::no_value;
    if (std::string(op) == "affine") {
      const mil::Type zeros{dtype, {12}, {}};
      weight = b.add("constexpr_affine_dequantize",
                     {{"quantized_data", data},
                      {"zero_point", b.constant(Literal::fill(zeros, 3))},
                      {"scale", b.constant(Literal::numbers(half({12}), scales))},
                      {"axis", b.constant(Literal::int32(0))}});
    } else {
      weight = b.add(
          "constexpr_blockwise_shift_scale",
          {{"data", data}, {"scale", b.constant(Literal::numbers(half({12, 1, 1, 1}), scales))}});
    }
    return finish(b, b.linear(x, weight));
  };
  using ane::QuantizedForm;
  const std::map<QuantizedForm, std::string> written{
      {QuantizedForm::affine, "constexpr_affine_dequantize"},
      {QuantizedForm::blockwise, "constexpr_blockwise_shift_scale"},
      {QuantizedForm::palette, "constexpr_lut_to_dense"}};
  for (const auto& [form, op] : written) {
    Rules rules;
    rules.int8_form = form;
    rules.int4_form = form;
    for (const char* given : {"affine", "blockwise"}) {
      const Function bytes = function_with(DataType::int8, given);
      // 256 entries for each of 12 outputs are more than the weight has elements.
      const int64_t expected = form == QuantizedForm::palette ? 0 : 1;
      CHECK(count_ops(ane::lower(bytes, rules, {}).function, op) == expected);
      check(bytes, rules);
    }
    const Function nibbles = function_with(DataType::int4, "blockwise");
    const int64_t expected = form == QuantizedForm::affine ? 0 : 1;
    CHECK(count_ops(ane::lower(nibbles, rules, {}).function, op) == expected);
    check(nibbles, rules);
  }
  // Without a form they are decompressed.
  const Function plain = function_with(DataType::int4, "blockwise");
  CHECK(computing_ops(ane::lower(plain, {}, {}).function) == std::set<std::string>{"conv"});
  check(plain, {});
}

TEST_CASE("a block of scales is decompressed") {
  Random random(10);
  std::vector<double> integers(4 * 8);
  for (double& value : integers) value = static_cast<double>(random.integer(-8, 7));
  std::vector<double> scales(4 * 2, 0.5);
  scales[3] = 2;
  Builder b;
  const ValueId weight =
      b.add("constexpr_blockwise_shift_scale",
            {{"data", b.constant(Literal::numbers({DataType::int4, {4, 8, 1, 1}, {}}, integers))},
             {"scale", b.constant(Literal::numbers(half({4, 2, 1, 1}), scales))}});
  const Function function = finish(b, b.linear(b.input("x", half({1, 8, 1, 3})), weight));
  Rules rules;
  rules.int4_form = ane::QuantizedForm::blockwise;
  CHECK(computing_ops(ane::lower(function, rules, {}).function) == std::set<std::string>{"conv"});
  check(function, rules);
}

TEST_CASE("packed inputs are parts of one") {
  Builder b;
  const ValueId x = b.input("x", half({1, 20, 1, 7}));
  const ValueId weight = b.input("weight", half({12, 20, 1, 1}));
  const ValueId scale = b.input("scale", half({1, 12, 1, 1}));
  const Function function = finish(b, b.mul(b.linear(x, weight), scale));
  Rules rules;
  rules.parameter_route = ane::ParameterRoute::packed;
  const Lowered rows = ane::lower(function, rules, {});
  REQUIRE(rows.function.inputs.size() == 1);
  CHECK(rows.function.type(rows.function.inputs.front()).shape == Shape{1, 1, 44, 20});
  CHECK(rows.inputs[1].row == 20);
  CHECK(rows.inputs[1].column == 0);
  check(function, rules);
  rules.clamps_width_slices = false;
  rules.slices_width = true;
  const Lowered columns = ane::lower(function, rules, {});
  CHECK(columns.function.type(columns.function.inputs.front()).shape == Shape{1, 1, 20, 28});
  CHECK(columns.inputs[2].column == 27);
  check(function, rules);
  rules.max_width = 27;
  CHECK(contains(message_of(function, rules), "and 27 columns, seen 20 and 28"));
}

TEST_CASE("symbols sort as ports are declared, whatever their names") {
  Builder b;
  ValueId sum = mil::no_value;
  for (const char* name : {"x10", "x2", "W", "a", "_z", "x1", "B", "func", "tensor", "x0", "m"}) {
    const ValueId x = b.input(name, half({1, 2, 1, 3}));
    sum = sum == mil::no_value
              ? x
              : b.add(sum, b.mul(x, static_cast<double>(b.function().inputs.size())));
    b.output(b.unary("abs", sum), std::string("out_") + name);
  }
  const Function function = std::move(b).finish();
  check(function, {});
  Builder longest;
  const std::string name(1000, 'n');
  check(finish(longest, longest.unary("abs", longest.input(name, half({3})))), {});
}

TEST_CASE("too many ports are refused") {
  Builder b;
  ValueId sum = b.input("x", half({4}));
  for (int i = 0; i < 4; ++i) sum = b.add(sum, b.input("y" + std::to_string(i), half({4})));
  const Function function = finish(b, sum);
  Rules rules;
  rules.max_ports = 4;
  CHECK(contains(message_of(function, rules), "expected at most 4 inputs, seen 5"));
  rules.max_ports = 5;
  CHECK(message_of(function, rules) == "");
}

TEST_CASE("extents above the limits are refused") {
  Builder b;
  const Function function = finish(b, b.unary("abs", b.input("x", half({1, 2, 3, 20000}))));
  CHECK(contains(why_not(function, {}), "abs"));
  CHECK(contains(why_not(function, {}), "expected width of at most 16384"));
  Rules rules;
  rules.max_width = 65536;
  CHECK(why_not(function, rules) == "");
  Builder six;
  const ValueId x = six.input("x", half({2, 2, 2, 2, 2, 2}));
  const Function reversed = finish(six, six.transpose(x, {5, 4, 3, 2, 1, 0}));
  CHECK(contains(why_not(reversed, {}), "expected axes that move as four or fewer, seen 6"));
}

TEST_CASE("peaks show infinities that the outputs do not") {
  // The product overflows; the sigmoid behind it is 1 all the same.
  Builder b;
  const ValueId x = b.input("x", half({1, 4, 1, 5}));
  const ValueId weight = b.input("weight", half({4, 4, 1, 1}));
  const Function function = finish(b, b.unary("sigmoid", b.linear(x, weight)));
  TensorMap inputs{{"x", mil::make_tensor(half({1, 4, 1, 5}), 50)},
                   {"weight", mil::make_tensor(half({4, 4, 1, 1}), 100)}};
  CHECK(peak_of(function, inputs) == 20000);
  for (const double large : {200, -500}) {
    inputs["x"].values[7] = large;
    CHECK(peak_of(function, inputs) == std::numeric_limits<double>::infinity());
  }

  // The mean of squares overflows, its root is 0, and so is everything normalised by it.
  Builder n;
  const ValueId y = n.input("x", half({1, 64, 1, 2}));
  const ValueId mean = n.reduce("reduce_mean", n.mul(y, y), {1}, true);
  const Function norm = finish(n, n.mul(y, n.rsqrt(mean, 1e-5)));
  TensorMap large{{"x", mil::make_tensor(half({1, 64, 1, 2}), 1)}};
  CHECK(std::isfinite(peak_of(norm, large)));
  large["x"].values[5] = 300;
  CHECK(std::isinf(peak_of(norm, large)));

  // Unless its reader looks for them itself; what lies before it still shows.
  const Lowered lowered = ane::lower(function, {}, {.peaks = PeaksOf::all, .unwatched = {"out"}});
  CHECK(lowered.peaks != "");
  Builder g;
  const Function product =
      finish(g, g.linear(g.input("x", half({1, 4, 1, 5})), g.input("weight", half({4, 4, 1, 1}))));
  CHECK(ane::lower(product, {}, {.peaks = PeaksOf::all}).peaks != "");
  CHECK(ane::lower(product, {}, {.peaks = PeaksOf::all, .unwatched = {"out"}}).peaks == "");

  // Products side by side show what they showed alone; with something else among them all is
  // watched.
  const auto joined = [](bool with_input) {
    Builder c;
    const ValueId z = c.input("x", half({1, 4, 1, 5}));
    const ValueId first = c.linear(z, c.input("first", half({4, 4, 1, 1})));
    const ValueId second = c.linear(z, c.input("second", half({4, 4, 1, 1})));
    return finish(c, c.concat({first, with_input ? z : second}, 1));
  };
  const auto extremes = [](const Function& source) {
    return count_ops(ane::lower(source, {}, {.peaks = PeaksOf::all}).function, "reduce_min");
  };
  CHECK(extremes(joined(false)) == 2);
  CHECK(extremes(joined(true)) == 2);
  TensorMap parts{{"x", mil::make_tensor(half({1, 4, 1, 5}), 50)},
                  {"first", mil::make_tensor(half({4, 4, 1, 1}), 1)},
                  {"second", mil::make_tensor(half({4, 4, 1, 1}), 100)}};
  CHECK(peak_of(joined(false), parts) == 20000);
  parts["second"].values[9] = 1000;
  CHECK(std::isinf(peak_of(joined(false), parts)));

  // An output that no product made.
  Builder s;
  const Function sum = finish(s, s.add(s.input("x", half({4})), s.input("y", half({4}))));
  TensorMap addends{{"x", mil::make_tensor(half({4}), 40000)},
                    {"y", mil::make_tensor(half({4}), -40000)}};
  CHECK(peak_of(sum, addends) == 0);
  addends["y"].values[2] = 40000;
  CHECK(std::isinf(peak_of(sum, addends)));
  Rules rules;
  rules.has_concat = false;
  CHECK(std::isinf(peak_of(sum, addends, rules)));
}

// How many values the peaks look at, when infinities that come out need not be looked for.
int64_t looked_at(const Function& function) {
  return count_ops(ane::lower(function, {}, {.peaks = PeaksOf::hidden}).function, "reduce_min");
}

TEST_CASE("peaks of a backward pass show what does not come out") {
  // A product of x, and what `after` makes of it.
  const auto function_of = [](auto&& after) {
    Builder b;
    const ValueId x = b.input("x", half({1, 8, 1, 6}));
    return finish(b, after(b, x, b.linear(x, b.input("weight", half({8, 8, 1, 1})))));
  };
  const auto looked = [&](auto&& after) { return looked_at(function_of(after)); };
  using Id = ValueId;
  // The output alone.
  CHECK(looked([](Builder&, Id, Id y) { return y; }) == 1);
  CHECK(looked([](Builder& b, Id x, Id y) { return b.sub(x, b.mul(y, x)); }) == 1);
  CHECK(looked([](Builder& b, Id, Id y) { return b.reduce("reduce_sum", y, {1}, true); }) == 1);
  CHECK(looked([](Builder& b, Id x, Id y) {
          return b.linear(b.add(x, y), b.input("next", half({8, 8, 1, 1})));
        }) == 1);
  CHECK(looked([](Builder& b, Id, Id y) {
          const Id first = b.slice_by_size(y, {0, 0, 0, 0}, {1, 3, 1, 6});
          return b.concat({b.slice_by_size(y, {0, 3, 0, 0}, {1, 5, 1, 6}), b.mul(first, -1.0)}, 1);
        }) == 1);
  // What makes an infinity finite, or leaves it out.
  CHECK(looked([](Builder& b, Id, Id y) { return b.unary("relu", y); }) == 2);
  CHECK(looked([](Builder& b, Id, Id y) { return b.mul(y, b.unary("sigmoid", y)); }) == 2);
  CHECK(looked([](Builder& b, Id x, Id y) { return b.mul(x, b.rsqrt(b.mul(y, y), 1e-5)); }) == 2);
  CHECK(looked([](Builder& b, Id, Id y) {
          return b.mul(b.slice_by_size(y, {0, 0, 0, 0}, {1, 7, 1, 6}), -1.0);
        }) == 2);
  CHECK(looked([](Builder& b, Id, Id y) { // parts that overlap
          const Id part = b.slice_by_size(y, {0, 4, 0, 0}, {1, 4, 1, 6});
          return b.mul(b.add(part, b.slice_by_size(y, {0, 3, 0, 0}, {1, 4, 1, 6})), -1.0);
        }) == 2);

  // Nobody looks at the only output that it comes out of.
  const Function sum = function_of([](Builder& b, Id x, Id y) { return b.add(x, y); });
  const Lowered lowered = ane::lower(sum, {}, {.peaks = PeaksOf::hidden, .unwatched = {"out"}});
  CHECK(count_ops(lowered.function, "reduce_min") == 1);
}

TEST_CASE("coarse tables are avoided by forms that stay finite") {
  Rules rules;
  rules.table_activations = true;
  const auto values_of = [&](const char* op, std::vector<double> at) {
    Builder b;
    const int64_t count = std::ssize(at);
    const ValueId x = b.input("x", half({count}));
    const Function function =
        finish(b, std::string(op) == "gelu"
                      ? b.add("gelu", {{"x", x}, {"mode", b.constant(Literal::string("EXACT"))}})
                      : b.unary(op, x));
    const Lowered lowered = ane::lower(function, rules, {});
    TensorMap inputs{{"x", {half({count}), std::move(at)}}};
    const TensorMap outputs =
        mil::interpret(lowered.function, lowered_inputs(lowered, inputs), Precision::f16);
    return outputs.at(lowered.outputs.front().symbol).values;
  };
  const std::vector<double> ends{-60000, -12, 0, 12, 60000};
  CHECK(values_of("sigmoid", {-60000, 0, 60000}) == std::vector<double>{0, 0.5, 1});
  CHECK(values_of("tanh", {-60000, 0, 60000}) == std::vector<double>{-1, 0, 1});
  CHECK(values_of("silu", {-60000, 0, 60000}) == std::vector<double>{0, 0, 60000});
  CHECK(values_of("gelu", {-60000, 0, 60000}) == std::vector<double>{0, 0, 60000});
  for (const char* op : {"sigmoid", "tanh", "silu", "gelu", "softplus"}) {
    for (double x = -12; x <= 12; x += 0.125) {
      const double sigmoid = 1 / (1 + std::exp(-x));
      const std::string name = op;
      const double expected = name == "sigmoid" ? sigmoid
                              : name == "tanh"  ? std::tanh(x)
                              : name == "silu"  ? x * sigmoid
                              : name == "gelu"  ? x / 2 * std::erfc(-x / std::sqrt(2.0))
                                                : std::log1p(std::exp(x));
      INFO(op << " of " << x);
      // Half a unit in the last place of numbers near 1, a few times over, and the result's own.
      CHECK(std::fabs(values_of(op, {x}).front() - expected) <= 2e-3 + 2e-3 * std::fabs(expected));
    }
  }
}

TEST_CASE("attention is written out where its mask would be ignored") {
  for (const bool boolean : {false, true}) {
    Builder b;
    const ValueId q = b.input("q", half({2, 3, 5, 16}));
    const ValueId k = b.input("k", half({2, 3, 7, 16}));
    const ValueId v = b.input("v", half({2, 3, 7, 6}));
    std::vector<double> visible(35, 1);
    for (size_t i = 0; i < visible.size(); i += 3) visible[i] = 0;
    const ValueId mask = b.constant(
        Literal::numbers({boolean ? DataType::boolean : DataType::fp16, {5, 7}, {}}, visible));
    const Function function =
        finish(b, b.add("scaled_dot_product_attention",
                        {{"query", q}, {"key", k}, {"value", v}, {"attn_mask", mask}}));
    Rules rules;
    CHECK(count_ops(ane::lower(function, rules, {}).function, "scaled_dot_product_attention") == 0);
    check(function, rules);
    rules.native_causal_attention = true;
    CHECK(count_ops(ane::lower(function, rules, {}).function, "scaled_dot_product_attention") == 1);
    check(function, rules);
  }
}

TEST_CASE("two functions that differ in names only become one program") {
  const auto named = [](const char* x, const char* inner) {
    Builder b("layer");
    const ValueId input = b.input(x, half({1, 4, 1, 5}));
    return finish(b, b.mul(b.unary("relu", input, inner), 2.0));
  };
  const Function first = ane::lower(named("x", "layer_0_relu"), {}, {}).function;
  const Function second = ane::lower(named("x", "layer_1_relu"), {}, {}).function;
  CHECK(first == second);
}
