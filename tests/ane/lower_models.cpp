// The programs of training and generation, split and lowered for the engine under every variant of
// its rules, against the reference interpreter.
#include "../unit/backend/ane_lowered.h"

#include "backend/ane/lower.h"
#include "mil/builder.h"
#include "mil/compressed_weight.h"
#include "mil/differentiate.h"
#include "mil/partition.h"
#include "mil/passes.h"
#include "model/parameters.h"
#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using ane::Lowered;
using ane::PeaksOf;
using mil::DataType;
using mil::Function;
using mil::Segment;
using mil::Side;
using mil::TensorMap;

struct Shape2 {
  const char* label;
  model::Config config;
  int64_t batch;
  int64_t sequence;
};

// Small models of each kind: shared keys, all heads alike, biases, norms of the heads, head sizes
// that do not follow from the width; sequences whose rows are padded and not.
std::vector<Shape2> shapes() {
  const auto small = [](int32_t heads, int32_t kv_heads, int32_t head_dim) {
    model::Config config;
    config.vocab_size = 50;
    config.hidden_size = 48;
    config.intermediate_size = 80;
    config.layer_count = 1;
    config.head_count = heads;
    config.kv_head_count = kv_heads;
    config.head_dim = head_dim;
    return model::resolve(config);
  };
  model::Config biased = small(4, 2, 16);
  biased.qkv_bias = true;
  model::Config normed = small(4, 4, 8);
  normed.qk_norm = true;
  return {{"shared keys", small(6, 2, 8), 2, 8},
          {"one sequence", small(6, 3, 8), 1, 24},
          {"all heads alike", small(4, 4, 12), 2, 32},
          {"biases", biased, 2, 5},
          {"norms of heads", normed, 3, 7},
          {"one position", small(4, 2, 12), 1, 1}};
}

// The gradients of weights leave in fp32, as in a training step.
Function with_wide_gradients(Function function) {
  std::vector<std::pair<size_t, std::string>> widened;
  for (size_t i = 0; i < function.outputs.size(); ++i) {
    mil::Value& value = function.values[static_cast<size_t>(function.outputs[i])];
    const bool is_gradient =
        value.name.starts_with("d_") && value.name.find("_proj_") != std::string::npos;
    if (!is_gradient && value.name != "d_head_weight") continue;
    widened.emplace_back(i, value.name);
    value.name += "_narrow";
  }
  mil::Builder builder(std::move(function));
  std::vector<mil::ValueId> outputs = builder.function().outputs;
  for (const auto& [index, name] : widened) {
    outputs[index] = builder.cast(outputs[index], DataType::fp32, name);
  }
  Function result = std::move(builder).finish();
  result.outputs = std::move(outputs);
  return result;
}

mil::DifferentiateOptions gradients_of(std::vector<std::string> inputs, std::string output) {
  return {.with_respect_to = std::move(inputs),
          .outputs = {std::move(output)},
          .taps = mil::Taps::automatic,
          .tap_names = {}};
}

mil::Derivative block_of(const Shape2& shape, model::Attention attention = model::Attention::causal,
                         const mil::TransposedOperands& transposed = {}) {
  std::vector<std::string> inputs{"hidden"};
  const model::ParameterTable table(shape.config);
  for (const model::Parameter& parameter : table.layer(0)) {
    inputs.push_back(parameter.port);
  }
  mil::DifferentiateOptions options = gradients_of(inputs, "hidden_out");
  options.tap_costs = {.tap = 5, .recomputed = transposed.most > 0 ? 2 : 0};
  options.transposed_operands = transposed;
  return mil::differentiate(
      model::block_function(shape.config, DataType::fp16, shape.batch, shape.sequence, attention),
      options);
}

Function head_of(const Shape2& shape) {
  const Function loss =
      model::loss_function(shape.config, DataType::fp16, shape.batch * shape.sequence);
  return with_wide_gradients(mil::value_and_gradient(
      loss, gradients_of({"hidden", "final_norm_weight", "head_weight"}, "loss")));
}

