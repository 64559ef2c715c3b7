#include "train/step_functions.h"

#include "mil/builder.h"
#include "mil/chain.h"
#include "mil/passes.h"

#include <algorithm>
#include <utility>

namespace anet::train {

namespace {

using mil::DataType;

constexpr std::string_view narrow_suffix = "_narrow";
constexpr const char* transposed_suffix = "_transposed";
constexpr std::string_view gradient_prefix = "d_";

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
          .tap_costs = {},
          .transposed_operands = {}};
}

std::vector<std::string> with_hidden(const PartShape& shape) {
  std::vector<std::string> inputs = shape.trained;
  if (shape.hidden_gradient) inputs.insert(inputs.begin(), "hidden");
  return inputs;
}

// A layer's output is the next one's input, and the gradient of that its gradient.
mil::ChainLink link_of(const mil::Function& function, size_t place, bool last) {
  mil::ChainLink link{&function, {}};
  const auto placed = [&](const std::string& port) {
    if (port == "hidden_out") return last ? port : placed_port(place + 1, "hidden");
    return placed_port(place, port);
  };
  for (const auto* ports : {&function.inputs, &function.outputs})
    for (const mil::ValueId id : *ports) {
      const std::string& name = function.value(id).name;
      link.ports[name] = name.starts_with(gradient_prefix)
                             ? gradient_port(placed(name.substr(gradient_prefix.size())))
                             : placed(name);
    }
  return link;
}

// Backward from the last layer to the first, as a chain needs it.
mil::Function chained(std::span<const mil::Function* const> functions, bool backward,
                      std::span<const std::string> returned = {}) {
  std::vector<mil::ChainLink> links;
  for (size_t i = 0; i < functions.size(); ++i)
    links.push_back(link_of(*functions[i], i, i + 1 == functions.size()));
  if (backward) std::reverse(links.begin(), links.end());
  return mil::chain(links, returned);
}

// In all functions alike: one that would have another matrix of the same name stays as it is.
void join_inputs(BlockFunctions& functions, std::span<const std::string> matrices) {
  const auto join = [&](mil::Function& function) {
    mil::JoinedInputs joined = mil::joined_inputs(function, matrices);
    const auto contradicts = [&](const mil::JoinedInput& input) {
      return std::any_of(functions.joined.begin(), functions.joined.end(), [&](const auto& known) {
        return known.name == input.name && known != input;
      });
    };
    if (std::any_of(joined.inputs.begin(), joined.inputs.end(), contradicts)) return;
    function = std::move(joined.function);
    for (mil::JoinedInput& input : joined.inputs)
      if (std::find(functions.joined.begin(), functions.joined.end(), input) ==
          functions.joined.end())
        functions.joined.push_back(std::move(input));
  };
  join(functions.forward);
  for (auto* function : {&functions.backward, &functions.evaluation})
    if (*function) join(**function);
}

model::AdapterShape without_dropout(model::AdapterShape adapter) {
  adapter.dropout = false;
  return adapter;
}

} // namespace

std::string gradient_port(const std::string& port) { return std::string(gradient_prefix) + port; }
std::string narrow_gradient_port(const std::string& port) {
  return gradient_port(port) + std::string(narrow_suffix);
}

std::string transposed_port(const std::string& port) { return port + transposed_suffix; }

std::string placed_port(size_t place, const std::string& port) {
  const bool is_table = port == "rope_cos" || port == "rope_sin" || port == "mask";
  return place == 0 || is_table ? port : "layer" + std::to_string(place) + "_" + port;
}

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
    join_inputs(result, shape.joinable);
    return result;
  }
  mil::DifferentiateOptions options = by_inputs(with_hidden(shape), {"hidden_out"}, sizes.taps);
  options.tap_costs = sizes.tap_costs;
  options.transposed_operands = sizes.transposed_operands;
  mil::Derivative derivative = mil::differentiate(block(shape.adapter), options);
  result.forward = std::move(derivative.forward);
  if (sizes.transposed_weights)
    derivative.backward =
        mil::transposed_inputs(derivative.backward, shape.trained, transposed_suffix);
  if (sizes.narrow_gradients)
    result.narrow_backward = narrow_gradients(derivative.backward, shape.trained);
  result.backward = widen_gradients(std::move(derivative.backward), shape.trained);
  for (std::string& tap : derivative.taps) result.taps.push_back({std::move(tap), 0});
  join_inputs(result, shape.joinable);
  return result;
}

BlockFunctions chain_blocks(std::span<const BlockFunctions> layers) {
  BlockFunctions result;
  std::vector<std::string> inner; // hidden states between layers
  for (size_t place = 1; place < layers.size() && layers.front().backward; ++place)
    inner.push_back(placed_port(place, "hidden"));
  const auto all = [&](auto function) {
    std::vector<const mil::Function*> functions;
    for (const BlockFunctions& layer : layers) functions.push_back(function(layer));
    return functions;
  };
  result.forward = chained(all([](const auto& layer) { return &layer.forward; }), false, inner);
  if (layers.front().backward)
    result.backward = chained(all([](const auto& layer) { return &*layer.backward; }), true);
  if (layers.front().narrow_backward)
    result.narrow_backward =
        chained(all([](const auto& layer) { return &*layer.narrow_backward; }), true);
  for (size_t place = 0; place < layers.size(); ++place) {
    for (const BlockTap& tap : layers[place].taps)
      result.taps.push_back({placed_port(place, tap.port), place});
    for (mil::JoinedInput input : layers[place].joined) {
      for (std::string* port : {&input.name, &input.matrix, &input.factor})
        *port = placed_port(place, *port);
      result.joined.push_back(std::move(input));
    }
  }
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

BlockFunctions bound(const BlockFunctions& functions, const Constants& constants) {
  BlockFunctions result = functions;
  result.forward = bound(functions.forward, constants);
  for (auto* function : {&result.backward, &result.narrow_backward, &result.evaluation})
    if (*function) *function = bound(**function, constants);
  return result;
}

} // namespace anet::train
