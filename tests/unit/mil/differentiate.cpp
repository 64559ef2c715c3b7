// Splitting a function into forward and backward: ports, taps, names, errors.
#include "gradient_check.h"

#include "base/status.h"
#include "mil/text.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace {

using namespace anet::mil;
using namespace anet::mil::test;

int64_t count_ops(const Function& function, std::string_view name) {
  return std::count_if(function.ops.begin(), function.ops.end(),
                       [&](const Operation& op) { return name == op.name(); });
}

std::vector<std::string> names(const Function& function, const std::vector<ValueId>& ids) {
  std::vector<std::string> result;
  for (ValueId id : ids) result.push_back(function.value(id).name);
  return result;
}

// Mean cross-entropy of a network of two layers: x [batch, in], targets [batch, 1].
Function perceptron() {
  Builder b;
  const ValueId x = b.input("x", fp32({4, 3}));
  const ValueId w1 = b.input("w1", fp32({3, 5}));
  const ValueId b1 = b.input("b1", fp32({5}));
  const ValueId w2 = b.input("w2", fp32({5, 6}));
  const ValueId targets = b.input("targets", {DataType::int32, {4, 1}, {}});
  const ValueId before = b.add(b.matmul(x, w1, false, false, "product"), b1);
  const ValueId hidden = b.unary("gelu", before, "hidden");
  const ValueId logits = b.matmul(hidden, w2, false, false, "logits");
  const ValueId normalizer = b.reduce("reduce_log_sum_exp", logits, {1}, true);
  const ValueId picked = b.gather_along_axis(logits, targets, 1);
  b.output(b.reduce("reduce_mean", b.sub(normalizer, picked), {0, 1}, false), "loss");
  return std::move(b).finish();
}

TensorMap perceptron_inputs() {
  Random random(7);
  const TensorMap targets{{"targets", {{DataType::int32, {4, 1}, {}}, {5, 0, 2, 2}}}};
  return random_inputs(perceptron(), random, -1, 1, targets);
}

// RMS norm, attention from primitive ops, a gated feed-forward layer: a transformer block in the
// layout of the ANE, x [1, channels, 1, sequence].
Function block() {
  constexpr int64_t width = 4;
  constexpr int64_t length = 3;
  Builder b;
  const ValueId x = b.input("x", fp32({1, width, 1, length}));
  const ValueId gain = b.input("gain", fp32({1, width, 1, 1}));
  const auto weight = [&](const char* name, int64_t out, int64_t in) {
    return b.input(name, fp32({out, in, 1, 1}));
  };
  const ValueId square = b.reduce("reduce_mean", b.mul(x, x), {1}, true);
  const ValueId normal = b.mul(b.mul(x, b.rsqrt(square, 1e-5)), gain);
  const auto project = [&](const char* name) {
    return b.reshape(b.linear(normal, weight(name, width, width)), {1, 2, width / 2, length});
  };
  const ValueId q = project("wq");
  const ValueId k = project("wk");
  const ValueId v = project("wv");
  const ValueId p = b.softmax(b.mul(b.matmul(q, k, true, false), 0.7), -1);
  const ValueId mixed = b.reshape(b.matmul(v, p, false, true), {1, width, 1, length});
  const ValueId residual =
      b.binary("add", x, b.linear(mixed, weight("wo", width, width)), "residual");
  const ValueId gate = b.unary("silu", b.linear(residual, weight("w1", 6, width)));
  const ValueId up = b.linear(residual, weight("w3", 6, width));
  b.output(b.add(residual, b.linear(b.mul(gate, up), weight("w2", width, 6))), "y");
  return std::move(b).finish();
}

DifferentiateOptions with_taps(Taps taps, std::vector<std::string> listed = {}) {
  DifferentiateOptions options;
  options.taps = taps;
  options.tap_names = std::move(listed);
  return options;
}

int64_t tapped_bytes(const Derivative& derivative) {
  int64_t bytes = 0;
  for (const std::string& tap : derivative.taps) {
    bytes += derivative.forward.type(derivative.forward.find(tap)).bytes();
  }
  return bytes;
}

void check_same(const TensorMap& a, const TensorMap& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    CAPTURE(name);
    const Tensor& other = b.at(name);
    REQUIRE(tensor.type == other.type);
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      CHECK(tensor.values[i] == doctest::Approx(other.values[i]).epsilon(1e-12));
    }
  }
}

