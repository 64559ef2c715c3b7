// Ops that are computed together: the bits are those of the ops one by one, and the number of
// steps says that it happens.
#include "support.h"

#include "mil/differentiate.h"
#include "mil/passes.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;
using mil::Precision;
using mil::ValueId;

namespace {

// A function of the op alone, whose inputs are what it reads.
Function function_of_op(const Function& whole, const mil::Operation& op) {
  Function single;
  std::map<ValueId, ValueId> ids;
  const auto add_value = [&](ValueId id, int32_t producer) {
    single.values.push_back(whole.value(id));
    single.values.back().producer = producer;
    return ids[id] = static_cast<ValueId>(single.values.size() - 1);
  };
  mil::Operation copy = op;
  for (mil::Argument& argument : copy.arguments)
    for (ValueId& id : argument.values) {
      if (!ids.contains(id)) {
        const int32_t producer = whole.value(id).producer;
        if (whole.constant(id) == nullptr) {
          single.inputs.push_back(add_value(id, -1));
        } else {
          mil::Operation constant = whole.ops[static_cast<size_t>(producer)];
          constant.outputs = {add_value(id, static_cast<int32_t>(single.ops.size()))};
          single.ops.push_back(std::move(constant));
        }
      }
      id = ids.at(id);
    }
  for (ValueId& id : copy.outputs) {
    id = add_value(id, static_cast<int32_t>(single.ops.size()));
    single.outputs.push_back(id);
  }
  single.ops.push_back(std::move(copy));
  return single;
}

// Runs one kernel an op.
TensorMap run_one_by_one(Device& device, const Function& given, TensorMap values) {
  const Function function = mil::optimize(given);
  for (const mil::Operation& op : function.ops) {
    if (std::string_view(op.name()) == "const") continue;
    const Function single = function_of_op(function, op);
    for (auto& [name, tensor] : Runner(device, single).run(values)) values[name] = tensor;
  }
  TensorMap results;
  for (const ValueId id : function.outputs)
    results[function.value(id).name] = values.at(function.value(id).name);
  return results;
}

// The fused kernel has the bits of the single ops, for any threads and layouts.
void check_bits(Random& random, const Function& function, const std::string& what) {
  const TensorMap inputs = random_inputs(random, function);
  const auto device = open_device("cpu", {.threads = 1});
  const TensorMap expected = run_one_by_one(*device, function, inputs);
  for (const int threads : {1, 3}) {
    const auto other = open_device("cpu", {.threads = threads});
    CompileOptions options;
    options.port_layouts = random_layouts(random, function);
    Runner runner(*other, function, options);
    check_close(runner.run(inputs), expected, {}, what);
    CHECK(runner.gaps_are_untouched());
  }
}

// x * rsqrt(mean(x^2) + epsilon) * weight along an axis.
ValueId rms_norm(Builder& b, ValueId x, ValueId weight, int64_t axis) {
  const ValueId mean = b.reduce("reduce_mean", b.mul(x, x), {axis}, true);
  return b.mul(b.mul(x, b.rsqrt(mean, 1e-3)), weight);
}

Function norm_function(DataType dtype, int64_t channels, int64_t positions, int64_t axis) {
  Builder b;
  const ValueId x = b.input("x", {dtype, {1, channels, 1, positions}, {}});
  const ValueId y = b.input("y", {dtype, {1, channels, 1, positions}, {}});
  Shape shape = {1, 1, 1, 1};
  shape[static_cast<size_t>(axis)] = axis == 1 ? channels : positions;
  const ValueId weight = b.input("weight", {dtype, shape, {}});
  const ValueId sum = b.add(x, y);
  b.output(sum, "residual");
  b.output(rms_norm(b, sum, weight, axis), "normed");
  return std::move(b).finish();
}

// (x1 cos - x2 sin, x2 cos + x1 sin) of a scaled x.
Function rope_function(DataType dtype, int64_t heads, int64_t half, int64_t positions) {
  Builder b;
  const ValueId x = b.input("x", {dtype, {heads, 2 * half, 1, positions}, {}});
  const ValueId cosines = b.input("cos", {dtype, {1, half, 1, positions}, {}});
  const ValueId sines = b.input("sin", {dtype, {1, half, 1, positions}, {}});
  const std::vector<int64_t> size = {heads, half, 1, positions};
  const ValueId x1 = b.slice_by_size(x, {0, 0, 0, 0}, size);
  const ValueId x2 = b.slice_by_size(x, {0, half, 0, 0}, size);
  const ValueId first = b.sub(b.mul(x1, cosines), b.mul(x2, sines));
  const ValueId second = b.add(b.mul(x2, cosines), b.mul(x1, sines));
  b.output(b.mul(b.concat({first, second}, 1), 0.125), "y");
  return std::move(b).finish();
}

Function gate_function(DataType dtype, int64_t channels, int64_t positions) {
  Builder b;
  const Type type = {dtype, {1, channels, 1, positions}, {}};
  const ValueId gate = b.input("gate", type), up = b.input("up", type);
  const ValueId mask = b.input("mask", type);
  const ValueId bias = b.input("bias", {dtype, {1, channels, 1, 1}, {}});
  b.output(b.mul(b.mul(b.unary("silu", b.add(gate, bias)), up), mask), "y");
  return std::move(b).finish();
}

int32_t steps_of(const Function& function) {
  const auto device = open_device("cpu", {.threads = 1});
  return device->compile(function, {})->statistics().op_count;
}

// A program of ops that may be fused and of some that may not, with several outputs.
Function random_chain(Random& random) {
  Builder b;
  const int64_t rows = 2 * random.integer(1, 20), columns = random.extent();
  const Shape shape = {random.integer(1, 3), rows, 1, columns};
  const Shape half = {shape[0], rows / 2, 1, columns};
  const auto input = [&](const char* name, Shape extents) {
    return b.input(name, {DataType::fp32, std::move(extents), {}});
  };
  std::vector<ValueId> values = {input("a", shape), input("b", shape)};
  const std::vector<ValueId> broadcast = {
      input("row", {1, rows, 1, 1}), input("column", {1, 1, 1, columns}),
      input("one", {1, 1, 1, 1}), input("batch", {shape[0], 1, 1, columns})};
  const auto pick = [&](const std::vector<ValueId>& from) {
    return from[static_cast<size_t>(random.integer(0, std::ssize(from) - 1))];
  };
  for (int i = 0; i < 24; ++i) {
    const ValueId x = pick(values), y = pick(values);
    switch (random.integer(0, 9)) {
    case 0:
      values.push_back(b.add(x, y));
      break;
    case 1:
      values.push_back(b.sub(x, pick(broadcast)));
      break;
    case 2:
      values.push_back(b.mul(pick(broadcast), x));
      break;
    case 3:
      values.push_back(b.unary("tanh", b.mul(x, y)));
      break;
    case 4:
      values.push_back(b.add(
          "select", {{"cond", b.binary("greater", x, y)}, {"a", b.unary("sigmoid", y)}, {"b", x}}));
      break;
    case 5: {
      const int64_t axis = random.coin() ? 1 : 3;
      const char* op = random.coin() ? "reduce_mean" : "reduce_max";
      values.push_back(b.mul(y, b.unary("tanh", b.reduce(op, x, {axis}, true))));
      break;
    }
    case 6: {
      const ValueId low = b.slice_by_size(x, {0, 0, 0, 0}, half);
      const ValueId high = b.slice_by_size(y, {0, rows / 2, 0, 0}, half);
      values.push_back(b.concat({b.mul(high, low), b.sub(low, high)}, 1));
      break;
    }
    case 7: {
      const ValueId turned = b.unary("tanh", b.transpose(x, {0, 3, 2, 1}));
      values.push_back(b.transpose(turned, {0, 3, 2, 1}));
      break;
    }
    case 8: {
      const ValueId low = b.slice_by_size(x, {0, 0, 0, 0}, half);
      values.push_back(b.add("pad", {{"x", b.mul(low, low)},
                                     {"pad", b.constant(Literal::int32s(std::vector<int64_t>{
                                                 0, 0, rows / 2, 0, 0, 0, 0, 0}))},
                                     {"mode", b.constant(Literal::string("constant"))},
                                     {"constant_val", b.scalar(DataType::fp32, 0.5)}}));
      break;
    }
    default:
      // Not fused, and summed in one order whatever the layout is.
      values.push_back(b.add("cumsum", {{"x", x}, {"axis", b.constant(Literal::int32(1))}}));
      break;
    }
  }
  for (int i = 0; i < 3; ++i)
    b.output(values[values.size() - 1 - static_cast<size_t>(i) * 4], "out" + std::to_string(i));
  return std::move(b).finish();
}

constexpr std::pair<int64_t, int64_t> odd_sizes[] = {{1, 1},   {2, 1},    {7, 5},    {40, 33},
                                                     {300, 1}, {129, 70}, {64, 300}, {3, 2600}};

} // namespace

