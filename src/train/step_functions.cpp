#include "train/step_functions.h"

#include "mil/builder.h"
#include "mil/passes.h"

#include <algorithm>
#include <utility>

namespace anet::train {

namespace {

using mil::DataType;

constexpr std::string_view narrow_suffix = "_narrow";
constexpr const char* transposed_suffix = "_transposed";

// Gradients that are not in fp32 get the names of their narrow ports. Returns their places among
// the outputs, with the names that they had.
std::vector<std::pair<size_t, std::string>> rename_narrow(mil::Function& function,
                                                          std::span<const std::string> ports) {
  std::vector<std::pair<size_t, std::string>> narrow;
  for (size_t i = 0; i < function.outputs.size(); ++i) {
    mil::Value& value = function.values[static_cast<size_t>(function.outputs[i])];
    for (const std::string& port : ports) {
      if (value.name != gradient_port(port) || value.type.dtype == DataType::fp32) continue;
      narrow.emplace_back(i, value.name);
      value.name = narrow_gradient_port(port);
      break;
    }
  }
  return narrow;
}

// In the order in which they are computed, which is that of a part of a program whose gradients are
// widened elsewhere: so the engine's program is the same.
mil::Function narrow_gradients(mil::Function function, std::span<const std::string> ports) {
  rename_narrow(function, ports);
  std::stable_sort(function.outputs.begin(), function.outputs.end(),
                   [&](mil::ValueId a, mil::ValueId b) {
                     const auto place = [&](mil::ValueId id) {
                       const mil::Value& value = function.value(id);
                       const bool gradient = value.name.ends_with(narrow_suffix);
                       return gradient ? value.producer : -1;
                     };
                     return place(a) < place(b);
                   });
  return function;
}

// Gradients of parameters leave a kernel in fp32, whatever it computes in: they are summed.
mil::Function widen_gradients(mil::Function function, std::span<const std::string> ports) {
  const auto widened = rename_narrow(function, ports);
  mil::Builder builder(std::move(function));
  std::vector<mil::ValueId> outputs = builder.function().outputs;
  for (const auto& [index, name] : widened)
    outputs[index] = builder.cast(outputs[index], DataType::fp32, name);
  mil::Function result = std::move(builder).finish();
  result.outputs = std::move(outputs);
  return result;
}

mil::DifferentiateOptions by_inputs(std::vector<std::string> inputs,
                                    std::vector<std::string> outputs, mil::Taps taps) {
  return {.with_respect_to = std::move(inputs),
          .outputs = std::move(outputs),
          .taps = taps,
          .tap_names = {},
          .tap_costs = {}};
}

std::vector<std::string> with_hidden(const PartShape& shape) {
  std::vector<std::string> inputs = shape.trained;
  if (shape.hidden_gradient) inputs.insert(inputs.begin(), "hidden");
  return inputs;
}

model::AdapterShape without_dropout(model::AdapterShape adapter) {
  adapter.dropout = false;
  return adapter;
}

} // namespace

std::string gradient_port(const std::string& port) { return "d_" + port; }
std::string narrow_gradient_port(const std::string& port) {
  return gradient_port(port) + std::string(narrow_suffix);
}

std::string transposed_port(const std::string& port) { return port + transposed_suffix; }

std::vector<std::string> gradient_ports(std::span<const std::string> ports) {
  std::vector<std::string> names;
  for (const std::string& port : ports) names.push_back(gradient_port(port));
  return names;
}

BlockFunctions block_functions(const model::Config& config, DataType dtype, const BlockSizes& sizes,
                               const PartShape& shape) {
  const auto block = [&](const model::AdapterShape& adapter) {
    return model::block_function(config, dtype, sizes.batch, sizes.sequence, sizes.attention,
                                 adapter, sizes.form, shape.folded);
  };
  BlockFunctions result;
  if (shape.adapter.dropout) result.evaluation = block(without_dropout(shape.adapter));
  if (!shape.backward) {
    result.forward = block(shape.adapter);
    return result;
  }
  mil::DifferentiateOptions options = by_inputs(with_hidden(shape), {"hidden_out"}, sizes.taps);
  options.tap_costs = sizes.tap_costs;
  mil::Derivative derivative = mil::differentiate(block(shape.adapter), options);
  result.forward = std::move(derivative.forward);
  if (sizes.transposed_weights)
    derivative.backward =
        mil::transposed_inputs(derivative.backward, shape.trained, transposed_suffix);
  if (sizes.narrow_gradients)
    result.narrow_backward = narrow_gradients(derivative.backward, shape.trained);
  result.backward = widen_gradients(std::move(derivative.backward), shape.trained);
  result.taps = std::move(derivative.taps);
  return result;
}

mil::Function head_training_function(const model::Config& config, DataType dtype, int64_t columns,
                                     const PartShape& shape, bool narrow) {
  const mil::Function loss =
      model::loss_function(config, dtype, columns, shape.adapter, shape.head_rows);
  mil::Function function =
      mil::value_and_gradient(loss, by_inputs(with_hidden(shape), {"loss"}, mil::Taps::automatic));
  if (narrow) return narrow_gradients(std::move(function), shape.trained);
  return widen_gradients(std::move(function), shape.trained);
}

mil::Function head_evaluation_function(const model::Config& config, DataType dtype, int64_t columns,
                                       const PartShape& shape) {
  return model::token_loss_function(config, dtype, columns, without_dropout(shape.adapter),
                                    shape.head_rows);
}

EmbeddingFunctions embedding_functions(const model::Config& config, DataType dtype,
                                       int64_t positions, const PartShape& shape) {
  mil::Function forward = model::embedding_function(config, dtype, positions, shape.adapter,
                                                    shape.wide_table ? DataType::fp32 : dtype);
  if (shape.trained.empty()) return {std::move(forward), std::nullopt};
  // The gradient of an fp32 table: rows go straight to the sums, where a narrower one would be a
  // table of zeros with them in it first. What the derivative would tap is cheaper to look up again
  // than to keep.
  const mil::Function wide =
      model::embedding_function(config, dtype, positions, shape.adapter, DataType::fp32);
  mil::Derivative derivative =
      mil::differentiate(wide, by_inputs(shape.trained, {}, mil::Taps::none));
  return {std::move(forward), widen_gradients(std::move(derivative.backward), shape.trained)};
}

mil::Function bound(const mil::Function& function, const Constants& constants) {
  Constants used;
  for (const auto& [port, value] : constants)
    if (function.input(port) != mil::no_value) used.emplace(port, value);
  return used.empty() ? function : mil::bind_constants(function, used);
}

} // namespace anet::train