anet::Status status_of(const Function& function, const DifferentiateOptions& options) {
  try {
    differentiate(function, options);
  } catch (const anet::Error& error) {
    return error.status();
  }
  return anet::Status::ok;
}

} // namespace

TEST_CASE("a network of two layers with cross-entropy agrees with finite differences") {
  const Function function = perceptron();
  const TensorMap inputs = perceptron_inputs();
  const Function joint = value_and_gradient(function, {});
  CHECK(names(joint, joint.outputs) ==
        std::vector<std::string>{"loss", "d_x", "d_w1", "d_b1", "d_w2"});
  const TensorMap seeds{{"d_loss", {fp32({}), {0.5}}}};
  TensorMap joint_inputs = inputs;
  joint_inputs.insert(seeds.begin(), seeds.end());
  TensorMap results = interpret(joint, joint_inputs, Precision::f64);
  const TensorMap plain = interpret(function, inputs, Precision::f64);
  CHECK(results.at("loss").values[0] == doctest::Approx(plain.at("loss").values[0]));
  results.erase("loss");
  CHECK(worst_gradient_error(function, inputs, results, seeds) <= 1e-6);
}

TEST_CASE("a transformer block agrees with finite differences under every choice of taps") {
  const Function function = block();
  Random random(3);
  const TensorMap inputs = random_inputs(function, random, -1, 1, {});
  const TensorMap seeds = random_seeds(function, random);
  const Derivative automatic = differentiate(function, {});
  const TensorMap expected = run_backward(automatic, inputs, seeds, Precision::f64);
  CHECK(worst_gradient_error(function, inputs, expected, seeds) <= 1e-6);
  std::vector<DifferentiateOptions> choices = {with_taps(Taps::all), with_taps(Taps::none),
                                               with_taps(Taps::listed, {"residual"}),
                                               with_taps(Taps::listed)};
  for (const Taps taps : {Taps::automatic, Taps::all, Taps::none}) {
    choices.push_back(with_taps(taps));
    choices.back().transposed_operands = {.least = 1, .most = 100};
  }
  for (const DifferentiateOptions& options : choices) {
    const Derivative derivative = differentiate(function, options);
    check_same(run_backward(derivative, inputs, seeds, Precision::f64), expected);
    // Forward still returns what the function does.
    const TensorMap forward = interpret(derivative.forward, inputs, Precision::f64);
    check_same({{"y", forward.at("y")}}, interpret(function, inputs, Precision::f64));
  }
}

TEST_CASE("automatic taps run no matmul, conv, softmax or reduction of the forward twice") {
  const Function function = block();
  const Derivative derivative = differentiate(function, {});
  // Each conv has two gradients, one a conv and one a matmul; each matmul has two, matmuls.
  CHECK(count_ops(function, "conv") == 7);
  CHECK(count_ops(function, "matmul") == 2);
  CHECK(count_ops(derivative.forward, "conv") == 7);
  CHECK(count_ops(derivative.backward, "conv") == 7);
  CHECK(count_ops(derivative.backward, "matmul") == 7 + 2 * 2);
  CHECK(count_ops(derivative.backward, "softmax") == 0);
  CHECK(count_ops(derivative.backward, "reduce_mean") == 1); // rms norm
  CHECK(count_ops(derivative.backward, "reduce_sum") == 2);  // softmax, gain
  CHECK(tapped_bytes(derivative) < tapped_bytes(differentiate(function, with_taps(Taps::all))));
}

TEST_CASE("no taps means that backward starts from the inputs") {
  const Derivative derivative = differentiate(block(), with_taps(Taps::none));
  CHECK(derivative.taps.empty());
  CHECK(names(derivative.forward, derivative.forward.outputs) == std::vector<std::string>{"y"});
  CHECK(count_ops(derivative.backward, "softmax") == 1);
  for (const std::string& name : names(derivative.backward, derivative.backward.inputs)) {
    CHECK((name == "d_y" || block().input(name) != no_value));
  }
}

TEST_CASE("listed taps are exactly those that backward reads") {
  const Derivative derivative =
      differentiate(perceptron(), with_taps(Taps::listed, {"hidden", "logits"}));
  CHECK(derivative.taps == std::vector<std::string>{"hidden", "logits"});
  CHECK(names(derivative.forward, derivative.forward.outputs) ==
        std::vector<std::string>{"loss", "hidden", "logits"});
  // The argument of gelu was not listed, so that its matmul runs again.
  CHECK(count_ops(derivative.backward, "matmul") == 4 + 1);
}

