// Passes keep the meaning of a function and remove what they promise to.
#include "gradient_check.h"

#include "base/status.h"
#include "mil/compressed_weight.h"
#include "mil/passes.h"
#include "mil/text.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace {

using namespace anet::mil;
using namespace anet::mil::test;

int64_t count_ops(const Function& function, std::string_view name) {
  return std::count_if(function.ops.begin(), function.ops.end(),
                       [&](const Operation& op) { return name == op.name(); });
}

// Ops that compute something.
int64_t count_computed(const Function& function) {
  return static_cast<int64_t>(function.ops.size()) - count_ops(function, "const");
}

std::vector<std::string> output_names(const Function& function) {
  std::vector<std::string> names;
  for (ValueId id : function.outputs) names.push_back(function.value(id).name);
  return names;
}

// A function of 4x4 matrices that is full of what the passes look for: repeated ops, dead ops,
// constants, neutral operands, views of views, transposes.
Function random_function(uint64_t seed) {
  Random random(seed);
  Builder b;
  std::vector<ValueId> values{b.input("x", fp32({4, 4})), b.input("y", fp32({4, 4}))};
  values.push_back(b.constant(Literal::fill(fp32({4, 4}), 1)));
  values.push_back(b.constant(Literal::fill(fp32({4, 4}), 0)));
  const auto pick = [&] { return values[static_cast<size_t>(random.uniform() * values.size())]; };
  for (int i = 0; i < 60; ++i) {
    const ValueId x = pick();
    const ValueId y = pick();
    const ValueId row = b.reduce("reduce_mean", x, {1}, true);
    const ValueId made[] = {
        b.add(x, y),
        b.mul(x, y),
        b.sub(x, y),
        b.unary("tanh", x),
        b.transpose(x, {1, 0}),
        b.transpose(x, {0, -1}),
        b.reshape(b.reshape(x, {2, 8}), {4, 4}),
        b.reshape(b.reshape(x, {16}), {2, 8}),
        b.matmul(b.transpose(x, {1, 0}), y, i % 2 == 0, false),
        b.mul(x, 1.0),
        b.add(x, 0.0),
        b.unary("identity", x),
        b.cast(b.cast(b.unary("tanh", x), DataType::fp16), DataType::fp32),
        b.mul(b.add("tile", {{"x", row},
                             {"reps", b.constant(Literal::int32s(std::vector<int64_t>{1, 4}))}}),
              y),
        b.slice_by_size(x, {0, 0}, {4, 4}),
        b.concat({b.unary("sin", x)}, 0)};
    const ValueId value = made[static_cast<size_t>(random.uniform() * std::size(made))];
    values.push_back(b.unary("tanh", b.reshape(value, {4, 4})));
  }
  b.output(values.back(), "a");
  b.output(pick(), "b");
  b.output(pick(), "c");
  return std::move(b).finish();
}

void check_same_meaning(const Function& before, const Function& after, const TensorMap& inputs) {
  CHECK(output_names(before) == output_names(after));
  const TensorMap expected = interpret(before, inputs);
  const TensorMap actual = interpret(after, inputs);
  for (const auto& [name, tensor] : expected) CHECK(actual.at(name).values == tensor.values);
}

using Pass = Function (*)(const Function&);

Function fold(const Function& function) { return fold_constants(function); }

} // namespace

TEST_CASE("passes keep the meaning of random functions") {
  const Pass passes[] = {eliminate_dead_code, eliminate_common_subexpressions, fold, simplify,
                         optimize};
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    const Function function = random_function(seed);
    Random random(seed + 100);
    const TensorMap inputs = random_inputs(function, random, -1, 1, {});
    for (Pass pass : passes) check_same_meaning(function, pass(function), inputs);
    const Function once = optimize(function);
    CHECK(count_computed(once) < count_computed(function));
    CHECK(print(optimize(once)) == print(once)); // nothing is left to do
  }
}

TEST_CASE("dead code goes, inputs stay") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  b.input("unused", fp32({2}));
  b.unary("exp", b.unary("sin", x));
  b.output(b.unary("cos", x), "y");
  const Function result = eliminate_dead_code(std::move(b).finish());
  CHECK(result.ops.size() == 1);
  CHECK(result.inputs.size() == 2);
}