std::vector<Segment> split(const Function& function, const ane::Rules& rules) {
  return mil::partition(function, [&](const mil::Operation& op) {
    return ane::why_unsupported(function, op, rules).empty() ? Side::engine : Side::host;
  });
}

std::string sides_of(const std::vector<Segment>& segments) {
  std::string text;
  for (const Segment& segment : segments) text += segment.side == Side::host ? 'h' : 'e';
  return text;
}

TensorMap random_halves(const Function& function, uint64_t seed) {
  std::mt19937_64 engine(seed);
  TensorMap inputs;
  for (mil::ValueId id : function.inputs) {
    mil::Tensor tensor = mil::make_tensor(function.type(id));
    // Multiples of 1/256 below 1/2: fp16 holds them.
    for (double& value : tensor.values) {
      value = static_cast<double>(static_cast<int64_t>(engine() % 257) - 128) / 256;
    }
    inputs[function.value(id).name] = std::move(tensor);
  }
  return inputs;
}

// Differences are relative to the largest magnitude of each output. In double only the order of
// additions differs, and constants where tables are written out. In half precision a block is some
// twenty roundings of 2^-11 deep.
void check_segments(const std::vector<Segment>& segments, const ane::Rules& rules) {
  for (const Segment& segment : segments) {
    if (segment.side == Side::host) continue;
    const auto peaks = rules.has_rsqrt ? PeaksOf::nothing : PeaksOf::hidden;
    const LoweredError error = compare_lowered(
        segment.function, rules, random_halves(segment.function, 5), {.peaks = peaks});
    CHECK(error.exact <= (rules.table_activations ? 1e-6 : 1e-9));
    CHECK(error.half <= 2e-2);
  }
}

// A backward pass whose weights' gradients are looked at by those who add them up.
Lowered lowered_backward(const Function& function, PeaksOf peaks) {
  std::set<std::string> unwatched;
  for (mil::ValueId id : function.outputs)
    if (function.value(id).name != "d_hidden") unwatched.insert(function.value(id).name);
  return ane::lower(function, {}, {.peaks = peaks, .unwatched = std::move(unwatched)});
}

int64_t norms_of(const Function& function) {
  return std::count_if(function.outputs.begin(), function.outputs.end(), [&](mil::ValueId id) {
    return function.value(id).name.ends_with("norm_weight");
  });
}

TensorMap run(const Lowered& lowered, const TensorMap& inputs) {
  return mil::interpret(lowered.function, lowered_inputs(lowered, inputs), mil::Precision::f16);
}

bool is_finite(const mil::Tensor& tensor) {
  return std::all_of(tensor.values.begin(), tensor.values.end(),
                     [](double value) { return std::isfinite(value); });
}

bool is_scaled(const mil::Tensor& tensor, const mil::Tensor& small, double scale) {
  double largest = 0, error = 0;
  for (size_t i = 0; i < tensor.values.size(); ++i) {
    largest = std::max(largest, std::fabs(tensor.values[i]));
    error = std::max(error, std::fabs(tensor.values[i] - scale * small.values[i]));
  }
  return error <= 1e-3 * largest;
}

// Transposes that convolutions read.
int64_t transposed_images(const Function& function) {
  std::set<mil::ValueId> transposes;
  for (const mil::Operation& op : function.ops) {
    const auto producer_of = [&](mil::ValueId id) {
      const int32_t index = function.value(id).producer;
      return index < 0 ? nullptr : &function.ops[static_cast<size_t>(index)];
    };
    if (op.name() != std::string_view("conv")) continue;
    const mil::Operation* image = producer_of(op.input("x"));
    if (image != nullptr && image->name() == std::string_view("reshape"))
      image = producer_of(image->input("x"));
    if (image != nullptr && image->name() == std::string_view("transpose"))
      transposes.insert(image->outputs.front());
  }
  return std::ssize(transposes);
}

} // namespace

