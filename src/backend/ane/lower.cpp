#include "backend/ane/lower.h"

#include "backend/ane/fewer_passes.h"
#include "backend/ane/lower_peaks.h"
#include "backend/ane/lowering.h"
#include "mil/op_table.h"
#include "mil/passes.h"
#include "mil/passes/extract.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <array>
#include <set>

namespace anet::backend::ane {

namespace {

// "i007_name": sorted as declared, and short whatever the name.
std::string symbol_for(char kind, size_t index, const std::string& name) {
  constexpr size_t longest = 48;
  std::string number = std::to_string(index);
  number.insert(0, number.size() < 3 ? 3 - number.size() : 0, '0');
  return kind + number + '_' + name.substr(0, longest);
}

bool is_port_type(DataType dtype, const Rules& rules) {
  if (dtype == DataType::fp16) return true;
  if (dtype == DataType::fp32) return rules.fp32_ports;
  return (dtype == DataType::int8 || dtype == DataType::uint8) && rules.int8_ports;
}

std::string why_no_port(const mil::Value& port, const Rules& rules) {
  if (!is_port_type(port.type.dtype, rules)) {
    return concat("the engine has no port of type ", mil::data_type_name(port.type.dtype), " for '",
                  port.name, "' (ane-facts.md 4.4)");
  }
  if (port.type.buffer) {
    return concat("expected '", port.name, "' without a layout of its own, seen ",
                  mil::type_to_string(port.type));
  }
  return {};
}

void check_port(const mil::Value& port, const Rules& rules) {
  const std::string reason = why_no_port(port, rules);
  if (!reason.empty()) fail(Status::unsupported, reason);
}

// "" or the first result that is larger than the engine takes.
std::string why_too_large(const mil::Function& function, const Rules& rules) {
  const std::array<int64_t, 4> limits{rules.max_batch, rules.max_channels, rules.max_height,
                                      rules.max_width};
  const std::array<const char*, 4> names{"batch", "channels", "height", "width"};
  const auto problem = [&](ValueId id, const char* what) -> std::string {
    const Shape& shape = function.type(id).shape;
    for (size_t i = 0; i < 4 && shape.size() == 4; ++i) {
      if (shape[i] > limits[i]) {
        return concat("expected ", names[i], " of at most ", limits[i], " for ", what, ", seen ",
                      shape[i], " (ane-facts.md 4.5)");
      }
    }
    return {};
  };
  for (ValueId id : function.inputs) {
    std::string text = problem(id, "an input");
    if (!text.empty()) return text;
  }
  for (const mil::Operation& op : function.ops) {
    // Constants that shape ops read are no tensors of the engine's.
    if (op.schema == mil::const_schema()) continue;
    for (ValueId id : op.outputs) {
      std::string text = problem(id, op.name());
      if (!text.empty()) return text;
    }
  }
  return {};
}

// Ports.

class Ports {
public:
  Ports(Lowering& lowering, const LowerOptions& options) : l_(lowering), options_(options) {}

  void declare_inputs() {
    const std::vector<ValueId>& inputs = l_.source.inputs;
    check_count(inputs.size(), "inputs");
    for (ValueId id : inputs) check_port(l_.source.value(id), l_.rules);
    if (l_.rules.parameter_route == ParameterRoute::packed) return declare_packed();
    for (size_t i = 0; i < inputs.size(); ++i) declare(inputs[i], i);
  }

  void write_outputs() {
    const std::vector<ValueId>& outputs = l_.source.outputs;
    check_count(outputs.size() + (options_.peaks != PeaksOf::nothing ? 1 : 0), "outputs");
    std::vector<ValueId> results;
    for (ValueId id : outputs) {
      const mil::Value& port = l_.source.value(id);
      check_port(port, l_.rules);
      results.push_back(l_.read(id, l_.extents(port.type.shape)));
    }
    const ValueId peaks = write_peaks(l_, results, options_);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const mil::Value& port = l_.source.value(outputs[i]);
      const std::string symbol = symbol_for('o', i, port.name);
      l_.b.output(results[i], symbol);
      lowered.outputs.push_back({port.name, symbol, {}});
    }
    if (peaks == mil::no_value) return;
    lowered.peaks = "o999_peaks";
    l_.b.output(peaks, lowered.peaks);
  }