TEST_CASE("backward takes inputs, taps and seeds, in this order, and only what it reads") {
  const Function function = perceptron();
  DifferentiateOptions options;
  options.with_respect_to = {"w2", "x"};
  const Derivative derivative = differentiate(function, options);
  CHECK(names(derivative.backward, derivative.backward.outputs) ==
        std::vector<std::string>{"d_w2", "d_x"});
  const std::vector<std::string> inputs = names(derivative.backward, derivative.backward.inputs);
  // The argument of gelu is tapped behind the bias, which is then not read.
  std::vector<std::string> expected{"w1", "w2", "targets"};
  expected.insert(expected.end(), derivative.taps.begin(), derivative.taps.end());
  expected.push_back("d_loss");
  CHECK(inputs == expected);
  CHECK(names(derivative.forward, derivative.forward.inputs) == names(function, function.inputs));
}

TEST_CASE("a value that the function returns is a free tap") {
  Builder b;
  const ValueId x = b.input("x", fp32({3}));
  b.output(b.unary("exp", b.softmax(x, 0, "p")), "y");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  CHECK(derivative.taps == std::vector<std::string>{"p", "y"});
  CHECK(names(derivative.forward, derivative.forward.outputs) ==
        std::vector<std::string>{"y", "p"});
}

TEST_CASE("the cheaper side of a pointwise op is tapped") {
  // Backward reads the product in fp16 only, through a conversion of fp32.
  Builder b;
  const ValueId x = b.input("x", fp32({2, 8}));
  const ValueId w = b.input("w", fp32({8, 8}));
  const ValueId half = b.cast(b.matmul(x, w, false, false, "product"), DataType::fp16, "half");
  b.output(b.reduce("reduce_sum_square", b.unary("sin", half), {0, 1}, false), "y");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  CHECK(derivative.taps == std::vector<std::string>{"half"});
}

TEST_CASE("what costs more to compute again than to keep is tapped") {
  // The gradient of x reads exp(sin(w)), which follows from w by two ops.
  Builder b;
  const ValueId x = b.input("x", fp32({8, 1}));
  const ValueId m = b.input("m", fp32({8, 8}));
  const ValueId w = b.matmul(m, b.input("n", fp32({8, 1})), false, false, "w");
  const ValueId factor = b.unary("exp", b.unary("sin", w), "factor");
  b.output(b.mul(x, factor), "y");
  b.output(b.mul(w, b.input("z", fp32({8, 1}))), "v");
  const Function function = std::move(b).finish();
  DifferentiateOptions options;
  options.with_respect_to = {"x", "z"};
  CHECK(differentiate(function, options).taps == std::vector<std::string>{"w"});
  // Beside w, which the gradient of z reads: 32 bytes kept against 4 * 32 read and written.
  options.tap_costs = {.tap = 3, .recomputed = 1};
  CHECK(differentiate(function, options).taps == std::vector<std::string>{"w", "factor"});
  options.tap_costs = {.tap = 5, .recomputed = 1};
  CHECK(differentiate(function, options).taps == std::vector<std::string>{"w"});
}

TEST_CASE("the slope of an activation behind a gate is the forward pass's work") {
  Builder b;
  const ValueId x = b.input("x", fp32({4, 8}));
  const ValueId gate = b.matmul(x, b.input("w", fp32({8, 8})), false, false);
  const ValueId up = b.matmul(x, b.input("u", fp32({8, 8})), false, false);
  b.output(b.mul(b.unary("silu", gate, "activated"), up), "y");
  const Function function = std::move(b).finish();
  DifferentiateOptions options;
  for (const std::string& tap : differentiate(function, options).taps)
    CHECK(function.find(tap) >= 0);
  options.tap_costs = {.tap = 5, .recomputed = 2};
  const Derivative derivative = differentiate(function, options);
  CHECK(derivative.taps.size() == 2); // the activation, and its slope times the other factor
  CHECK(derivative.taps.front() == "activated");
  CHECK(count_ops(derivative.backward, "mul") == 2);
  for (const char* op : {"silu", "sigmoid", "sub", "add"}) {
    CAPTURE(op);
    CHECK(count_ops(derivative.backward, op) == (op == std::string("add") ? 1 : 0)); // to x's
  }
  Random random(5);
  const TensorMap inputs = random_inputs(function, random, -1, 1, {});
  const TensorMap seeds = random_seeds(function, random);
  const TensorMap gradients = run_backward(derivative, inputs, seeds, Precision::f64);
  CHECK(worst_gradient_error(function, inputs, gradients, seeds) < 1e-6);
}