// A power of two commutes with every rounding of a function that is linear in what it scales, so
// only an overflow makes the scaled results differ from the small ones scaled.
TEST_CASE("a backward pass is right where its peaks and its gradients are finite") {
  for (const Shape2& shape : shapes()) {
    INFO(shape.label);
    const Function function = split(with_wide_gradients(block_of(shape).backward), {})[0].function;
    const Lowered all = lowered_backward(function, PeaksOf::all);
    const Lowered hidden = lowered_backward(function, PeaksOf::hidden);
    // Beside d_hidden hardly more than the sums for the gradients of norms.
    CHECK(count_ops(hidden.function, "reduce_min") <= 1 + 2 * norms_of(function));
    CHECK(count_ops(all.function, "reduce_min") > 10);
    std::mt19937_64 random(11);
    int finite = 0, infinite = 0;
    for (int trial = 0; trial < 6; ++trial) {
      TensorMap inputs = random_halves(function, 5);
      std::vector<double>& gradient = inputs.at("d_hidden_out").values;
      for (int spike = 0; spike < trial; ++spike)
        gradient[random() % gradient.size()] = random() % 2 == 0 ? 16 : -16;
      const std::vector<double> ones = gradient;
      const auto scale_to = [&](double scale) {
        for (size_t i = 0; i < ones.size(); ++i) gradient[i] = scale * ones[i];
      };
      const TensorMap small = run(all, inputs);
      REQUIRE(std::isfinite(small.at(all.peaks).values[0]));
      for (double scale = 16; scale <= 4096; scale *= 2) {
        scale_to(scale);
        const TensorMap scaled = run(hidden, inputs);
        bool seen = false, right = true;
        for (const auto& [name, tensor] : scaled) {
          seen = seen || !is_finite(tensor);
          right = right && (name == hidden.peaks || is_scaled(tensor, small.at(name), scale));
        }
        CHECK((seen || right));
        ++(seen ? infinite : finite);
      }
    }
    CHECK(finite > 0);
    CHECK(infinite > 0);
  }
}

TEST_CASE("a block runs on the engine as a whole, forward and backward") {
  for (const Shape2& shape : shapes()) {
    const mil::Derivative block = block_of(shape);
    const Function backward = with_wide_gradients(block.backward);
    for (const auto& [label, rules] : rules_variants()) {
      INFO(shape.label << ", " << label);
      const std::vector<Segment> forward_parts = split(block.forward, rules);
      CHECK(sides_of(forward_parts) == "e");
      check_segments(forward_parts, rules);
      const std::vector<Segment> backward_parts = split(backward, rules);
      CHECK(sides_of(backward_parts) == "eh"); // the conversions at the end
      check_segments(backward_parts, rules);
    }
  }
}

TEST_CASE("so does one whose rows hold several documents") {
  for (const Shape2& shape : shapes()) {
    const mil::Derivative block = block_of(shape, model::Attention::documents);
    const Function backward = with_wide_gradients(block.backward);
    for (const auto& [label, rules] : rules_variants()) {
      INFO(shape.label << ", " << label);
      const std::vector<Segment> forward_parts = split(block.forward, rules);
      CHECK(sides_of(forward_parts) == "e");
      check_segments(forward_parts, rules);
      const std::vector<Segment> backward_parts = split(backward, rules);
      CHECK(sides_of(backward_parts) == "eh");
      check_segments(backward_parts, rules);
    }
  }
}