  Lowered lowered;

private:
  void check_count(size_t count, const char* what) const {
    if (static_cast<int64_t>(count) <= l_.rules.max_ports) return;
    fail(Status::unsupported, "expected at most ", l_.rules.max_ports, " ", what, ", seen ", count,
         " (ane-facts.md 1.5)");
  }

  void declare(ValueId input, size_t index) {
    const mil::Value& port = l_.source.value(input);
    const mil::Type type{port.type.dtype, l_.extents(port.type.shape), {}};
    const std::string symbol = symbol_for('i', index, port.name);
    l_.write(input, l_.b.input(symbol, type));
    lowered.inputs.push_back({port.name, symbol, type});
  }

  void declare_packed();

  Lowering& l_;
  const LowerOptions& options_;
};

// Every fp16 input beside or below the others in one. Slices that do not begin at column 0 cost
// large values on some chips, others have none along the width; there the ports lie below each
// other.
void Ports::declare_packed() {
  const std::vector<ValueId>& inputs = l_.source.inputs;
  const bool below = l_.rules.clamps_width_slices || !l_.rules.slices_width;
  Shape packed{1, 1, 0, 0};
  for (size_t i = 0; i < inputs.size(); ++i) {
    const mil::Value& port = l_.source.value(inputs[i]);
    if (port.type.dtype != DataType::fp16) {
      declare(inputs[i], i + 1);
      continue;
    }
    const int64_t columns = l_.extents(port.type.shape).back();
    const int64_t rows = port.type.elements() / columns;
    const mil::Type type{DataType::fp16, {1, 1, rows, columns}, {}};
    lowered.inputs.push_back({port.name, "i000_packed", type, below ? 0 : packed[width_slot],
                              below ? packed[height_slot] : 0});
    int64_t& along = packed[below ? height_slot : width_slot];
    int64_t& across = packed[below ? width_slot : height_slot];
    along += below ? rows : columns;
    across = std::max(across, below ? columns : rows);
  }
  if (packed[height_slot] > l_.rules.max_height || packed[width_slot] > l_.rules.max_width) {
    fail(Status::unsupported, "expected the inputs packed into one of at most ",
         l_.rules.max_height, " rows and ", l_.rules.max_width, " columns, seen ",
         packed[height_slot], " and ", packed[width_slot], " (ane-facts.md 3.5)");
  }
  if (packed[height_slot] == 0) return;
  const ValueId all = l_.b.input("i000_packed", {DataType::fp16, packed, {}});
  for (size_t i = 0; i < inputs.size(); ++i) {
    const LoweredPort& port = lowered.inputs[i];
    if (port.symbol != "i000_packed") continue;
    const Shape& shape = port.type.shape;
    if (l_.rules.slices_width) {
      l_.write(inputs[i], l_.b.slice_by_size(all, {0, 0, port.row, port.column}, shape));
      continue;
    }
    const ValueId rows = slice_along(l_, all, height_slot, port.row, shape[height_slot]);
    l_.write(inputs[i], slice_along(l_, rows, width_slot, port.column, shape[width_slot]));
  }
}

// Clean-up of the result.

mil::Operation* producer_of(mil::Function& function, ValueId id) {
  const int32_t op = function.value(id).producer;
  return op < 0 ? nullptr : &function.ops[static_cast<size_t>(op)];
}

bool is_reshape(const mil::Operation& op) { return std::string_view(op.name()) == "reshape"; }

// The layout of a port depends on its width alone (ane-facts.md 0.1, R): rows follow each other at
// one pitch whatever the other axes are. So an input that is only read through reshapes to one
// shape of the same width can have that shape itself.
void adopt_input_shapes(mil::Function& function) {
  for (ValueId input : function.inputs) {
    const Shape* wanted = nullptr;
    bool same = true;
    for (const mil::Operation& op : function.ops) {
      for (const mil::Argument& argument : op.arguments) {
        if (std::find(argument.values.begin(), argument.values.end(), input) ==
            argument.values.end()) {
          continue;
        }
        const Shape& shape = function.type(op.outputs.front()).shape;
        same = same && is_reshape(op) && (wanted == nullptr || *wanted == shape);
        wanted = &shape;
      }
    }
    same = same && !mil::is_output(function, input);
    mil::Type& type = function.values[static_cast<size_t>(input)].type;
    if (same && wanted != nullptr && wanted->size() == 4 && wanted->back() == type.shape.back()) {
      type.shape = *wanted;
    }
  }
}

void set_name(mil::Function& function, ValueId id, const std::string& name) {
  function.values[static_cast<size_t>(id)].name = name;
  mil::Operation* op = producer_of(function, id);
  for (mil::Attribute& attribute : op->attributes) {
    if (attribute.name == "name" && op->outputs.size() == 1) {
      attribute.value = Literal::string(name);
    }
  }
}

// An output that reshapes something of the same width returns that instead. It also keeps a
// product at the end from being followed by a reshape, which one report saw rejected (ane-facts.md
// 4.4).
void adopt_output_shapes(mil::Function& function) {
  for (ValueId& output : function.outputs) {
    const mil::Operation* op = producer_of(function, output);
    if (op == nullptr || !is_reshape(*op)) continue;
    const ValueId inner = op->input("x");
    const Shape& shape = function.type(inner).shape;
    const bool is_port = function.value(inner).producer < 0 || mil::is_output(function, inner);
    if (is_port || shape.size() != 4 || shape.back() != function.type(output).shape.back()) {
      continue;
    }
    const std::string symbol = function.value(output).name;
    set_name(function, output, symbol + "_reshaped");
    set_name(function, inner, symbol);
    output = inner;
  }
}

// The parameters of constexpr_affine_dequantize belong into its attribute list (ane-facts.md 3.4,
// R).
void move_affine_parameters(mil::Function& function) {
  for (mil::Operation& op : function.ops) {
    if (std::string_view(op.name()) != "constexpr_affine_dequantize") continue;
    for (const mil::Argument& argument : op.arguments) {
      op.attributes.push_back({argument.name, *function.constant(argument.values.front())});
    }
    op.arguments.clear();
    std::sort(op.attributes.begin(), op.attributes.end(),
              [](const mil::Attribute& a, const mil::Attribute& b) { return a.name < b.name; });
  }
}

mil::Function cleaned(mil::Function function) {
  function = mil::optimize(function);
  adopt_input_shapes(function);
  adopt_output_shapes(function);
  function = mil::optimize(function);
  move_affine_parameters(function);
  return mil::eliminate_dead_code(function);
}

// Types as the clean-up left them.
void read_port_types(Lowered& lowered) {
  const mil::Function& function = lowered.function;
  for (LoweredPort& port : lowered.inputs) {
    if (port.symbol == "i000_packed") continue;
    port.type = function.type(function.input(port.symbol));
  }
  for (LoweredPort& port : lowered.outputs) {
    port.type = function.type(function.output(port.symbol));
  }
}

// The values that an op needs from outside: booleans have no ports, so what computes them is part
// of the trial.
void find_trial_inputs(const mil::Function& function, const mil::Operation& op,
                       std::set<ValueId>& inputs) {
  for (const mil::Argument& argument : op.arguments) {
    for (ValueId id : argument.values) {
      const int32_t producer = function.value(id).producer;
      if (function.constant(id) != nullptr) continue;
      if (producer >= 0) {
        const mil::Operation& from = function.ops[static_cast<size_t>(producer)];
        const std::string_view name = from.name();
        const bool part = function.type(id).dtype == DataType::boolean ||
                          name.starts_with("constexpr_") || name == "transpose" ||
                          name == "reshape" || name == "expand_dims" || name == "squeeze";
        if (part) {
          find_trial_inputs(function, from, inputs);
          continue;
        }
      }
      inputs.insert(id);
    }
  }
}

// A weight's transpose that products read as a flag, and nothing else reads, is never computed.
bool is_flag(const mil::Function& function, const mil::Operation& op) {
  if (std::string_view(op.name()) != "transpose") return false;
  const ValueId result = op.outputs.front();
  const std::vector<int64_t> perm = function.constant(op, "perm")->integers();
  if (mil::is_output(function, result) || perm.size() < 2 || perm[0] != 1 || perm[1] != 0) {
    return false;
  }
  return std::all_of(function.ops.begin(), function.ops.end(), [&](const mil::Operation& reader) {
    const bool is_weight =
        std::string_view(reader.name()) == "conv" && reader.input("weight") == result;
    return is_weight ||
           std::none_of(reader.arguments.begin(), reader.arguments.end(),
                        [&](const mil::Argument& argument) {
                          return std::find(argument.values.begin(), argument.values.end(),
                                           result) != argument.values.end();
                        });
  });
}

} // namespace

