#include "model/transformer.h"

#include "base/random.h"
#include "mil/differentiate.h"
#include "mil/interpreter.h"
#include "mil/text.h"
#include "mil/verify.h"
#include "model/parameters.h"

#include <doctest/doctest.h>

#include <algorithm>
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

// Tables for `positions`, one a column, and a causal mask of sequences of `sequence`.
void set_tables(mil::TensorMap& inputs, const model::Config& config,
                const std::vector<int32_t>& positions, int64_t sequence = 0) {
  const auto n = static_cast<int64_t>(positions.size());
  std::vector<float> cosines(static_cast<size_t>(config.head_dim / 2 * n));
  std::vector<float> sines(cosines.size());
  model::rope_tables(config, positions, cosines, sines);
  const mil::Shape shape = {1, config.head_dim / 2, 1, n};
  inputs["rope_cos"] = from_floats(shape, cosines);
  inputs["rope_sin"] = from_floats(shape, sines);
  if (sequence == 0) sequence = n;
  std::vector<float> mask(static_cast<size_t>(sequence * sequence));
  model::causal_mask(sequence, mask);
  inputs["mask"] = from_floats({1, 1, sequence, sequence}, mask);
}

std::vector<int32_t> range(int32_t begin, int32_t end) {
  std::vector<int32_t> values(static_cast<size_t>(end - begin));
  std::iota(values.begin(), values.end(), begin);
  return values;
}

// Positions 0 .. n-1 of each document in turn.
std::vector<int32_t> documents(std::initializer_list<int32_t> lengths) {
  std::vector<int32_t> positions;
  for (const int32_t length : lengths)
    for (int32_t i = 0; i < length; ++i) positions.push_back(i);
  return positions;
}

// Columns [begin, begin + count) of [1, channels, 1, positions].
mil::Tensor columns_of(const mil::Tensor& source, int64_t begin, int64_t count) {
  const int64_t channels = source.type.shape[1];
  const int64_t total = source.type.shape[3];
  mil::Tensor part = mil::make_tensor({DataType::fp32, {1, channels, 1, count}});
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < count; ++p)
      part.values[static_cast<size_t>(c * count + p)] =
          source.values[static_cast<size_t>(c * total + begin + p)];
  return part;
}

// Equal but for the order of additions.
void check_close(const mil::Tensor& seen, const mil::Tensor& expected) {
  REQUIRE(seen.values.size() == expected.values.size());
  for (size_t i = 0; i < expected.values.size(); ++i)
    CHECK(seen.values[i] == doctest::Approx(expected.values[i]).epsilon(1e-9));
}

} // namespace

