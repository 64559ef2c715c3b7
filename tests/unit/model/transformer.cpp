#include "model/transformer.h"

#include "base/random.h"
#include "mil/interpreter.h"
#include "mil/text.h"
#include "mil/verify.h"
#include "model/parameters.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <vector>

using namespace anet;
using mil::DataType;

namespace {

model::Config config_of(bool bias, bool norm) {
  model::Config config;
  config.vocab_size = 23;
  config.hidden_size = 12;
  config.intermediate_size = 20;
  config.layer_count = 1;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.head_dim = 6;
  config.qkv_bias = bias;
  config.qk_norm = norm;
  return model::resolve(config);
}

// Random values for every input but those that the test gives.
mil::TensorMap random_inputs(const mil::Function& function, uint64_t seed) {
  mil::TensorMap inputs;
  uint64_t stream = 0;
  for (const mil::ValueId id : function.inputs) {
    mil::Tensor tensor = mil::make_tensor(function.type(id));
    Random random(seed, stream++);
    if (mil::is_floating(tensor.type.dtype))
      for (double& value : tensor.values) value = 0.3 * random.normal();
    inputs[function.value(id).name] = tensor;
  }
  return inputs;
}

mil::Tensor from_floats(mil::Shape shape, const std::vector<float>& values) {
  mil::Tensor tensor = mil::make_tensor({DataType::fp32, std::move(shape)});
  tensor.values.assign(values.begin(), values.end());
  return tensor;
}

void set_tables(mil::TensorMap& inputs, const model::Config& config,
                const std::vector<int32_t>& positions) {
  const auto n = static_cast<int64_t>(positions.size());
  std::vector<float> cosines(static_cast<size_t>(config.head_dim / 2 * n));
  std::vector<float> sines(cosines.size());
  model::rope_tables(config, positions, cosines, sines);
  const mil::Shape shape = {1, 1, config.head_dim / 2, n};
  inputs["rope_cos"] = from_floats(shape, cosines);
  inputs["rope_sin"] = from_floats(shape, sines);
  std::vector<float> mask(static_cast<size_t>(n * n));
  model::causal_mask(n, mask);
  inputs["mask"] = from_floats({1, 1, n, n}, mask);
}

std::vector<int32_t> range(int32_t begin, int32_t end) {
  std::vector<int32_t> values(static_cast<size_t>(end - begin));
  std::iota(values.begin(), values.end(), begin);
  return values;
}

} // namespace

TEST_CASE("programs verify and survive their text") {
  for (const DataType dtype : {DataType::fp32, DataType::fp16}) {
    const model::Config config = config_of(true, true);
    mil::Program program;
    program.functions = {
        model::embedding_function(config, dtype, 10), model::block_function(config, dtype, 2, 5),
        model::cached_block_function(config, dtype, 3, 8), model::logits_function(config, dtype, 4),
        model::loss_function(config, dtype, 4)};
    mil::verify(program);
    CHECK(mil::parse(mil::print(program)) == program);
  }
}

TEST_CASE("rope tables are powers of theta") {
  const model::Config config = config_of(false, false);
  std::vector<float> cosines(3 * 2);
  std::vector<float> sines(3 * 2);
  model::rope_tables(config, std::vector<int32_t>{0, 7}, cosines, sines);
  for (int i = 0; i < 3; ++i) {
    CHECK(cosines[static_cast<size_t>(2 * i)] == 1.0f);
    const double angle = 7 * std::pow(1e4, -2.0 * i / 6);
    CHECK(cosines[static_cast<size_t>(2 * i + 1)] == doctest::Approx(std::cos(angle)));
    CHECK(sines[static_cast<size_t>(2 * i + 1)] == doctest::Approx(std::sin(angle)));
  }
}

TEST_CASE("no position sees a later one") {
  const model::Config config = config_of(true, true);
  const mil::Function block = model::block_function(config, DataType::fp32, 1, 6);
  mil::TensorMap inputs = random_inputs(block, 3);
  set_tables(inputs, config, range(0, 6));
  const mil::Tensor before = mil::interpret(block, inputs, mil::Precision::f64).at("hidden_out");
  for (int64_t channel = 0; channel < config.hidden_size; ++channel)
    inputs["hidden"].values[static_cast<size_t>(channel * 6 + 4)] += 1.0;
  const mil::Tensor after = mil::interpret(block, inputs, mil::Precision::f64).at("hidden_out");
  for (int64_t channel = 0; channel < config.hidden_size; ++channel)
    for (int64_t position = 0; position < 6; ++position) {
      const auto at = static_cast<size_t>(channel * 6 + position);
      if (position < 4)
        CHECK(before.values[at] == after.values[at]);
      else if (channel == 0)
        CHECK(before.values[at] != after.values[at]);
    }
}