std::string why_unsupported(const mil::Function& function, const mil::Operation& op,
                            const Rules& rules) {
  if (op.schema == mil::const_schema()) return {};
  const bool is_computed = !is_flag(function, op);
  std::set<ValueId> ids;
  find_trial_inputs(function, op, ids);
  std::vector<mil::NamedValue> inputs;
  for (ValueId id : ids) inputs.push_back({id, function.value(id).name});
  std::vector<mil::NamedValue> outputs;
  for (ValueId id : op.outputs) outputs.push_back({id, function.value(id).name});
  const mil::Function alone = mil::extract(function, inputs, outputs);
  const std::string subject =
      concat(op.name(), " '", function.value(op.outputs.front()).name, "': ");
  try {
    Lowering lowering(alone, rules, true);
    for (ValueId id : alone.inputs) {
      const mil::Type& type = alone.type(id);
      lowering.write(id, lowering.b.input(alone.value(id).name,
                                          {type.dtype, lowering.extents(type.shape), {}}));
    }
    lowering.run();
    // Without what products read as a flag.
    for (ValueId id : alone.outputs) lowering.b.output(lowering.read(id));
    const mil::Function result = std::move(lowering.b).finish();
    if (is_computed) {
      const std::string reason = why_too_large(mil::rewrite_dead_code(result).function, rules);
      if (!reason.empty()) return subject + reason;
    }
  } catch (const Error& error) {
    if (error.status() != Status::unsupported) throw;
    return error.message();
  }
  std::vector<const mil::Value*> ports;
  for (ValueId id : alone.inputs) ports.push_back(&alone.value(id));
  for (ValueId id : op.outputs) {
    const bool inside =
        !mil::is_output(function, id) && function.type(id).dtype == DataType::boolean;
    if (!inside) ports.push_back(&function.value(id));
  }
  for (const mil::Value* port : ports) {
    const std::string reason = why_no_port(*port, rules);
    if (!reason.empty()) return subject + reason;
  }
  return {};
}

Lowered lower(const mil::Function& function, const Rules& rules, const LowerOptions& options) {
  // Without readers that nobody reads, and without what has no reader any more.
  const mil::Function source =
      mil::eliminate_dead_code(with_fewer_passes(mil::eliminate_dead_code(function), rules));
  Lowering lowering(source, rules, false);
  Ports ports(lowering, options);
  ports.declare_inputs();
  lowering.run();
  ports.write_outputs();
  Lowered lowered = std::move(ports.lowered);
  lowered.function = cleaned(std::move(lowering.b).finish());
  read_port_types(lowered);
  const std::string reason = why_too_large(lowered.function, rules);
  if (!reason.empty()) fail(Status::unsupported, source.name, ": ", reason);
  return lowered;
}

} // namespace anet::backend::ane
