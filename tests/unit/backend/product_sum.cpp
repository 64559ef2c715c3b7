// Sums of matrix products in one step, against the reference interpreter.
#include "backend/cpu/library_product.h"
#include "support.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::ValueId;

namespace {

// y = (W1 x1 + W2 x2) + ..., or W1 x1 + (W2 x2 + ...); each W as it lies or transposed, through a
// few channels or many.
Function random_sum(Random& random, DataType dtype) {
  const int64_t out = random.integer(1, 70), positions = random.integer(1, 90);
  Builder b;
  std::vector<ValueId> terms;
  const int64_t count = random.integer(2, 5);
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = std::to_string(i);
    const int64_t in = random.coin() ? random.integer(1, 9) : random.integer(10, 500);
    const ValueId x = b.input("x" + name, {dtype, {1, in, 1, positions}, {}});
    const bool turned = random.coin();
    const ValueId w =
        b.input("w" + name, {dtype, turned ? Shape{in, out, 1, 1} : Shape{out, in, 1, 1}, {}});
    terms.push_back(b.linear(x, turned ? b.transpose(w, {1, 0, 2, 3}) : w));
  }
  ValueId sum = random.coin() ? terms.front() : terms.back();
  const bool from_front = sum == terms.front();
  for (size_t i = 1; i < terms.size(); ++i)
    sum = from_front ? b.add(sum, terms[i]) : b.add(terms[terms.size() - 1 - i], sum);
  b.output(sum, "y");
  return std::move(b).finish();
}

int64_t steps_of(const Function& function) {
  const auto device = open_device("cpu", {.threads = 1});
  return Runner(*device, function).kernel().statistics().op_count;
}

struct Made {
  Builder b;
  ValueId first, second, plain;

  explicit Made(DataType dtype = DataType::fp32) {
    const ValueId x = b.input("x", {dtype, {1, 20, 1, 30}, {}});
    first = b.linear(x, b.input("v", {dtype, {40, 20, 1, 1}, {}}));
    second = b.linear(x, b.input("w", {dtype, {40, 20, 1, 1}, {}}));
    plain = b.input("plain", {dtype, {1, 40, 1, 30}, {}});
  }
  Function finish(ValueId result) {
    b.output(result, "y");
    return std::move(b).finish();
  }
};

} // namespace

TEST_CASE("sums of products agree with the interpreter, and with any threads") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto three = open_device("cpu", {.threads = 3});
  Random random(61);
  for (int i = 0; i < 120; ++i) {
    const DataType dtype = i % 2 == 0 ? DataType::fp32 : DataType::bf16;
    const Function function = random_sum(random, dtype);
    CAPTURE(i);
    const TensorMap inputs = random_inputs(random, function);
    CompileOptions options;
    options.port_layouts = random_layouts(random, function);
    Runner a(*one, function, options), b(*three, function, options);
    CHECK(a.kernel().statistics().op_count == 1);
    // Up to 2500 products of numbers up to 2; the interpreter rounds each term and each sum to
    // bf16.
    check_close(a.run(inputs), mil::interpret(function, inputs),
                dtype == DataType::bf16 ? Tolerance{0x1.01p-5, 0.5} : Tolerance{1e-5, 2e-3},
                std::to_string(i));
    CHECK(a.gaps_are_untouched());
    b.run(inputs);
    CHECK(a.output_bytes() == b.output_bytes());
  }
}

TEST_CASE("a sum of products in bf16 is rounded once") {
  Builder b;
  const ValueId x = b.input("x", {DataType::bf16, {1, 1, 1, 16}, {}});
  const ValueId big = b.linear(x, b.input("big", {DataType::bf16, {1, 1, 1, 1}, {}}));
  const ValueId small = b.linear(x, b.input("small", {DataType::bf16, {1, 1, 1, 1}, {}}));
  b.output(
      b.add(b.add(big, small), b.linear(x, b.input("minus", {DataType::bf16, {1, 1, 1, 1}, {}}))),
      "y");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  TensorMap inputs;
  for (const ValueId id : function.inputs) {
    const std::string& name = function.value(id).name;
    const double value = name == "x" ? 1 : name == "big" ? 256 : name == "small" ? 0.5 : -256;
    inputs[name] = mil::make_tensor(function.type(id), value);
  }
  const TensorMap seen = Runner(*device, function).run(inputs);
  for (const double value : seen.at("y").values) CHECK(value == 0.5);
}

TEST_CASE("which sums are of products") {
  const auto steps = [](auto&& make, DataType dtype = DataType::fp32) {
    Made m(dtype);
    const ValueId result = make(m);
    return steps_of(m.finish(result));
  };
  CHECK(steps([](Made& m) { return m.b.add(m.first, m.second); }) == 1);
  // What else is added comes after them.
  CHECK(steps([](Made& m) { return m.b.add(m.plain, m.b.add(m.first, m.second)); }) == 2);
  CHECK(steps([](Made& m) { return m.b.add(m.b.add(m.plain, m.first), m.second); }) == 3);
  CHECK(steps([](Made& m) { return m.b.add(m.first, m.first); }) == 2);
  // Programs in fp16 round each term, as the engine does.
  CHECK(steps([](Made& m) { return m.b.add(m.first, m.second); }, DataType::fp16) > 1);
  // A term that is read by others.
  CHECK(steps([](Made& m) {
          m.b.output(m.first, "first");
          return m.b.add(m.first, m.second);
        }) == 3);
}

TEST_CASE("a run of a sum of products allocates nothing") {
  const auto device = open_device("cpu", {.threads = 2});
  // A library that multiplies bf16 allocates a little itself.
  Made m(cpu::why_no_bf16_products().empty() ? DataType::fp32 : DataType::bf16);
  const Function function = m.finish(m.b.add(m.first, m.second));
  Random random(62);
  Runner runner(*device, function);
  runner.run(random_inputs(random, function));
  const int64_t allocations = allocation_count();
  runner.kernel().run(runner.inputs(), runner.outputs());
  CHECK(allocation_count() == allocations);
}