TEST_CASE("equal ops become one, also when their operands only become equal") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  const ValueId y = b.input("y", fp32({2}));
  const ValueId first = b.unary("exp", b.add(x, y));
  const ValueId second = b.unary("exp", b.add(y, x));
  b.output(b.mul(first, second), "z");
  b.output(b.unary("sin", first), "s");
  b.output(b.unary("sin", second), "t");
  const Function result = eliminate_common_subexpressions(std::move(b).finish());
  CHECK(count_ops(result, "add") == 1);
  CHECK(count_ops(result, "exp") == 1);
  CHECK(count_ops(result, "sin") == 1);
  CHECK(output_names(result) == std::vector<std::string>{"z", "s", "t"});
}

TEST_CASE("ops that differ in a constant or an order stay apart") {
  Builder b;
  const ValueId x = b.input("x", fp32({2, 2}));
  const ValueId y = b.input("y", fp32({2, 2}));
  b.output(b.sub(x, y), "a");
  b.output(b.sub(y, x), "b");
  b.output(b.softmax(x, 0), "c");
  b.output(b.softmax(x, 1), "d");
  const Function result = eliminate_common_subexpressions(std::move(b).finish());
  CHECK(count_ops(result, "sub") == 2);
  CHECK(count_ops(result, "softmax") == 2);
}

TEST_CASE("large constants that differ in the middle stay apart") {
  std::vector<double> ramp(1000, 3);
  Builder b;
  const ValueId x = b.input("x", fp32({1000}));
  const ValueId first = b.constant(Literal::numbers(fp32({1000}), ramp));
  ramp[500] = 4;
  const ValueId second = b.constant(Literal::numbers(fp32({1000}), ramp));
  b.output(b.add(b.mul(x, first), b.mul(x, second)), "y");
  const Function result = optimize(std::move(b).finish());
  CHECK(count_ops(result, "mul") == 2);
  const TensorMap outputs = interpret(result, {{"x", make_tensor(fp32({1000}), 1)}});
  CHECK(outputs.at("y").values[0] == 6);
  CHECK(outputs.at("y").values[500] == 7);
}

TEST_CASE("constants fold up to the limit, and compressed ones do not") {
  Builder b;
  const ValueId x = b.input("x", fp32({4}));
  const ValueId c = b.constant(Literal::fill(fp32({4}), 3));
  b.output(b.mul(x, b.unary("square", b.add(c, 1.0))), "y");
  const Function function = std::move(b).finish();
  const Function folded = eliminate_dead_code(fold_constants(function));
  CHECK(count_computed(folded) == 1);
  CHECK(interpret(folded, {{"x", make_tensor(fp32({4}), 2)}}).at("y").values[0] == 32);
  CHECK(count_computed(fold_constants(function, 3)) == 3);

  Builder compressed;
  const ValueId weight = compressed.add(
      "constexpr_cast",
      {{"source_val", compressed.constant(Literal::fill({DataType::fp16, {4}, {}}, 2))},
       {"output_dtype", compressed.constant(Literal::string("fp32"))}});
  compressed.output(compressed.mul(compressed.input("x", fp32({4})), weight), "y");
  CHECK(count_ops(optimize(std::move(compressed).finish()), "constexpr_cast") == 1);
}

TEST_CASE("algebra is simplified") {
  Builder b;
  const ValueId x = b.input("x", fp32({2, 3, 4}));
  const ValueId y = b.input("y", fp32({2, 3, 4}));
  const ValueId plain = b.add(b.mul(b.unary("identity", x), 1.0), 0.0);
  const ValueId viewed = b.reshape(b.reshape(b.reshape(plain, {6, 4}), {24}), {2, 3, 4});
  const ValueId turned = b.transpose(b.transpose(viewed, {2, 0, 1}), {1, 2, 0});
  b.output(b.mul(turned, y), "a");
  b.output(b.matmul(b.transpose(x, {0, 2, 1}), y, false, false), "b");
  b.output(b.transpose(b.transpose(x, {2, 0, 1}), {2, 0, 1}), "c");
  const Function function = std::move(b).finish();
  const Function result = optimize(function);
  CHECK(count_computed(result) == 3); // mul, matmul, transpose
  CHECK(count_ops(result, "transpose") == 1);
  Random random(1);
  check_same_meaning(function, result, random_inputs(function, random, -1, 1, {}));
}

TEST_CASE("what looks neutral but changes the type stays") {
  Builder b;
  const ValueId x = b.input("x", fp32({3}));
  const ValueId ones = b.constant(Literal::fill(fp32({2, 3}), 1));
  b.output(b.mul(x, ones), "broadcast");
  b.output(b.cast(b.cast(x, DataType::fp16), DataType::fp32), "rounded");
  const Function result = optimize(std::move(b).finish());
  CHECK(count_ops(result, "mul") == 1);
  CHECK(count_ops(result, "cast") == 2);
}

