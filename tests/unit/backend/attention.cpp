// Attention in blocks of queries, forward and backward, against the reference interpreter.
#include "support.h"

#include "base/thread_pool.h"
#include "mil/differentiate.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::DataType;
using mil::Literal;
using mil::ValueId;

namespace {

enum class Masking : uint8_t { none, causal, documents, hidden_rows, scattered };

struct AttentionCase {
  const char* name;
  Masking masking = Masking::causal;
  int64_t batch = 1, kv_heads = 2, group = 1, width = 8, queries = 32, keys = 32;
  DataType dtype = DataType::fp32;
};

// As model/transformer.cpp writes it: channel-first, transposed in views, keys shared by tile.
Function attention_function(const AttentionCase& c) {
  Builder b;
  const auto heads = [&](const char* name, int64_t group, int64_t positions) {
    const ValueId x =
        b.input(name, {c.dtype, {c.batch, c.kv_heads, group, c.width, positions}, {}});
    const ValueId rows = b.transpose(x, {0, 1, 2, 4, 3});
    if (group == c.group) return rows;
    const ValueId reps = b.constant(Literal::int32s(std::vector<int64_t>{1, 1, c.group, 1, 1}));
    return b.add("tile", {{"x", rows}, {"reps", reps}});
  };
  std::vector<Builder::Input> inputs = {{"query", heads("query", c.group, c.queries)},
                                        {"key", heads("key", 1, c.keys)},
                                        {"value", heads("value", 1, c.keys)}};
  if (c.masking != Masking::none)
    inputs.push_back(
        {"attn_mask", b.input("mask", {c.dtype, {c.batch, 1, 1, c.queries, c.keys}, {}})});
  const ValueId y = b.add("scaled_dot_product_attention", inputs);
  b.output(b.transpose(y, {0, 1, 2, 4, 3}), "y");
  return std::move(b).finish();
}

bool is_hidden(const AttentionCase& c, int64_t batch, int64_t query, int64_t key) {
  const int64_t last = query + c.keys - c.queries; // the sequences end together
  const int64_t document = 7 + 30 * batch;
  switch (c.masking) {
  case Masking::none:
    return false;
  case Masking::causal:
    return key > last;
  case Masking::documents:
    return key > last || key / document != last / document;
  case Masking::hidden_rows:
    return query % 3 == 1 || key > last;
  case Masking::scattered:
    return (query * 7 + key * 3) % 5 != 0;
  }
  return false;
}

TensorMap attention_inputs(const AttentionCase& c, const Function& function, uint64_t seed) {
  Random random(seed);
  TensorMap inputs = random_inputs(random, function);
  const auto mask = inputs.find("mask");
  if (mask == inputs.end()) return inputs;
  size_t at = 0;
  for (int64_t batch = 0; batch < c.batch; ++batch)
    for (int64_t query = 0; query < c.queries; ++query)
      for (int64_t key = 0; key < c.keys; ++key)
        mask->second.values[at++] = is_hidden(c, batch, query, key) ? -30000.0 : 0.0;
  return inputs;
}

// Queries beyond a block of 64, odd sizes, more and fewer queries than keys.
const std::vector<AttentionCase>& attention_cases() {
  static const std::vector<AttentionCase> cases = {
      {"one query", Masking::causal, 1, 3, 1, 8, 1, 77},
      {"no mask", Masking::none, 1, 3, 1, 5, 70, 33},
      {"causal", Masking::causal, 1, 2, 1, 16, 150, 150},
      {"causal, odd", Masking::causal, 1, 3, 1, 7, 131, 131},
      {"causal after others", Masking::causal, 1, 2, 1, 8, 67, 200},
      {"causal batch, shared keys", Masking::causal, 3, 2, 3, 6, 71, 71},
      {"documents", Masking::documents, 2, 2, 1, 8, 140, 140},
      {"documents, shared keys", Masking::documents, 2, 1, 4, 8, 99, 99},
      {"rows that see nothing", Masking::hidden_rows, 1, 2, 1, 8, 80, 80},
      {"scattered", Masking::scattered, 2, 2, 2, 8, 65, 90},
      {"long keys", Masking::causal, 1, 1, 2, 8, 40, 3000},
      {"bf16", Masking::causal, 1, 2, 2, 8, 90, 90, DataType::bf16},
      {"bf16, odd", Masking::causal, 1, 2, 1, 7, 131, 131, DataType::bf16},
      {"bf16, odd positions", Masking::causal, 1, 2, 1, 16, 67, 201, DataType::bf16},
      {"bf16, documents", Masking::documents, 2, 4, 1, 8, 99, 99, DataType::bf16},
      {"bf16, no mask", Masking::none, 2, 2, 1, 64, 128, 256, DataType::bf16},
  };
  return cases;
}

// Of a row that hides everything alike, 30000 is taken from every score in fp32, which rounds them
// to multiples of 2^-9.
Tolerance tolerance_of(const AttentionCase& c) {
  if (c.masking == Masking::hidden_rows) return {4e-3, 4e-3};
  return c.dtype == DataType::bf16 ? Tolerance{0x1.01p-6, 2e-2} : Tolerance{2e-5, 2e-5};
}

} // namespace