TEST_CASE("a batch is its sequences side by side") {
  const model::Config config = config_of(true, true);
  const mil::Function one = model::block_function(config, DataType::fp32, 1, 5);
  const mil::Function two = model::block_function(config, DataType::fp32, 2, 5);
  mil::TensorMap inputs = random_inputs(two, 9);
  set_tables(inputs, config, range(0, 5));
  const mil::Tensor both = mil::interpret(two, inputs, mil::Precision::f64).at("hidden_out");
  const std::vector<double> hidden = inputs["hidden"].values;
  for (int64_t sequence = 0; sequence < 2; ++sequence) {
    mil::Tensor part = mil::make_tensor({DataType::fp32, {1, config.hidden_size, 1, 5}});
    const auto source = [&](int64_t channel, int64_t position) {
      return static_cast<size_t>(channel * 10 + sequence * 5 + position);
    };
    for (int64_t channel = 0; channel < config.hidden_size; ++channel)
      for (int64_t position = 0; position < 5; ++position)
        part.values[static_cast<size_t>(channel * 5 + position)] =
            hidden[source(channel, position)];
    inputs["hidden"] = part;
    const mil::Tensor alone = mil::interpret(one, inputs, mil::Precision::f64).at("hidden_out");
    for (int64_t channel = 0; channel < config.hidden_size; ++channel)
      for (int64_t position = 0; position < 5; ++position)
        CHECK(alone.values[static_cast<size_t>(channel * 5 + position)] ==
              doctest::Approx(both.values[source(channel, position)]).epsilon(1e-12));
  }
}

TEST_CASE("the cached block continues where the plain one would be") {
  const model::Config config = config_of(true, true);
  constexpr int64_t total = 7, old_count = 4, new_count = 3, capacity = 6;
  const mil::Function plain = model::block_function(config, DataType::fp32, 1, total);
  mil::TensorMap inputs = random_inputs(plain, 21);
  set_tables(inputs, config, range(0, total));
  const mil::Tensor expected = mil::interpret(plain, inputs, mil::Precision::f64).at("hidden_out");

  // Columns [begin, begin + count) of a [1, channels, 1, total] tensor.
  const auto columns = [&](const mil::Tensor& source, int64_t begin, int64_t count) {
    mil::Tensor part = mil::make_tensor({DataType::fp32, {1, config.hidden_size, 1, count}});
    for (int64_t c = 0; c < config.hidden_size; ++c)
      for (int64_t p = 0; p < count; ++p)
        part.values[static_cast<size_t>(c * count + p)] =
            source.values[static_cast<size_t>(c * total + begin + p)];
    return part;
  };
  const mil::Tensor hidden = inputs["hidden"];
  const mil::Shape cache_shape = {config.kv_head_count, 1, config.head_dim, capacity};
  const auto run = [&](int64_t begin, int64_t count, const mil::Tensor& keys,
                       const mil::Tensor& values) {
    const mil::Function cached =
        model::cached_block_function(config, DataType::fp32, count, capacity);
    mil::TensorMap in = inputs;
    in["hidden"] = columns(hidden, begin, count);
    set_tables(in, config, range(static_cast<int32_t>(begin), static_cast<int32_t>(begin + count)));
    mil::Tensor mask =
        mil::make_tensor({DataType::fp32, {1, 1, count, capacity}}, model::masked_score);
    for (int64_t q = 0; q < count; ++q)
      for (int64_t k = 0; k < begin; ++k) mask.values[static_cast<size_t>(q * capacity + k)] = 0;
    in["cache_mask"] = mask;
    in["key_cache"] = keys;
    in["value_cache"] = values;
    return mil::interpret(cached, in, mil::Precision::f64);
  };

  // What is beyond the cached positions must not matter: fill it with noise.
  mil::Tensor keys = mil::make_tensor({DataType::fp32, cache_shape}, 3.0);
  mil::Tensor values = mil::make_tensor({DataType::fp32, cache_shape}, -5.0);
  const mil::TensorMap first = run(0, old_count, keys, values);
  const auto append = [&](mil::Tensor& cache, const mil::Tensor& fresh) {
    for (int64_t row = 0; row < config.kv_size(); ++row)
      for (int64_t p = 0; p < old_count; ++p)
        cache.values[static_cast<size_t>(row * capacity + p)] =
            fresh.values[static_cast<size_t>(row * old_count + p)];
  };
  append(keys, first.at("key"));
  append(values, first.at("value"));
  const mil::TensorMap second = run(old_count, new_count, keys, values);
  const auto check = [&](const mil::Tensor& seen, int64_t begin, int64_t count) {
    const mil::Tensor part = columns(expected, begin, count);
    for (size_t i = 0; i < part.values.size(); ++i)
      CHECK(seen.values[i] == doctest::Approx(part.values[i]).epsilon(1e-9));
  };
  check(first.at("hidden_out"), 0, old_count);
  check(second.at("hidden_out"), old_count, new_count);
}

TEST_CASE("uniform logits cost log(vocabulary) a counted token") {
  const model::Config config = config_of(false, false);
  const mil::Function loss = model::loss_function(config, DataType::fp32, 5);
  mil::TensorMap inputs = random_inputs(loss, 1);
  for (double& value : inputs["head_weight"].values) value = 0;
  inputs["target_weight"].values = {1, 0, 1, 1, 0};
  const double seen = mil::interpret(loss, inputs, mil::Precision::f64).at("loss").values[0];
  CHECK(seen == doctest::Approx(3 * std::log(23.0)).epsilon(1e-12));
}