TEST_CASE("ops that read one tensor are one step") {
  const auto function_over = [](bool wait) {
    Builder b;
    const ValueId x = b.input("x", {DataType::fp32, {1, 40, 1, 33}, {}});
    const ValueId y = b.input("y", {DataType::fp32, {1, 40, 1, 33}, {}});
    const ValueId gated = b.mul(b.unary("silu", x), y);
    b.output(gated, "gated");
    // Here one of them waits for a product with what the other makes.
    const ValueId z =
        wait ? b.linear(gated, b.input("w", {DataType::fp32, {40, 40, 1, 1}, {}})) : y;
    b.output(b.mul(b.unary("exp", x), z), "other");
    return std::move(b).finish();
  };
  CHECK(steps_of(function_over(false)) == 1);
  CHECK(steps_of(function_over(true)) == 3);
  Random random(45);
  check_bits(random, function_over(false), "two results of one tensor");
}

TEST_CASE("chains of ops are one step") {
  CHECK(steps_of(norm_function(DataType::fp32, 64, 48, 1)) == 1);
  CHECK(steps_of(norm_function(DataType::bf16, 64, 48, 1)) == 1);
  CHECK(steps_of(norm_function(DataType::fp32, 64, 48, 3)) == 1);
  CHECK(steps_of(rope_function(DataType::fp32, 3, 8, 17)) == 1);
  CHECK(steps_of(gate_function(DataType::fp32, 24, 17)) == 1);
  // fp16 rounds and watches for overflow after each op.
  CHECK(steps_of(gate_function(DataType::fp16, 24, 17)) == 4);
}

