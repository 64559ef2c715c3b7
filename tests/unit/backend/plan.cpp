// Kernels as a whole: accumulation, views, memory, determinism.
#include "support.h"

#include "backend/cpu/memory_plan.h"
#include "base/float16.h"
#include "mil/differentiate.h"

#include <cmath>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;
using mil::ValueId;

namespace {

// What a Llama block is made of, small: norm, projections, attention with heads, gated MLP, and a
// loss over a vocabulary.
Function block_function(DataType dtype) {
  const int64_t D = 24, F = 40, H = 3, S = 17, V = 33;
  Builder b;
  const auto type = [&](Shape shape) { return Type{dtype, std::move(shape), {}}; };
  const ValueId ids = b.input("ids", {DataType::int32, {S}, {}});
  const ValueId labels = b.input("labels", {DataType::int32, {1, 1, 1, S}, {}});
  const ValueId table = b.input("table", type({V, D}));
  const ValueId gain = b.input("gain", type({1, D, 1, 1}));
  const auto weight = [&](const char* name, int64_t out, int64_t in) {
    return b.input(name, type({out, in, 1, 1}));
  };
  const ValueId wq = weight("wq", D, D), wk = weight("wk", D, D), wv = weight("wv", D, D);
  const ValueId w1 = weight("w1", F, D), w2 = weight("w2", D, F), w3 = weight("w3", F, D);
  const ValueId rows = b.gather(table, ids, 0); // [S, D]
  const ValueId x = b.reshape(b.transpose(rows, {1, 0}), {1, D, 1, S});
  const ValueId mean = b.reduce("reduce_mean", b.mul(x, x), {1}, true);
  const ValueId h = b.mul(b.mul(x, b.rsqrt(mean, 1e-3)), gain);
  const auto heads = [&](ValueId w) { return b.reshape(b.linear(h, w), {1, H, D / H, S}); };
  const ValueId scores = b.mul(b.matmul(heads(wq), heads(wk), true, false), 0.25);
  const ValueId mixed = b.matmul(heads(wv), b.softmax(scores, -1), false, true);
  const ValueId y = b.add(x, b.reshape(mixed, {1, D, 1, S}));
  const ValueId gated = b.mul(b.unary("silu", b.linear(y, w1)), b.linear(y, w3));
  const ValueId z = b.add(y, b.linear(gated, w2));
  const ValueId logits = b.linear(z, b.reshape(table, {V, D, 1, 1}));
  const ValueId total = b.reduce("reduce_log_sum_exp", logits, {1}, true);
  const ValueId picked = b.gather_along_axis(logits, labels, 1);
  b.output(b.reduce("reduce_mean", b.sub(total, picked), {0, 1, 2, 3}, false), "loss");
  return std::move(b).finish();
}

// At a range of 2 the logits pass 65504, so that no fp16 gradient means anything.
TensorMap block_inputs(uint64_t seed, const Function& function, double range = 1) {
  Random random(seed);
  std::map<std::string, Range> ranges;
  for (const mil::ValueId id : function.inputs) ranges[function.value(id).name] = {-range, range};
  ranges["ids"] = ranges["labels"] = {0, 32};
  return random_inputs(random, function, ranges);
}

// A random program of element-wise ops, products, reductions and views, with several outputs.
Function random_program(Random& random) {
  Builder b;
  std::vector<ValueId> values;
  for (const char* name : {"a", "b", "c"}) {
    values.push_back(b.input(name, {DataType::fp32, {1, 6, 1, 10}, {}}));
  }
  const auto pick = [&] {
    return values[static_cast<size_t>(random.integer(0, std::ssize(values) - 1))];
  };
  for (int i = 0; i < 40; ++i) {
    const ValueId x = pick(), y = pick();
    switch (random.integer(0, 9)) {
    case 0:
      values.push_back(b.add(x, y));
      break;
    case 1:
      values.push_back(b.sub(x, y));
      break;
    case 2:
      values.push_back(b.unary("tanh", x));
      break;
    case 3:
      values.push_back(b.unary("sigmoid", b.mul(x, y)));
      break;
    case 4: {
      const ValueId gram = b.matmul(b.reshape(x, {6, 10}), b.reshape(y, {6, 10}), false, true);
      const ValueId back = b.matmul(b.softmax(gram, -1), b.reshape(x, {6, 10}), false, false);
      values.push_back(b.reshape(back, {1, 6, 1, 10}));
      break;
    }
    case 5:
      values.push_back(b.sub(x, b.reduce("reduce_mean", y, {1}, true)));
      break;
    case 6: {
      const ValueId left = b.slice_by_size(x, {0, 0, 0, 0}, {1, 2, 1, 10});
      const ValueId right = b.slice_by_size(y, {0, 2, 0, 0}, {1, 4, 1, 10});
      values.push_back(b.concat({left, right}, 1));
      break;
    }
    case 7: {
      const ValueId turned = b.transpose(b.reshape(x, {6, 10}), {1, 0});
      values.push_back(b.reshape(b.unary("tanh", b.transpose(turned, {1, 0})), {1, 6, 1, 10}));
      break;
    }
    case 8: {
      const ValueId turned = b.unary("tanh", b.transpose(x, {0, 3, 2, 1}));
      values.push_back(b.transpose(turned, {0, 3, 2, 1}));
      break;
    }
    default:
      values.push_back(b.softmax(x, 1));
      break;
    }
  }
  for (int i = 0; i < 4; ++i) {
    b.output(b.mul(values[values.size() - 1 - static_cast<size_t>(i) * 3], 1.0 + i),
             "out" + std::to_string(i));
  }
  return std::move(b).finish();
}

} // namespace