// The gradient of `down` reads what it multiplies transposed, that of `scale` reads the gate.
Function gated() {
  Builder b;
  const ValueId x = b.input("x", fp32({1, 6, 1, 5}));
  const ValueId up = b.linear(x, b.input("up", fp32({8, 6, 1, 1})), "product");
  const ValueId gate = b.unary("sin", up, "gate");
  const ValueId scaled = b.mul(gate, b.input("scale", fp32({1, 8, 1, 1})));
  b.output(b.linear(scaled, b.input("down", fp32({6, 8, 1, 1}))), "y");
  return std::move(b).finish();
}

int64_t flags(const Function& function) {
  int64_t count = 0;
  for (const Operation& op : function.ops)
    if (std::string_view(op.name()) == "matmul")
      for (const char* flag : {"transpose_x", "transpose_y"})
        count += function.constant(op, flag)->boolean();
  return count;
}

TEST_CASE("what gradients read transposed is tapped transposed where that is asked for") {
  const Function function = gated();
  DifferentiateOptions options;
  options.with_respect_to = {"down"};
  options.tap_costs = {.tap = 5, .recomputed = 2};
  const Derivative plain = differentiate(function, options);
  CHECK(plain.taps.size() == 1);
  CHECK(function.find(plain.taps.front()) != no_value);
  CHECK(flags(plain.backward) == 1);
  CHECK(count_ops(plain.forward, "transpose") + count_ops(plain.backward, "transpose") == 0);

  options.transposed_operands = {.least = 6, .most = 8};
  const Derivative asked = differentiate(function, options);
  CHECK(asked.taps.size() == 1);
  CHECK(flags(asked.backward) == 0);
  CHECK(count_ops(asked.forward, "transpose") == 1);
  CHECK(count_ops(asked.backward, "transpose") == 0);
  CHECK(asked.forward.type(asked.forward.find(asked.taps.front())).shape == Shape{1, 5, 8});
  Random random(5);
  const TensorMap inputs = random_inputs(function, random, -1, 1, {});
  const TensorMap seeds = random_seeds(function, random);
  check_same(run_backward(asked, inputs, seeds, Precision::f64),
             run_backward(plain, inputs, seeds, Precision::f64));

  for (const TransposedOperands limits : {TransposedOperands{7, 8}, TransposedOperands{1, 7}}) {
    options.transposed_operands = limits;
    CHECK(differentiate(function, options).taps == plain.taps);
  }
  options.transposed_operands = {.least = 6, .most = 8};
  options.taps = Taps::none;
  CHECK(differentiate(function, options).taps.empty());
  CHECK(count_ops(differentiate(function, options).backward, "transpose") == 1);
}

TEST_CASE("a transpose beside its matrix is tapped where that costs less than to make it") {
  // The gradient of `scale` reads the gate, that of `down` the gate times `scale`, transposed:
  // kept, or made of the gate by two ops that read and write as much four times.
  DifferentiateOptions options;
  options.with_respect_to = {"scale", "down"};
  options.transposed_operands = {.least = 6, .most = 8};
  const auto derive = [&](TapCosts costs) {
    options.tap_costs = costs;
    return differentiate(gated(), options);
  };
  const Derivative few = derive({.tap = 5, .recomputed = 1});
  CHECK(few.taps == std::vector<std::string>{"gate"});
  CHECK(count_ops(few.backward, "transpose") == 2); // the other one is of the weight
  const Derivative more = derive({.tap = 3, .recomputed = 1});
  CHECK(more.taps.size() == 2);
  CHECK(more.taps.front() == "gate");
  CHECK(count_ops(more.backward, "transpose") == 1);
  CHECK(count_ops(more.forward, "transpose") == 1);
}