TEST_CASE("attention in blocks agrees with the interpreter") {
  for (const int threads : {1, 2, 3}) {
    const auto device = open_device("cpu", {.threads = threads});
    for (const AttentionCase& c : attention_cases()) {
      const Function function = attention_function(c);
      const TensorMap inputs = attention_inputs(c, function, 3);
      Runner runner(*device, function);
      check_close(runner.run(inputs), mil::interpret(function, inputs), tolerance_of(c), c.name);
    }
  }
}

TEST_CASE("gradients of attention agree with the interpreter") {
  for (const int threads : {1, 2, 3}) {
    const auto device = open_device("cpu", {.threads = threads});
    for (const AttentionCase& c : attention_cases()) {
      const Function function = attention_function(c);
      mil::DifferentiateOptions options;
      options.with_respect_to = {"query", "key", "value"};
      const mil::Derivative derivative = mil::differentiate(function, options);
      TensorMap inputs = attention_inputs(c, function, 4);
      Random random(5);
      inputs["d_y"] = random_tensor(random, function.type(function.outputs.front()));
      for (const auto& [name, tensor] : mil::interpret(derivative.forward, inputs))
        inputs[name] = tensor;
      Runner runner(*device, derivative.backward);
      check_close(runner.run(inputs), mil::interpret(derivative.backward, inputs), tolerance_of(c),
                  c.name);
      const auto first = runner.output_bytes();
      runner.run(inputs);
      CHECK_MESSAGE(runner.output_bytes() == first, c.name);
    }
  }
}

TEST_CASE("scores of all queries never exist at once") {
  const auto device = open_device("cpu", {.threads = 2});
  const AttentionCase c{"large", Masking::causal, 1, 8, 1, 16, 1024, 1024};
  const Function function = attention_function(c);
  Runner forward(*device, function);
  const auto scores = static_cast<size_t>(c.kv_heads * c.queries * c.keys) * sizeof(float);
  CHECK(forward.kernel().statistics().workspace_bytes < scores / 8);
  mil::DifferentiateOptions options;
  options.with_respect_to = {"query", "key", "value"};
  Runner backward(*device, mil::differentiate(function, options).backward);
  CHECK(backward.kernel().statistics().workspace_bytes < scores / 8);
}

TEST_CASE("keys that every query of a block hides are not read") {
  const auto device = open_device("cpu", {.threads = 2});
  const AttentionCase c{"padded", Masking::causal, 1, 2, 2, 8, 100, 300};
  const Function function = attention_function(c);
  TensorMap inputs = attention_inputs(c, function, 6);
  Tensor& mask = inputs["mask"];
  for (size_t i = 0; i < mask.values.size(); ++i)
    if (i % 300 >= 200) mask.values[i] = -30000;
  Runner runner(*device, function);
  const TensorMap before = runner.run(inputs);
  for (const char* name : {"key", "value"})
    for (size_t i = 0; i < inputs[name].values.size(); ++i)
      if (i % 300 >= 200) inputs[name].values[i] = std::numeric_limits<double>::quiet_NaN();
  check_close(runner.run(inputs), before, {}, "hidden keys");
}

TEST_CASE("NaN goes through attention") {
  const auto device = open_device("cpu", {.threads = 1});
  const AttentionCase c{"nan", Masking::causal, 1, 1, 1, 8, 10, 10};
  const Function function = attention_function(c);
  for (const char* name : {"query", "key", "value", "mask"}) {
    TensorMap inputs = attention_inputs(c, function, 7);
    inputs[name].values[0] = std::numeric_limits<double>::quiet_NaN();
    const TensorMap outputs = Runner(*device, function).run(inputs);
    const auto& values = outputs.at("y").values;
    CHECK_MESSAGE(std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); }),
                  name);
  }
}