TEST_CASE("random programs: results survive the sharing of memory") {
  const auto device = open_device("cpu", {.threads = 2});
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const Function function = random_program(random);
    const TensorMap inputs = random_inputs(random, function);
    CompileOptions options;
    options.port_layouts = random_layouts(random, function);
    Runner runner(*device, function, options);
    check_close(runner.run(inputs), mil::interpret(function, inputs), {1e-4, 1e-4},
                "program " + std::to_string(seed));
  }
}

namespace {

// Root of the mean squared difference.
double rms(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i) sum += std::pow(a.values[i] - b.values[i], 2);
  return std::sqrt(sum / static_cast<double>(a.values.size()));
}

double greatest(const Tensor& tensor) {
  double result = 0;
  for (const double value : tensor.values) result = std::max(result, std::fabs(value));
  return result;
}

// In fp16 a bound on each element says little: where terms cancel, the rounding of large ones is
// all that is left. So the device must be no further from the exact result than the interpreter,
// and differ from that by a few units in the last place of the largest element.
void check_fp16(const TensorMap& actual, const TensorMap& expected, const TensorMap& exact) {
  for (const auto& [name, tensor] : expected) {
    const double unit = greatest(tensor) * 0x1p-10;
    CHECK_MESSAGE(rms(actual.at(name), exact.at(name)) <=
                      1.05 * rms(tensor, exact.at(name)) + 0.01 * unit,
                  name);
    check_close({{name, actual.at(name)}}, {{name, tensor}}, {0, 4 * unit}, "fp16");
  }
}

} // namespace

TEST_CASE("a training step agrees with the interpreter, and accumulates") {
  for (const int threads : {1, 2}) {
    const auto device = open_device("cpu", {.threads = threads});
    const mil::Derivative derivative = mil::differentiate(block_function(DataType::fp32), {});
    const TensorMap values = block_inputs(5, derivative.forward);
    const TensorMap expected = mil::interpret(derivative.forward, values);
    check_close(Runner(*device, derivative.forward).run(values), expected, {1e-4, 1e-4}, "forward");

    TensorMap seeds = values;
    for (const auto& [name, tensor] : expected) seeds[name] = tensor;
    seeds["d_loss"] = mil::make_tensor({DataType::fp32, {}, {}}, 1);
    CompileOptions options;
    for (const mil::ValueId id : derivative.backward.outputs) {
      options.accumulate.push_back(derivative.backward.value(id).name);
    }
    Runner backward(*device, derivative.backward, options);
    TensorMap gradients = mil::interpret(derivative.backward, seeds);
    for (auto& [name, tensor] : gradients) {
      backward.write_output(name, mil::make_tensor(tensor.type, 0.5));
      for (double& value : tensor.values) value += 0.5;
    }
    check_close(backward.run(seeds), gradients, {1e-4, 1e-4}, "backward");
  }
}

