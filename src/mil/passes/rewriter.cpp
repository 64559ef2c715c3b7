#include "mil/passes/rewriter.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace anet::mil {

Rewriter::Rewriter(const Function& source)
    : source_(source), values_(source.values.size(), no_value) {
  result_.name = source.name;
  result_.opset = source.opset;
  for (const Value& value : source.values) names_.emplace(value.name, 0);
  for (ValueId id : source.inputs) {
    const Value& port = source.value(id);
    const ValueId copy = add_value(port.name, port.type, -1);
    result_.inputs.push_back(copy);
    values_[static_cast<size_t>(id)] = copy;
  }
}

ValueId Rewriter::add_value(std::string name, Type type, int32_t producer) {
  result_.values.push_back({std::move(name), std::move(type), producer});
  return static_cast<ValueId>(result_.values.size()) - 1;
}

std::string Rewriter::unique_name(const std::string& base) {
  std::string name = base;
  while (!names_.emplace(name, 0).second) name = base + "_" + std::to_string(names_[base]++);
  return name;
}

Operation Rewriter::with_mapped_arguments(const Operation& source_op) const {
  Operation op = source_op;
  for (Argument& argument : op.arguments) {
    for (ValueId& id : argument.values) id = mapped(id);
  }
  return op;
}

void Rewriter::keep(Operation op) {
  const auto producer = static_cast<int32_t>(result_.ops.size());
  for (ValueId& id : op.outputs) {
    const Value& value = source_.value(id);
    const ValueId copy = add_value(value.name, value.type, producer);
    values_[static_cast<size_t>(id)] = copy;
    id = copy;
  }
  result_.ops.push_back(std::move(op));
}

void Rewriter::replace(ValueId source_value, ValueId result_value) {
  values_[static_cast<size_t>(source_value)] = result_value;
  changed_ = true;
}

ValueId Rewriter::constant(Literal literal) {
  changed_ = true;
  std::string name = unique_name("c_0");
  const ValueId id = add_value(name, literal.type, static_cast<int32_t>(result_.ops.size()));
  Operation op;
  op.schema = const_schema();
  op.attributes = {{"name", Literal::string(std::move(name))}, {"val", std::move(literal)}};
  op.outputs = {id};
  result_.ops.push_back(std::move(op));
  return id;
}

ValueId Rewriter::add(std::string_view op_name, std::vector<Argument> arguments) {
  changed_ = true;
  Operation op;
  op.schema = find_op(op_name);
  op.arguments = std::move(arguments);
  std::vector<Type> types = infer(result_, op);
  std::string name = unique_name(std::string(op_name) + "_0");
  op.attributes = {{"name", Literal::string(name)}};
  op.outputs = {add_value(std::move(name), std::move(types.front()),
                          static_cast<int32_t>(result_.ops.size()))};
  result_.ops.push_back(std::move(op));
  return result_.ops.back().outputs.front();
}

void Rewriter::set_name(ValueId id, const std::string& name) {
  Value& value = result_.values[static_cast<size_t>(id)];
  value.name = name;
  Operation& op = result_.ops[static_cast<size_t>(value.producer)];
  for (Attribute& attribute : op.attributes) {
    if (attribute.name == "name" && op.outputs.size() == 1) {
      attribute.value = Literal::string(name);
    }
  }
}

void Rewriter::finish_output(ValueId source_output) {
  const std::string& port = source_.value(source_output).name;
  ValueId id = mapped(source_output);
  const bool named = result_.value(id).name == port;
  const bool is_constant = result_.constant(id) != nullptr;
  const bool taken = !named && (producer_of(result_, id) == nullptr || is_output(result_, id) ||
                                is_output(source_, source_.find(result_.value(id).name)));
  if (is_constant || taken) {
    if (is_constant && named) set_name(id, unique_name(port + "_value"));
    const bool was_changed = changed_;
    id = add("identity", {{"x", {id}, false}});
    changed_ = was_changed;
  }
  if (result_.value(id).name != port) set_name(id, port);
  result_.outputs.push_back(id);
}

Rewritten Rewriter::finish() && {
  for (ValueId id : source_.outputs) finish_output(id);
  return {std::move(result_), std::move(values_), changed_};
}

const Operation* producer_of(const Function& function, ValueId id) {
  const int32_t producer = function.value(id).producer;
  return producer < 0 ? nullptr : &function.ops[static_cast<size_t>(producer)];
}

bool is_output(const Function& function, ValueId id) {
  return std::find(function.outputs.begin(), function.outputs.end(), id) != function.outputs.end();
}

bool is_matrix_transpose(const Function& function, const Operation& op) {
  if (std::string_view(op.name()) != "transpose") return false;
  std::vector<int64_t> swapped(function.type(op.input("x")).shape.size());
  if (swapped.size() < 2) return false;
  std::iota(swapped.begin(), swapped.end(), int64_t{0});
  std::swap(swapped[0], swapped[1]);
  std::vector<int64_t> perm = function.constant(op, "perm")->integers();
  for (int64_t& axis : perm) axis += axis < 0 ? std::ssize(perm) : 0;
  return perm == swapped;
}

std::optional<double> uniform_constant(const Function& function, ValueId id) {
  // Large constants are weights, and reading them in every round would take long.
  constexpr int64_t largest = 4096;
  const Literal* literal = function.constant(id);
  if (literal == nullptr || literal->type.dtype == DataType::string) return std::nullopt;
  const int64_t count = literal->type.elements();
  if (count > largest) return std::nullopt;
  const double first = literal->number(0);
  for (int64_t i = 1; i < count; ++i) {
    if (literal->number(i) != first) return std::nullopt;
  }
  return first;
}

} // namespace anet::mil