TEST_CASE("the gradient of attention sums over values where they are fewer than keys") {
  constexpr int64_t keys = 6;
  for (const int64_t values : {keys - 1, keys}) {
    Builder b;
    const ValueId p = b.softmax(b.input("x", fp32({1, 2, 3, keys})), -1);
    const ValueId v = b.input("v", fp32({1, 2, values, keys}));
    b.output(b.matmul(v, p, false, true), "y");
    const Function backward = differentiate(std::move(b).finish(), {}).backward;
    CHECK(count_ops(backward, "transpose") == (values < keys ? 1 : 0));
    CHECK((backward.input("y") != no_value) == (values < keys));
  }
}

TEST_CASE("a difference of products has no negated gradient") {
  Builder b;
  const ValueId x = b.input("x", fp32({1, 4, 1, 3}));
  const ValueId cosines = b.input("cosines", fp32({1, 2, 1, 3}));
  const ValueId sines = b.input("sines", fp32({1, 2, 1, 3}));
  const ValueId first = b.slice_by_size(x, {0, 0, 0, 0}, {1, 2, 1, 3});
  const ValueId second = b.slice_by_size(x, {0, 2, 0, 0}, {1, 2, 1, 3});
  b.output(b.concat({b.sub(b.mul(first, cosines), b.mul(second, sines)),
                     b.add(b.mul(second, cosines), b.mul(first, sines))},
                    1),
           "y");
  const Function function = std::move(b).finish();
  DifferentiateOptions options;
  options.with_respect_to = {"x"};
  const Derivative derivative = differentiate(function, options);
  CHECK(count_ops(derivative.backward, "mul") == 4);
  Random random(5);
  const TensorMap inputs = random_inputs(function, random, -1, 1, {});
  const TensorMap seeds = random_seeds(function, random);
  const TensorMap gradients = run_backward(derivative, inputs, seeds, Precision::f64);
  CHECK(worst_gradient_error(function, inputs, gradients, seeds) <= 1e-6);
}

TEST_CASE("gradients of one 1x1 convolution are a convolution and one matmul") {
  Builder b;
  const ValueId x = b.input("x", fp32({1, 3, 1, 5}));
  const ValueId w = b.input("w", fp32({2, 3, 1, 1}));
  b.output(b.linear(x, w), "y");
  const Function backward = differentiate(std::move(b).finish(), {}).backward;
  CHECK(count_ops(backward, "conv") == 1);
  CHECK(count_ops(backward, "matmul") == 1);
  const auto matmul = std::find_if(backward.ops.begin(), backward.ops.end(), [](const auto& op) {
    return std::string_view(op.name()) == "matmul";
  });
  // dy [.., O, S] times x [.., I, S] transposed.
  CHECK(backward.type(matmul->input("x")).shape == Shape{1, 2, 5});
  CHECK(backward.type(matmul->input("y")).shape == Shape{1, 3, 5});
  CHECK_FALSE(backward.constant(*matmul, "transpose_x")->boolean());
  CHECK(backward.constant(*matmul, "transpose_y")->boolean());
  // d_w is a reshape of it, and nothing else happens to the weights.
  const ValueId dw = backward.output("d_w");
  const Operation& last = backward.ops[static_cast<size_t>(backward.value(dw).producer)];
  CHECK(std::string_view(last.name()) == "reshape");
  CHECK(last.input("x") == matmul->outputs.front());
  CHECK(count_ops(backward, "reduce_sum") == 0);
}

TEST_CASE("matmul gradients need no transpose and no batch of weight gradients") {
  for (const bool tx : {false, true}) {
    for (const bool ty : {false, true}) {
      Builder b;
      const ValueId x = b.input("x", fp32(tx ? Shape{2, 4, 3} : Shape{2, 3, 4}));
      const ValueId y = b.input("y", fp32(ty ? Shape{5, 4} : Shape{4, 5}));
      b.output(b.matmul(x, y, tx, ty), "z");
      const Function backward = differentiate(std::move(b).finish(), {}).backward;
      CHECK(count_ops(backward, "transpose") == 0);
      CHECK(count_ops(backward, "matmul") == 2);
      CHECK(count_ops(backward, "reduce_sum") == (tx ? 1 : 0));
    }
  }
}

