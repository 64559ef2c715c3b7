// Attention to a cache and to new positions, as one step, against the reference interpreter.
#include "backend/cpu/fusion.h"
#include "mil/passes.h"
#include "support.h"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::ValueId;

namespace {

constexpr double hidden = -30000; // of a mask

struct Sizes {
  DataType dtype = DataType::fp32;
  int64_t rows = 1, heads = 2, group = 1; // key heads of a row
  int64_t width = 8, queries = 1, capacity = 20, held = 7;
  bool positions_first = false;
};

// What model::cached_block_function makes of it.
Function attention_function(const Sizes& s) {
  Builder b;
  const int64_t heads = s.rows * s.heads;
  const auto input = [&](const char* name, Shape shape) {
    return b.input(name, {s.dtype, std::move(shape), {}});
  };
  const ValueId query = input("query", {heads, s.group, s.width, s.queries});
  const auto cache = [&](const char* name) {
    if (!s.positions_first) return input(name, {heads, 1, s.width, s.capacity});
    return b.transpose(input(name, {heads, 1, s.capacity, s.width}), {0, 1, 3, 2});
  };
  const ValueId key_cache = cache("key_cache"), value_cache = cache("value_cache");
  const ValueId key = input("key", {heads, 1, s.width, s.queries});
  const ValueId value = input("value", {heads, 1, s.width, s.queries});
  const ValueId cache_mask = input("cache_mask", {s.rows, 1, s.queries, s.capacity});
  const ValueId mask = input("mask", {1, 1, s.queries, s.queries});
  const auto masked = [&](ValueId scores, ValueId added) {
    const Shape shape = b.shape(scores);
    if (b.shape(added)[0] == 1) return b.add(scores, added);
    const ValueId together = b.reshape(scores, {s.rows, s.heads * s.group, shape[2], shape[3]});
    return b.reshape(b.add(together, added), shape);
  };
  const ValueId old_scores = masked(b.matmul(query, key_cache, true, false), cache_mask);
  const ValueId new_scores = masked(b.matmul(query, key, true, false), mask);
  const ValueId p = b.softmax(b.concat({old_scores, new_scores}, 3), 3);
  const ValueId old_part = b.slice_by_size(p, {0, 0, 0, 0}, b.shape(old_scores));
  const ValueId new_part = b.slice_by_size(p, {0, 0, 0, s.capacity}, b.shape(new_scores));
  b.output(
      b.add(b.matmul(value_cache, old_part, false, true), b.matmul(value, new_part, false, true)),
      "y");
  return std::move(b).finish();
}

// Masks as generation writes them: the positions held, then a triangle.
TensorMap attention_inputs(Random& random, const Sizes& s, const Function& function) {
  TensorMap inputs = random_inputs(random, function, {{"query", {-0.5, 0.5}}});
  auto& cached = inputs.at("cache_mask").values;
  for (size_t i = 0; i < cached.size(); ++i)
    cached[i] = static_cast<int64_t>(i) % s.capacity < s.held ? 0 : hidden;
  auto& fresh = inputs.at("mask").values;
  for (size_t i = 0; i < fresh.size(); ++i)
    fresh[i] =
        static_cast<int64_t>(i) % s.queries <= static_cast<int64_t>(i) / s.queries ? 0 : hidden;
  return inputs;
}

// bf16 programs round scores and probabilities, which the step does not.
Tolerance tolerance_of(DataType dtype) {
  return dtype == DataType::bf16 ? Tolerance{0x1p-6, 0.03} : Tolerance{1e-5, 1e-5};
}

} // namespace

TEST_CASE("attention to a cache agrees with the interpreter") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto three = open_device("cpu", {.threads = 3});
  Random random(41);
  for (int i = 0; i < 80; ++i) {
    Sizes s{i % 2 == 0 ? DataType::fp32 : DataType::bf16,
            random.integer(1, 3),
            random.integer(1, 4),
            random.integer(1, 3),
            2 * random.integer(1, 20),
            random.coin() ? 1 : random.integer(2, 13),
            random.integer(1, 70),
            0,
            random.coin()};
    s.held = random.integer(0, s.capacity);
    CAPTURE(i);
    const Function function = attention_function(s);
    const Function optimized = mil::optimize(function);
    REQUIRE(
        cpu::find_cached_attention_groups(optimized, std::vector<bool>(optimized.ops.size(), false))
            .size() == 1);
    const TensorMap inputs = attention_inputs(random, s, function);
    CompileOptions options;
    options.port_layouts = random_layouts(random, function);
    Runner a(*one, function, options), b(*three, function, options);
    check_close(a.run(inputs), mil::interpret(function, inputs), tolerance_of(s.dtype),
                "attention");
    CHECK(a.gaps_are_untouched());
    b.run(inputs);
    CHECK(a.output_bytes() == b.output_bytes());
    const int64_t allocations = allocation_count();
    b.kernel().run(b.inputs(), b.outputs());
    CHECK(allocation_count() == allocations);
  }
}

TEST_CASE("what the cache holds behind its end is not read") {
  const auto device = open_device("cpu", {.threads = 2});
  for (const int64_t queries : {1, 10}) {
    Random random(42);
    const Sizes s{.queries = queries};
    const Function function = attention_function(s);
    TensorMap inputs = attention_inputs(random, s, function);
    const TensorMap expected = mil::interpret(function, inputs);
    for (const char* port : {"key_cache", "value_cache"}) {
      auto& values = inputs.at(port).values;
      for (size_t i = 0; i < values.size(); ++i)
        if (static_cast<int64_t>(i) % s.capacity >= s.held)
          values[i] = std::numeric_limits<double>::quiet_NaN();
    }
    Runner runner(*device, function);
    check_close(runner.run(inputs), expected, tolerance_of(s.dtype), "attention");
  }
}

TEST_CASE("fp16 keeps the roundings of attention to a cache") {
  const Function function = mil::optimize(attention_function({.dtype = DataType::fp16}));
  CHECK(cpu::find_cached_attention_groups(function, std::vector<bool>(function.ops.size(), false))
            .empty());
}