TEST_CASE("outputs keep their names when they are one value, an input or a constant") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  b.output(b.mul(x, 1.0), "same");
  b.output(b.unary("exp", x), "first");
  b.output(b.unary("exp", x), "second");
  b.output(b.unary("exp", b.constant(Literal::fill(fp32({2}), 0))), "ones");
  const Function result = optimize(std::move(b).finish());
  CHECK(output_names(result) == std::vector<std::string>{"same", "first", "second", "ones"});
  CHECK(count_ops(result, "exp") == 1);
  const TensorMap outputs = interpret(result, {{"x", make_tensor(fp32({2}), 1)}});
  CHECK(outputs.at("same").values[0] == 1);
  CHECK(outputs.at("first").values == outputs.at("second").values);
  CHECK(outputs.at("ones").values[1] == 1);
  CHECK(print(parse(print(Program{"1.3", {}, {result}, {}}))) ==
        print(Program{"1.3", {}, {result}, {}}));
}

TEST_CASE("bound inputs become constants") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  const ValueId w = b.input("w", fp32({2}));
  b.output(b.mul(x, b.add(w, 1.0)), "y");
  const Function function = std::move(b).finish();
  const Function bound = bind_constants(function, {{"w", Literal::fill(fp32({2}), 4)}});
  CHECK(bound.inputs.size() == 1);
  CHECK(interpret(bound, {{"x", make_tensor(fp32({2}), 3)}}).at("y").values[0] == 15);
  CHECK(count_computed(optimize(bound)) == 1);
  CHECK_THROWS_AS(bind_constants(function, {{"v", Literal::fill(fp32({2}), 4)}}), anet::Error);
  CHECK_THROWS_AS(bind_constants(function, {{"w", Literal::fill(fp32({3}), 4)}}), anet::Error);
}

TEST_CASE("thousands of ops take well under a second") {
  Builder b;
  ValueId x = b.input("x", fp32({2}));
  for (int i = 0; i < 5000; ++i) {
    x = b.add(b.unary("tanh", x), b.reshape(b.reshape(x, {2, 1}), {2}));
  }
  b.output(x, "y");
  CHECK(count_computed(optimize(std::move(b).finish())) == 2 * 5000);
}

TEST_CASE("a matrix that is read transposed becomes an input of its own") {
  Builder b;
  const ValueId x = b.input("x", fp32({1, 3, 1, 5}));
  const ValueId v = b.input("v", fp32({4, 3, 1, 1}));
  const ValueId w = b.input("w", fp32({3, 4, 1, 1}));
  const ValueId other = b.input("other", fp32({3, 4, 1, 1}));
  const ValueId y = b.linear(b.linear(x, v), w);
  b.output(b.linear(y, b.transpose(w, {1, 0, 2, -1})));
  b.output(b.linear(y, b.transpose(other, {1, 0, 2, 3})));
  b.output(b.mul(b.linear(y, b.transpose(other, {1, 0, 2, 3})), 2.0));
  const Function function = std::move(b).finish();

  const std::vector<std::string> names = {"v", "w", "other"};
  const Function changed = transposed_inputs(function, names, "_transposed");
  std::vector<std::string> inputs;
  for (const ValueId id : changed.inputs) inputs.push_back(changed.value(id).name);
  CHECK(inputs == std::vector<std::string>{"x", "v", "w", "w_transposed", "other_transposed"});
  CHECK(changed.type(changed.input("w_transposed")).shape == Shape{4, 3, 1, 1});
  CHECK(count_ops(changed, "transpose") == 0);
  CHECK(output_names(changed) == output_names(function));

  Random random(5);
  TensorMap given;
  for (const ValueId id : function.inputs)
    given[function.value(id).name] = random_tensor(random, function.type(id), -1, 1);
  TensorMap turned = given;
  for (const char* name : {"w", "other"}) {
    Tensor& matrix = turned[std::string(name) + "_transposed"];
    matrix = make_tensor(fp32({4, 3, 1, 1}));
    for (size_t i = 0; i < 3; ++i)
      for (size_t j = 0; j < 4; ++j) matrix.values[j * 3 + i] = given.at(name).values[i * 4 + j];
  }
  turned.erase("other");
  const TensorMap expected = interpret(function, given, Precision::f64);
  for (const auto& [name, tensor] : interpret(changed, turned, Precision::f64))
    CHECK(tensor.values == expected.at(name).values);
  // What is not named stays.
  CHECK(transposed_inputs(function, {}, "_transposed").inputs.size() == 4);
}