TEST_CASE("so does one whose forward pass hands transposes on") {
  for (const Shape2& shape : shapes()) {
    const mil::Derivative block =
        block_of(shape, model::Attention::causal, {.least = 1, .most = 16384});
    CHECK(count_ops(block.forward, "transpose") > 0);
    const Function backward = with_wide_gradients(block.backward);
    for (const auto& [label, rules] : rules_variants()) {
      INFO(shape.label << ", " << label);
      const std::vector<Segment> forward_parts = split(block.forward, rules);
      CHECK(sides_of(forward_parts) == "e");
      check_segments(forward_parts, rules);
      const std::vector<Segment> backward_parts = split(backward, rules);
      CHECK(sides_of(backward_parts) == "eh");
      check_segments(backward_parts, rules);
    }
  }
}

// Wide enough for convolutions whose kernels are computed.
TEST_CASE("then the gradients of weights are convolutions that transpose nothing") {
  model::Config config = shapes().front().config;
  config.hidden_size = config.intermediate_size = 256;
  config.head_count = config.kv_head_count = 4;
  config.head_dim = 64;
  ane::Rules rules;
  rules.parameter_convolution = rules.computed_convolution = true;
  rules.narrow_reduce_sum = false; // sums would be convolutions, too
  const Shape2 shape{"wide", model::resolve(config), 1, 24};
  const mil::Derivative block =
      block_of(shape, model::Attention::causal, ane::transposed_operands(rules));
  const Function function = split(with_wide_gradients(block.backward), rules).front().function;
  const Function plain = split(with_wide_gradients(block_of(shape).backward), rules)[0].function;
  // What the norms hand to projections, the gate, and what attention makes.
  CHECK(transposed_images(ane::lower(plain, rules, {}).function) == 4);
  CHECK(transposed_images(ane::lower(function, rules, {}).function) == 0);
  check_segments({{Side::engine, function}}, rules);
}

TEST_CASE("a head is two engine segments around the loss") {
  for (const Shape2& shape : shapes()) {
    const Function head = head_of(shape);
    for (const auto& [label, rules] : rules_variants()) {
      INFO(shape.label << ", " << label);
      const std::vector<Segment> parts = split(head, rules);
      CHECK(sides_of(parts) == "eheh");
      check_segments(parts, rules);
    }
  }
}

TEST_CASE("a block of generation runs on the engine as a whole") {
  for (const Shape2& shape : shapes()) {
    for (const int64_t rows : {1, 3}) {
      const Function block =
          model::cached_block_function(shape.config, DataType::fp16, shape.sequence, 16, rows);
      for (const auto& [label, rules] : rules_variants()) {
        INFO(shape.label << ", rows " << rows << ", " << label);
        const std::vector<Segment> parts = split(block, rules);
        CHECK(sides_of(parts) == "e");
        check_segments(parts, rules);
      }
    }
  }
}

TEST_CASE("a head of more rows than the engine's height") {
  Shape2 shape = shapes().front();
  shape.config.vocab_size = 96;
  ane::Rules rules;
  rules.max_height = 50;
  const std::vector<Segment> parts = split(head_of(shape), rules);
  CHECK(sides_of(parts) == "eheh");
  check_segments(parts, rules);
}

TEST_CASE("a frozen block's weights are constants") {
  const Shape2 shape = shapes()[3];
  const Function block =
      model::block_function(shape.config, DataType::fp16, shape.batch, shape.sequence);
  const TensorMap values = random_halves(block, 7);
  std::map<std::string, mil::ConstantValue> frozen;
  const model::ParameterTable table(shape.config);
  for (const model::Parameter& parameter : table.layer(0)) {
    const mil::Tensor& tensor = values.at(parameter.port);
    frozen.emplace(parameter.port, mil::Literal::numbers(tensor.type, tensor.values));
  }
  const mil::Derivative bound = mil::differentiate(mil::bind_constants(block, frozen),
                                                   gradients_of({"hidden"}, "hidden_out"));
  for (const auto& [label, rules] : rules_variants()) {
    INFO(label);
    for (const Function* function : {&bound.forward, &bound.backward}) {
      const std::vector<Segment> parts = split(*function, rules);
      CHECK(sides_of(parts) == "e");
      check_segments(parts, rules);
    }
  }
}