TEST_CASE("an fp16 training step is as close to the exact one as the interpreter's") {
  using mil::Precision;
  const mil::Derivative derivative = mil::differentiate(block_function(DataType::fp16), {});
  const auto device = open_device("cpu", {.threads = 2});
  for (const double range : {0.4, 1.0}) {
    for (const uint64_t seed : {5, 6, 7}) {
      INFO("range " << range << " seed " << seed);
      const TensorMap values = block_inputs(seed, derivative.forward, range);
      const TensorMap expected = mil::interpret(derivative.forward, values, Precision::f16);
      Runner forward(*device, derivative.forward);
      check_fp16(forward.run(values), expected,
                 mil::interpret(derivative.forward, values, Precision::f64));
      CHECK_FALSE(forward.kernel().overflowed());

      TensorMap seeds = values;
      for (const auto& [name, tensor] : expected) seeds[name] = tensor;
      seeds["d_loss"] = mil::make_tensor({DataType::fp16, {}, {}}, 1);
      Runner backward(*device, derivative.backward);
      check_fp16(backward.run(seeds), mil::interpret(derivative.backward, seeds, Precision::f16),
                 mil::interpret(derivative.backward, seeds, Precision::f64));
      CHECK_FALSE(backward.kernel().overflowed());

      CompileOptions options;
      for (const mil::ValueId id : derivative.backward.outputs) {
        options.accumulate.push_back(derivative.backward.value(id).name);
      }
      Runner accumulating(*device, derivative.backward, options);
      TensorMap sums = backward.run(seeds);
      for (auto& [name, tensor] : sums) {
        accumulating.write_output(name, mil::make_tensor(tensor.type, 0.5));
        for (double& value : tensor.values) value = half_to_float(double_to_half(value + 0.5));
      }
      check_close(accumulating.run(seeds), sums, {0, 0}, "sums");
    }
  }
  Runner beyond(*device, derivative.forward);
  beyond.run(block_inputs(5, derivative.forward, 2));
  CHECK(beyond.kernel().overflowed());
}

TEST_CASE("accumulation adds into the port itself") {
  const int64_t vocabulary = 20000, width = 8, count = 6;
  Builder b;
  const ValueId zeros = b.constant(Literal::fill({DataType::fp32, {vocabulary, width}, {}}, 0));
  const ValueId ids = b.input("ids", {DataType::int32, {count}, {}});
  const ValueId rows = b.input("rows", {DataType::fp32, {count, width}, {}});
  b.output(b.add("scatter", {{"data", zeros},
                             {"indices", ids},
                             {"updates", rows},
                             {"axis", b.constant(Literal::int32(0))},
                             {"mode", b.constant(Literal::string("add"))}}),
           "d_table");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 2});
  CompileOptions options;
  options.accumulate = {"d_table"};
  Runner runner(*device, function, options);
  // Nothing of the table's size is kept or computed.
  CHECK(runner.kernel().statistics().workspace_bytes < 4096);
  CHECK(runner.kernel().statistics().constant_bytes < 4096);
  TensorMap inputs;
  inputs["ids"] = {{DataType::int32, {count}, {}}, {3, 7, 3, 19999, -1, 3}};
  inputs["rows"] = mil::make_tensor({DataType::fp32, {count, width}, {}}, 1);
  runner.write_output("d_table", mil::make_tensor({DataType::fp32, {vocabulary, width}, {}}, 10));
  runner.run(inputs);
  const Tensor sum = runner.run(inputs).at("d_table");
  CHECK(sum.values[3 * 8] == 16);
  CHECK(sum.values[7 * 8 + 5] == 12);
  CHECK(sum.values[19999 * 8] == 14);
  CHECK(sum.values[0] == 10);
}

TEST_CASE("weight gradients are one product into the port") {
  Builder b;
  const ValueId dy = b.input("dy", {DataType::fp32, {1, 5, 1, 9}, {}});
  const ValueId x = b.input("x", {DataType::fp32, {1, 7, 1, 9}, {}});
  const ValueId product = b.matmul(b.reshape(dy, {5, 9}), b.reshape(x, {7, 9}), false, true);
  b.output(b.reshape(product, {5, 7, 1, 1}), "dw");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  CompileOptions options;
  options.accumulate = {"dw"};
  Runner runner(*device, function, options);
  CHECK(runner.kernel().statistics().op_count == 1);
  CHECK(runner.kernel().statistics().flops == 2 * 5 * 7 * 9);
  Random random(3);
  const TensorMap inputs = random_inputs(random, function);
  TensorMap expected = mil::interpret(function, inputs);
  for (double& value : expected["dw"].values) value = 1 + 2 * value;
  runner.write_output("dw", mil::make_tensor({DataType::fp32, {5, 7, 1, 1}, {}}, 1));
  runner.run(inputs);
  check_close(runner.run(inputs), expected, {1e-5, 1e-5}, "dw");
}