TEST_CASE("a fused chain has the bits of its ops one by one") {
  Random random(1);
  for (const auto& [channels, positions] : odd_sizes) {
    const std::string size = std::to_string(channels) + "x" + std::to_string(positions);
    for (const int64_t axis : {1, 3})
      check_bits(random, norm_function(DataType::fp32, channels, positions, axis), "norm " + size);
    check_bits(random, rope_function(DataType::fp32, 3, channels, positions), "rope " + size);
    check_bits(random, gate_function(DataType::fp32, channels, positions), "gate " + size);
  }
}

TEST_CASE("random programs have the bits of their ops one by one") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    check_bits(random, random_chain(random), "seed " + std::to_string(seed));
  }
}

TEST_CASE("fused chains and their gradients agree with the interpreter") {
  const auto device = open_device("cpu", {.threads = 2});
  Random random(2);
  for (const auto& [dtype, tolerance] :
       {std::pair<DataType, Tolerance>{DataType::fp32, {2e-5, 2e-5}},
        {DataType::bf16, {0.02, 0.03}}})
    for (const auto& [channels, positions] : {std::pair<int64_t, int64_t>{7, 5}, {40, 33}, {1, 9}})
      for (const Function& function : {norm_function(dtype, channels, positions, 1),
                                       norm_function(dtype, channels, positions, 3),
                                       rope_function(dtype, 2, channels, positions),
                                       gate_function(dtype, channels, positions)}) {
        const Function both = mil::value_and_gradient(function, {});
        const TensorMap inputs = random_inputs(random, both);
        check_close(Runner(*device, both).run(inputs), mil::interpret(both, inputs, Precision::f64),
                    tolerance, function.value(function.outputs.front()).name);
      }
}
