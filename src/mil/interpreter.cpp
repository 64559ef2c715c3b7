#include "mil/interpreter.h"

#include "mil/interpreter/context.h"

#include <cmath>
#include <string_view>
#include <unordered_map>

namespace anet::mil {

namespace {

using interpreter::Context;
using interpreter::OpEntry;
using interpreter::OpFunction;

using OpFunctions = std::unordered_map<std::string_view, OpFunction>;

const OpFunctions& op_functions() {
  static const OpFunctions table = [] {
    OpFunctions functions;
    for (std::span<const OpEntry> family :
         {interpreter::unary_ops(), interpreter::binary_ops(), interpreter::matrix_ops(),
          interpreter::convolution_ops(), interpreter::reduction_ops(),
          interpreter::normalization_ops(), interpreter::shape_ops(), interpreter::slice_ops(),
          interpreter::index_ops(), interpreter::quantization_ops()}) {
      for (const OpEntry& entry : family) functions.emplace(entry.name, entry.run);
    }
    return functions;
  }();
  return table;
}

// What comes from outside, as ops read it: the ANE takes a NaN for +Inf (ane-facts.md 6, R).
Tensor stored(Tensor tensor, Precision precision) {
  if (precision == Precision::f16 && is_floating(tensor.type.dtype)) {
    for (double& value : tensor.values) {
      if (std::isnan(value)) value = INFINITY;
    }
  }
  interpreter::round_in_place(tensor, precision);
  return tensor;
}

// A copy of the port's tensor as the function reads it.
Tensor read_input(const Value& port, const TensorMap& inputs, Precision precision) {
  const auto found = inputs.find(port.name);
  if (found == inputs.end()) fail(Status::not_found, "expected an input named ", port.name);
  const Tensor& given = found->second;
  if (given.type.dtype != port.type.dtype) {
    fail(Status::type_mismatch, "input ", port.name, " expects ", type_to_string(port.type),
         ", got ", type_to_string(given.type));
  }
  if (given.type.shape != port.type.shape ||
      static_cast<int64_t>(given.values.size()) != port.type.elements()) {
    fail(Status::shape_mismatch, "input ", port.name, " expects ", type_to_string(port.type),
         ", got ", type_to_string(given.type), " with ", given.values.size(), " values");
  }
  return stored({port.type, given.values}, precision);
}

} // namespace

Tensor make_tensor(Type type, double value) {
  const auto count = static_cast<size_t>(type.elements());
  return {std::move(type), std::vector<double>(count, value)};
}

std::vector<Tensor> interpret_op(const Function& function, const Operation& op,
                                 const std::vector<const Tensor*>& values_by_id,
                                 Precision precision) {
  const auto found = op_functions().find(op.name());
  if (found == op_functions().end()) {
    fail(Status::unsupported, "the interpreter cannot run ", op.name());
  }
  Context context(function, op, values_by_id, precision);
  found->second(context);
  std::vector<Tensor> outputs = std::move(context).take_outputs();
  for (Tensor& output : outputs) interpreter::round_in_place(output, precision);
  return outputs;
}

TensorMap interpret(const Function& function, const TensorMap& inputs, Precision precision) {
  std::vector<Tensor> storage(function.values.size());
  std::vector<const Tensor*> values(function.values.size(), nullptr);
  const auto store = [&](ValueId id, Tensor tensor) {
    const auto index = static_cast<size_t>(id);
    storage[index] = std::move(tensor);
    values[index] = &storage[index];
  };
  for (ValueId id : function.inputs) store(id, read_input(function.value(id), inputs, precision));

  std::vector<int32_t> uses = function.count_uses(); // a tensor is freed after its last
  for (const Operation& op : function.ops) {
    // Operands read constants straight from the function, so that strings need no tensor.
    if (op.schema == const_schema()) continue;
    std::vector<Tensor> outputs = interpret_op(function, op, values, precision);
    for (size_t i = 0; i < outputs.size(); ++i) store(op.outputs[i], std::move(outputs[i]));
    for (const Argument& argument : op.arguments) {
      for (ValueId id : argument.values) {
        if (--uses[static_cast<size_t>(id)] == 0) storage[static_cast<size_t>(id)].values = {};
      }
    }
  }

  TensorMap result;
  for (ValueId id : function.outputs) {
    const Value& port = function.value(id);
    if (const Literal* literal = function.constant(id)) {
      result[port.name] = stored({port.type, literal->numbers()}, precision);
    } else {
      result[port.name] = storage[static_cast<size_t>(id)];
    }
  }
  return result;
}

} // namespace anet::mil