TEST_CASE("gradients keep the type of their inputs and conversions convert") {
  Builder b;
  const ValueId x = b.input("x", {DataType::fp16, {4}, {}});
  const ValueId w = b.input("w", fp32({4}));
  b.output(b.mul(b.cast(b.unary("tanh", x), DataType::fp32), w), "y");
  const Function backward = differentiate(std::move(b).finish(), {}).backward;
  CHECK(backward.type(backward.output("d_x")).dtype == DataType::fp16);
  CHECK(backward.type(backward.output("d_w")).dtype == DataType::fp32);
  CHECK(backward.type(backward.input("d_y")).dtype == DataType::fp32);
}

TEST_CASE("an input that nothing depends on gets zeros, and shared gradients get two names") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  const ValueId y = b.input("y", fp32({2}));
  b.input("unused", fp32({3}));
  b.output(b.add(x, y), "z");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  const TensorMap inputs{{"x", make_tensor(fp32({2}))},
                         {"y", make_tensor(fp32({2}))},
                         {"unused", make_tensor(fp32({3}))}};
  const TensorMap gradients =
      run_backward(derivative, inputs, {{"d_z", {fp32({2}), {3, 4}}}}, Precision::f32);
  CHECK(gradients.at("d_x").values == std::vector<double>{3, 4});
  CHECK(gradients.at("d_y").values == std::vector<double>{3, 4});
  CHECK(gradients.at("d_unused").values == std::vector<double>{0, 0, 0});
}

TEST_CASE("a second derivative") {
  Builder b;
  const ValueId x = b.input("x", fp32({3}));
  b.output(b.reduce("reduce_sum", b.mul(b.mul(x, x), x), {0}, false), "y");
  Function first = value_and_gradient(std::move(b).finish(), {});
  DifferentiateOptions options;
  options.outputs = {"d_x"};
  // The second derivative would have the name of the first.
  CHECK_THROWS_AS(value_and_gradient(first, options), anet::Error);
  first.values[static_cast<size_t>(first.output("d_x"))].name = "slope";
  options.outputs = {"slope"};
  options.with_respect_to = {"x"};
  const Function second = value_and_gradient(first, options);
  const TensorMap results = interpret(second, {{"x", {fp32({3}), {1, -2, 0.5}}},
                                               {"d_y", {fp32({}), {1}}},
                                               {"d_slope", make_tensor(fp32({3}), 1)}});
  CHECK(results.at("slope").values == std::vector<double>{3, 12, 0.75});
  CHECK(results.at("d_x").values == std::vector<double>{6, -12, 3});
}

TEST_CASE("differentiation is deterministic") {
  const Derivative a = differentiate(block(), {});
  const Derivative b = differentiate(block(), {});
  CHECK(print(a.forward) == print(b.forward));
  CHECK(print(a.backward) == print(b.backward));
  CHECK(a.taps == b.taps);
}

TEST_CASE("wrong names and types are refused") {
  const Function function = perceptron();
  DifferentiateOptions unknown_input;
  unknown_input.with_respect_to = {"w9"};
  CHECK(status_of(function, unknown_input) == anet::Status::not_found);
  DifferentiateOptions integer_input;
  integer_input.with_respect_to = {"targets"};
  CHECK(status_of(function, integer_input) == anet::Status::type_mismatch);
  DifferentiateOptions unknown_output;
  unknown_output.outputs = {"lost"};
  CHECK(status_of(function, unknown_output) == anet::Status::not_found);
  CHECK(status_of(function, with_taps(Taps::listed, {"nowhere"})) == anet::Status::not_found);

  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  b.output(b.mul(x, b.input("d_x", fp32({2}))), "y");
  CHECK(status_of(std::move(b).finish(), {}) == anet::Status::invalid_program);
}

TEST_CASE("an inner value gives up the name of a gradient") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  b.output(b.unary("exp", b.unary("sin", x, "d_x")), "y");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  CHECK(derivative.backward.output("d_x") != no_value);
  CHECK(derivative.forward.find("d_x") == no_value);
}

TEST_CASE("a chain of thousands of ops is differentiated in reasonable time") {
  Builder b;
  ValueId x = b.input("x", fp32({4, 4}));
  const ValueId w = b.input("w", fp32({4, 4}));
  for (int i = 0; i < 1000; ++i) x = b.unary("tanh", b.add(b.matmul(x, w, false, false), x));
  b.output(x, "y");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  CHECK(count_ops(derivative.backward, "matmul") == 2 * 1000);
  CHECK(derivative.taps.size() == 1000);
}