TEST_CASE("a matrix and the factor of a sum become one input") {
  Builder b;
  const ValueId x = b.input("x", fp32({1, 4, 1, 5}));
  const auto matrix = [&](const char* name, int64_t rows, int64_t columns) {
    return b.input(name, fp32({rows, columns, 1, 1}));
  };
  const auto turned = [&](ValueId value) { return b.transpose(value, {1, 0, 2, 3}); };
  const ValueId q = matrix("q", 6, 4), k = matrix("k", 3, 4), q_a = matrix("q_a", 2, 4),
                k_a = matrix("k_a", 1, 4), q_b = matrix("q_b", 6, 2), k_b = matrix("k_b", 3, 1),
                narrow = matrix("narrow", 1, 4), narrow_b = matrix("narrow_b", 1, 2),
                back = matrix("back", 6, 8), back_a = matrix("back_a", 2, 8),
                other = matrix("other", 6, 4);
  const ValueId q_low = b.linear(x, q_a);
  const ValueId y = b.unary("tanh", b.add(b.linear(x, q), b.linear(q_low, q_b)));
  // What is joined to x comes after the first sum.
  const ValueId k_low = b.mul(b.linear(x, k_a), 0.5);
  b.output(b.add(b.linear(k_low, k_b), b.linear(x, k)), "key");
  // Transposed, of another x.
  b.output(b.add(b.linear(y, turned(back)), b.linear(q_low, turned(back_a))), "wide");
  // One row is not worth a copy of four, and not every sum is of a matrix that was named.
  b.output(b.add(b.linear(b.unary("abs", x), narrow), b.linear(q_low, narrow_b)));
  b.output(b.add(b.linear(x, other), b.linear(q_low, q_b)));
  const Function function = std::move(b).finish();

  const std::vector<std::string> names = {"q", "k", "narrow", "back"};
  const auto [joined, inputs] = joined_inputs(function, names);
  using Input = JoinedInput;
  const std::vector<Input> expected = {
      {"k_joined", "k", false, "k_b", false, 4, 1},
      {"q_joined", "q", false, "q_b", false, 5, 2},
      {"back_transposed_joined", "back", true, "back_a", true, 6, 2}};
  CHECK(inputs == expected);
  CHECK(joined.input("k") == no_value);
  CHECK(joined.input("k_b") == no_value);
  CHECK(joined.input("q_b") != no_value); // read by the sum that stays
  CHECK(joined.type(joined.input("q_joined")).shape == Shape{6, 7, 1, 1});
  CHECK(count_ops(joined, "concat") == 2);
  CHECK(count_ops(joined, "add") == 2);
  CHECK(output_names(joined) == output_names(function));

  Random random(6);
  TensorMap given;
  for (const ValueId id : function.inputs)
    given[function.value(id).name] = random_tensor(random, function.type(id), -1, 1);
  TensorMap side_by_side;
  for (const ValueId id : joined.inputs)
    if (const auto found = given.find(joined.value(id).name); found != given.end())
      side_by_side.insert(*found);
  for (const JoinedInput& input : inputs) {
    Tensor& whole = side_by_side[input.name] = make_tensor(joined.type(joined.input(input.name)));
    const auto rows = static_cast<size_t>(whole.type.shape[0]),
               columns = static_cast<size_t>(whole.type.shape[1]);
    const auto place = [&](const std::string& name, bool transposed, size_t column) {
      const std::vector<double>& values = given.at(name).values;
      const size_t width = values.size() / rows;
      for (size_t i = 0; i < rows; ++i)
        for (size_t j = 0; j < width; ++j)
          whole.values[i * columns + column + j] =
              values[transposed ? j * rows + i : i * width + j];
    };
    place(input.matrix, input.matrix_transposed, 0);
    place(input.factor, input.factor_transposed, static_cast<size_t>(input.factor_column));
  }
  const TensorMap wanted = interpret(function, given, Precision::f64);
  for (const auto& [name, tensor] : interpret(joined, side_by_side, Precision::f64))
    for (size_t i = 0; i < tensor.values.size(); ++i)
      CHECK(tensor.values[i] == doctest::Approx(wanted.at(name).values[i]).epsilon(1e-12));
  CHECK(joined_inputs(function, {}).inputs.empty());
}