TEST_CASE("views bind parts of one buffer") {
  Builder b;
  const ValueId x = b.input("x", {DataType::fp32, {4, 6}, {}});
  b.output(b.mul(x, 2.0), "y");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  const Layout part{DataType::fp32, {4, 6}, {80, 4}};
  CompileOptions options;
  options.port_layouts = {{"x", part}, {"y", part}};
  const auto kernel = device->compile(function, options);
  const auto buffer = device->allocate(Layout::contiguous(DataType::fp32, {4, 20}));
  const View in(*buffer, 8, part), out(*buffer, 44, part);
  Random random(4);
  const Tensor tensor = random_tensor(random, {DataType::fp32, {4, 6}, {}});
  write_tensor(in, tensor);
  kernel->run(std::vector{in}, std::vector{out});
  Tensor doubled = tensor;
  for (double& value : doubled.values) value *= 2;
  CHECK(read_tensor(out).values == doubled.values);
  CHECK(read_tensor(in).values == tensor.values);
  CHECK(reinterpret_cast<const float*>(buffer->data())[0] == 0);
  CHECK(reinterpret_cast<const float*>(buffer->data())[18] == 0);
}

TEST_CASE("a run allocates nothing and gives the same bits again") {
  const mil::Derivative derivative = mil::differentiate(block_function(DataType::fp32), {});
  const auto device = open_device("cpu", {.threads = 2});
  for (const Function* function : {&derivative.forward, &derivative.backward}) {
    Runner runner(*device, *function);
    runner.run(block_inputs(6, *function));
    const std::vector<std::byte> first = runner.output_bytes();
    const int64_t before = allocation_count();
    for (int i = 0; i < 5; ++i) runner.kernel().run(runner.inputs(), runner.outputs());
    CHECK(allocation_count() == before);
    CHECK(runner.output_bytes() == first);
  }
}

TEST_CASE("an input or a constant may be returned, and one value twice") {
  Builder b;
  const ValueId x = b.input("x", {DataType::fp32, {3, 4}, {}});
  const ValueId sum = b.add(x, x);
  b.output(x, "same");
  b.output(b.transpose(sum, {1, 0}), "turned");
  b.output(sum, "sum");
  b.output(b.constant(Literal::fill({DataType::fp32, {2}, {}}, 7)), "seven");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  Random random(5);
  const TensorMap inputs = random_inputs(random, function);
  check_close(Runner(*device, function).run(inputs), mil::interpret(function, inputs), {}, "ports");
}

TEST_CASE("memory plan: temporaries that live at once are apart, and space is reused") {
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    std::vector<cpu::Lifetime> lifetimes;
    int64_t total = 0;
    for (int i = 0; i < 30; ++i) {
      const auto first = static_cast<int32_t>(random.integer(0, 20));
      lifetimes.push_back(
          {random.integer(1, 5000), first, first + static_cast<int32_t>(random.integer(0, 6))});
      total += (lifetimes.back().bytes + 63) / 64 * 64;
    }
    const cpu::MemoryPlan plan = cpu::plan_memory(lifetimes);
    CHECK(plan.size < total);
    for (size_t i = 0; i < lifetimes.size(); ++i) {
      CHECK(plan.offsets[i] % 64 == 0);
      CHECK(plan.offsets[i] + lifetimes[i].bytes <= plan.size);
      for (size_t j = 0; j < i; ++j) {
        const bool together =
            lifetimes[i].first <= lifetimes[j].last && lifetimes[j].first <= lifetimes[i].last;
        const bool apart = plan.offsets[i] + lifetimes[i].bytes <= plan.offsets[j] ||
                           plan.offsets[j] + lifetimes[j].bytes <= plan.offsets[i];
        CHECK((apart || !together));
      }
    }
  }
}