TEST_CASE("programs verify and survive their text") {
  for (const DataType dtype : {DataType::fp32, DataType::fp16}) {
    const model::Config config = config_of(true, true);
    mil::Program program;
    program.functions = {model::embedding_function(config, dtype, 10),
                         model::block_function(config, dtype, 2, 5),
                         model::cached_block_function(config, dtype, 3, 8),
                         model::logits_function(config, dtype, 4),
                         model::token_loss_function(config, dtype, 4),
                         model::loss_function(config, dtype, 4)};
    program.functions.push_back(model::block_function(
        config, dtype, 2, 5, model::Attention::documents, {}, model::AttentionForm::fused));
    program.functions.back().name = "fused_block";
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
  set_tables(inputs, config, documents({5, 5}), 5);
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
    set_tables(inputs, config, range(0, 5));
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

  const mil::Tensor hidden = inputs["hidden"];
  const mil::Shape cache_shape = {config.kv_head_count, 1, config.head_dim, capacity};
  const auto run = [&](int64_t begin, int64_t count, const mil::Tensor& keys,
                       const mil::Tensor& values) {
    const mil::Function cached =
        model::cached_block_function(config, DataType::fp32, count, capacity);
    mil::TensorMap in = inputs;
    in["hidden"] = columns_of(hidden, begin, count);
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
  check_close(first.at("hidden_out"), columns_of(expected, 0, old_count));
  check_close(second.at("hidden_out"), columns_of(expected, old_count, new_count));
}

TEST_CASE("attention as one op is the same function") {
  for (const int32_t heads : {1, 2, 4}) { // of keys, for 4 of queries
    model::Config config = config_of(true, true);
    config.kv_head_count = heads;
    for (const auto attention : {model::Attention::causal, model::Attention::documents}) {
      const auto block = [&](model::AttentionForm form) {
        return model::block_function(config, DataType::fp32, 2, 6, attention, {}, form);
      };
      const mil::Function products = block(model::AttentionForm::products);
      mil::TensorMap inputs = random_inputs(products, 31);
      const mil::Tensor mask = inputs["mask"];
      set_tables(inputs, config, documents({6, 6}), 6);
      if (attention == model::Attention::documents) inputs["mask"] = mask; // another each
      check_close(mil::interpret(block(model::AttentionForm::fused), inputs, mil::Precision::f64)
                      .at("hidden_out"),
                  mil::interpret(products, inputs, mil::Precision::f64).at("hidden_out"));
    }
  }
}

TEST_CASE("documents in a row are as if each were alone") {
  for (const int32_t heads : {1, 2, 4}) { // of keys, for 4 of queries
    model::Config config = config_of(true, true);
    config.kv_head_count = heads;
    const mil::Function packed =
        model::block_function(config, DataType::fp32, 2, 6, model::Attention::documents);
    mil::TensorMap inputs = random_inputs(packed, 17);
    const std::vector<int32_t> lengths = {2, 1, 3, 5, 1};
    const std::vector<int32_t> positions = documents({2, 1, 3, 5, 1});
    set_tables(inputs, config, positions, 6);
    std::vector<float> masks(2 * 6 * 6);
    for (size_t row = 0; row < 2; ++row)
      model::document_mask(std::span(positions).subspan(row * 6, 6),
                           std::span(masks).subspan(row * 36, 36));
    inputs["mask"] = from_floats({2, 1, 6, 6}, masks);
    const mil::Tensor hidden = inputs["hidden"];
    const mil::Tensor seen = mil::interpret(packed, inputs, mil::Precision::f64).at("hidden_out");
    int64_t begin = 0;
    for (const int32_t length : lengths) {
      const mil::Function alone = model::block_function(config, DataType::fp32, 1, length);
      inputs["hidden"] = columns_of(hidden, begin, length);
      set_tables(inputs, config, range(0, length));
      check_close(columns_of(seen, begin, length),
                  mil::interpret(alone, inputs, mil::Precision::f64).at("hidden_out"));
      begin += length;
    }
  }
}

TEST_CASE("rows with caches of their own are as if each were alone") {
  const model::Config config = config_of(true, true);
  constexpr int64_t rows = 3, capacity = 5, count = 1;
  const mil::Function together =
      model::cached_block_function(config, DataType::fp32, count, capacity, rows);
  mil::TensorMap inputs = random_inputs(together, 23);
  const std::vector<int32_t> held = {4, 0, 2};
  set_tables(inputs, config, held, count);
  mil::Tensor masks =
      mil::make_tensor({DataType::fp32, {rows, 1, count, capacity}}, model::masked_score);
  for (int64_t row = 0; row < rows; ++row)
    std::fill_n(masks.values.begin() + row * capacity, held[static_cast<size_t>(row)], 0.0);
  inputs["cache_mask"] = masks;
  const mil::TensorMap seen = mil::interpret(together, inputs, mil::Precision::f64);
  const mil::Function single =
      model::cached_block_function(config, DataType::fp32, count, capacity);
  const auto part = [&](const mil::Tensor& whole, int64_t row, mil::Shape shape) {
    mil::Tensor tensor = mil::make_tensor({DataType::fp32, std::move(shape)});
    const auto size = static_cast<ptrdiff_t>(tensor.values.size());
    std::copy_n(whole.values.begin() + row * size, size, tensor.values.begin());
    return tensor;
  };
  for (int64_t row = 0; row < rows; ++row) {
    mil::TensorMap in = inputs;
    const mil::Shape cache = {config.kv_head_count, 1, config.head_dim, capacity};
    in["hidden"] = columns_of(inputs["hidden"], row, count);
    set_tables(in, config, {held[static_cast<size_t>(row)]});
    in["cache_mask"] = part(masks, row, {1, 1, count, capacity});
    in["key_cache"] = part(inputs["key_cache"], row, cache);
    in["value_cache"] = part(inputs["value_cache"], row, cache);
    const mil::TensorMap expected = mil::interpret(single, in, mil::Precision::f64);
    check_close(columns_of(seen.at("hidden_out"), row, count), expected.at("hidden_out"));
    const mil::Shape fresh = {config.kv_head_count, 1, config.head_dim, count};
    check_close(part(seen.at("key"), row, fresh), expected.at("key"));
    check_close(part(seen.at("value"), row, fresh), expected.at("value"));
  }
}

TEST_CASE("the losses of tokens add up to the loss") {
  const model::Config config = config_of(false, false);
  const mil::Function loss = model::loss_function(config, DataType::fp32, 5);
  mil::TensorMap inputs = random_inputs(loss, 2);
  inputs["targets"].values = {0, 22, 7, 7, 1};
  inputs["target_weight"].values = {1, 0, 1, 1, 0};
  const double sum = mil::interpret(loss, inputs, mil::Precision::f64).at("loss").values[0];
  const mil::Tensor each = mil::interpret(model::token_loss_function(config, DataType::fp32, 5),
                                          inputs, mil::Precision::f64)
                               .at("losses");
  CHECK(each.values[1] == 0);
  CHECK(std::accumulate(each.values.begin(), each.values.end(), 0.0) ==
        doctest::Approx(sum).epsilon(1e-12));
}

TEST_CASE("a head in parts has the losses and the gradients of a whole one") {
  const model::Config config = config_of(false, false);
  const std::vector<int64_t> rows = {10, 6, 7}; // of 23
  mil::DifferentiateOptions options;
  options.outputs = {"loss"};
  options.with_respect_to = {"hidden", "final_norm_weight", "head_weight"};
  const mil::Function whole =
      mil::value_and_gradient(model::loss_function(config, DataType::fp32, 5), options);
  options.with_respect_to = {"hidden", "final_norm_weight", "head_weight_0", "head_weight_1",
                             "head_weight_2"};
  const mil::Function divided =
      mil::value_and_gradient(model::loss_function(config, DataType::fp32, 5, {}, rows), options);
  mil::TensorMap inputs = random_inputs(whole, 2);
  inputs["targets"].values = {0, 22, 9, 10, 16}; // the first and the last of parts
  inputs["target_weight"].values = {1, 1, 0, 1, 1};
  const mil::TensorMap expected = mil::interpret(whole, inputs, mil::Precision::f64);
  const std::vector<double> head = inputs.at("head_weight").values;
  std::vector<double> gradient;
  size_t begin = 0;
  for (size_t part = 0; part < rows.size(); ++part) {
    const size_t end = begin + static_cast<size_t>(rows[part] * config.hidden_size);
    inputs[model::head_part_port(part)] = {
        {DataType::fp32, {rows[part], config.hidden_size, 1, 1}, {}},
        {head.begin() + static_cast<ptrdiff_t>(begin), head.begin() + static_cast<ptrdiff_t>(end)}};
    begin = end;
  }
  inputs.erase("head_weight");
  const mil::TensorMap seen = mil::interpret(divided, inputs, mil::Precision::f64);
  for (const char* output : {"loss", "d_hidden", "d_final_norm_weight"})
    check_close(seen.at(output), expected.at(output));
  for (size_t part = 0; part < rows.size(); ++part) {
    const auto& values = seen.at("d_" + model::head_part_port(part)).values;
    gradient.insert(gradient.end(), values.begin(), values.end());
  }
  mil::Tensor together = expected.at("d_head_weight");
  together.values = gradient;
  check_close(together, expected.at("d_head_weight"));
  const auto losses = [&](const mil::Function& function) {
    return mil::interpret(function, inputs, mil::Precision::f64).at("losses").values;
  };
  const std::vector<double> each =
      losses(model::token_loss_function(config, DataType::fp32, 5, {}, rows));
  CHECK(std::accumulate(each.begin(), each.end(), 0.0) ==
        doctest::Approx(expected.at("loss").values[0]).epsilon(1e-12));
}

namespace {

int64_t count_ops(const mil::Function& function, std::string_view name) {
  return std::count_if(function.ops.begin(), function.ops.end(), [&](const mil::Operation& op) {
    return std::string_view(op.name()) == name;
  });
}

} // namespace

TEST_CASE("stacked adapters have the results and the gradients of single ones") {
  const model::Config config = config_of(true, true);
  model::AdapterShape adapter;
  int64_t products_saved = 0;
  SUBCASE("all projections") {
    for (const char* port :
         {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
      adapter.modules.push_back({.port = port, .rank = 3, .scale = 2, .dora = false});
    products_saved = 3;
  }
  SUBCASE("ranks and scales of their own, dropout, DoRA") {
    adapter.modules = {{.port = "v_proj", .rank = 2, .scale = 1, .dora = true},
                       {.port = "q_proj", .rank = 5, .scale = 0.5, .dora = false},
                       {.port = "up_proj", .rank = 1, .scale = 4, .dora = false}};
    adapter.dropout = true;
    products_saved = 1;
  }
  model::AdapterShape stacked = adapter;
  stacked.stacked = true;
  const auto block = [&](const model::AdapterShape& shape) {
    return model::block_function(config, DataType::fp32, 2, 3, model::Attention::causal, shape);
  };
  CHECK(count_ops(block(adapter), "conv") - count_ops(block(stacked), "conv") == products_saved);
  mil::DifferentiateOptions options;
  options.outputs = {"hidden_out"};
  options.with_respect_to = {"hidden"};
  for (const auto& module : adapter.modules)
    for (const char* matrix : {"_lora_a", "_lora_b"})
      options.with_respect_to.push_back(module.port + matrix);
  const mil::Function single = mil::value_and_gradient(block(adapter), options);
  const mil::Function together = mil::value_and_gradient(block(stacked), options);
  mil::TensorMap inputs = random_inputs(single, 5);
  set_tables(inputs, config, {0, 1, 2, 0, 1, 2}, 3);
  const mil::TensorMap expected = mil::interpret(single, inputs, mil::Precision::f64);
  const mil::TensorMap seen = mil::interpret(together, inputs, mil::Precision::f64);
  REQUIRE(seen.size() == 2 + 2 * adapter.modules.size());
  for (const auto& [name, tensor] : expected) {
    CAPTURE(name);
    check_close(seen.at(name), tensor);
  }
}

namespace {

// Column j times factors[j]; the last axes are of one element.
void scale_columns(mil::Tensor& matrix, const std::vector<double>& factors) {
  for (size_t i = 0; i < matrix.values.size(); ++i) matrix.values[i] *= factors[i % factors.size()];
}

} // namespace

TEST_CASE("norms whose weights are in the matrices have the results and the gradients of others") {
  const model::Config config = config_of(true, true);
  model::AdapterShape adapter;
  model::FoldedNorms folded = {{"input_norm_weight", 1}, {"post_norm_weight", 1}};
  size_t unread = 0; // weights of norms
  SUBCASE("all projections") {
    for (const char* port :
         {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
      adapter.modules.push_back({.port = port, .rank = 3, .scale = 2, .dora = false});
  }
  SUBCASE("the same, stacked, and a factor stays at the norms") {
    for (const char* port :
         {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
      adapter.modules.push_back({.port = port, .rank = 3, .scale = 2, .dora = false});
    adapter.stacked = true;
    folded = {{"input_norm_weight", 0.25}, {"post_norm_weight", 8}};
  }
  SUBCASE("dropout, DoRA, one of the norms") {
    adapter.modules = {{.port = "v_proj", .rank = 2, .scale = 1, .dora = true},
                       {.port = "q_proj", .rank = 5, .scale = 0.5, .dora = false},
                       {.port = "up_proj", .rank = 1, .scale = 4, .dora = false}};
    adapter.dropout = true;
    adapter.stacked = true;
    SUBCASE("the first") { folded.erase("post_norm_weight"); }
    SUBCASE("the second") { folded.erase("input_norm_weight"); }
  }
  SUBCASE("no adapter behind the first") {
    adapter.modules = {{.port = "gate_proj", .rank = 2, .scale = 1, .dora = false}};
    folded["input_norm_weight"] = 2;
    unread = 1;
  }
  SUBCASE("no adapter") { unread = 2; }
  const auto block = [&](const model::FoldedNorms& norms) {
    return model::block_function(config, DataType::fp32, 2, 3, model::Attention::causal, adapter,
                                 model::AttentionForm::products, norms);
  };
  mil::DifferentiateOptions options;
  options.outputs = {"hidden_out"};
  options.with_respect_to = {"hidden", "down_proj_weight"};
  for (const auto& module : adapter.modules)
    for (const char* matrix : {"_lora_a", "_lora_b"})
      options.with_respect_to.push_back(module.port + matrix);
  const mil::Function apart = mil::value_and_gradient(block({}), options);
  const mil::Function together = mil::value_and_gradient(block(folded), options);
  CHECK(apart.inputs.size() - together.inputs.size() == unread);
  // Over all channels and positions there are fewer products; a factor adds only smaller ones.
  const auto large_products = [&](const model::FoldedNorms& norms) {
    const mil::Function function = mil::value_and_gradient(block(norms), options);
    return std::count_if(function.ops.begin(), function.ops.end(), [&](const mil::Operation& op) {
      return std::string_view(op.name()) == "mul" &&
             function.type(op.outputs[0]).shape == mil::Shape{1, config.hidden_size, 1, 6};
    });
  };
  model::FoldedNorms plain = folded;
  for (auto& [norm, factor] : plain) factor = 1;
  CHECK(large_products(folded) == large_products(plain));
  CHECK(large_products({}) - large_products(plain) >= std::ssize(folded));
  mil::TensorMap inputs = random_inputs(apart, 5);
  set_tables(inputs, config, {0, 1, 2, 0, 1, 2}, 3);
  const mil::TensorMap expected = mil::interpret(apart, inputs, mil::Precision::f64);
  for (const model::BlockNorm& norm : model::block_norms()) {
    if (!folded.contains(norm.weight)) continue;
    mil::Tensor& weight = inputs.at(norm.weight);
    for (double& value : weight.values) value /= folded.at(norm.weight);
    for (const char* module : norm.modules)
      scale_columns(inputs.at(std::string(module) + "_weight"), weight.values);
    if (together.input(norm.weight) == mil::no_value) inputs.erase(norm.weight);
  }
  const mil::TensorMap seen = mil::interpret(together, inputs, mil::Precision::f64);
  REQUIRE(seen.size() == 3 + 2 * adapter.modules.size());
  for (const auto& [name, tensor] : expected) {
    CAPTURE(name);
    check_close(seen.at(name), tensor);
  }
}

// In double its constants alone round; the two types write norms and RoPE in ways of their own.
TEST_CASE("a block in fp16 is the one in fp32, with norms of the heads in its tables or not") {
  const model::Config config = config_of(true, true);
  REQUIRE(config.qk_norm);
  const auto results = [&](DataType dtype, const model::FoldedNorms& folded) {
    const mil::Function block = model::block_function(config, dtype, 2, 3, model::Attention::causal,
                                                      {}, model::AttentionForm::products, folded);
    mil::DifferentiateOptions options;
    options.outputs = {"hidden_out"};
    options.with_respect_to = {"hidden", "q_proj_weight", "k_proj_weight"};
    const mil::Function both = mil::value_and_gradient(block, options);
    mil::TensorMap inputs = random_inputs(both, 5);
    set_tables(inputs, config, {0, 1, 2, 0, 1, 2}, 3);
    for (auto& [name, tensor] : inputs) tensor.type.dtype = dtype;
    return mil::interpret(both, inputs, mil::Precision::f64);
  };
  model::FoldedNorms folded;
  for (const char* norm : model::head_norms) folded.emplace(norm, 1);
  const mil::TensorMap expected = results(DataType::fp32, {});
  for (const mil::TensorMap& seen : {results(DataType::fp16, {}), results(DataType::fp16, folded),
                                     results(DataType::fp32, folded)}) {
    for (const auto& [name, tensor] : expected) {
      CAPTURE(name);
      double largest = 0, error = 0;
      for (size_t i = 0; i < tensor.values.size(); ++i) {
        largest = std::max(largest, std::abs(tensor.values[i]));
        error = std::max(error, std::abs(tensor.values[i] - seen.at(name).values[i]));
      }
      CHECK(error <= 2e-3 * largest);
    }
  }
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
