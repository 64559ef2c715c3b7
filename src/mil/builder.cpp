#include "mil/builder.h"

#include "base/status.h"
#include "mil/op_table.h"

#include <algorithm>
#include <functional>

namespace anet::mil {

namespace {

// Equal literals hash alike; large payloads are sampled, since equality is checked anyway.
size_t hash_literal(const Literal& literal) {
  constexpr size_t sample = 256;
  const std::span<const std::byte> data = literal.data.view();
  const std::span<const std::byte> head = data.first(std::min(data.size(), sample));
  std::string key(reinterpret_cast<const char*>(head.data()), head.size());
  key += type_to_string(literal.type);
  for (const std::string& text : literal.strings) key += text;
  return std::hash<std::string>{}(key);
}

void check_identifier(std::string_view name) {
  if (!is_identifier(name)) {
    fail(Status::invalid_program, "expected a name of letters, digits and underscores, got '", name,
         "'");
  }
}

Literal name_literal(const std::string& name) { return Literal::string(name); }

} // namespace

Builder::Builder(std::string name, std::string opset) {
  check_identifier(name);
  if (!opset_version(opset)) {
    fail(Status::invalid_program, "expected opset ios15, ios16, ios17 or ios18, got '", opset, "'");
  }
  function_.name = std::move(name);
  function_.opset = std::move(opset);
}

Builder::Builder(Function function) : function_(std::move(function)) {
  for (size_t i = 0; i < function_.values.size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    names_.emplace(function_.values[i].name, id);
    if (const Literal* literal = function_.constant(id)) {
      constants_.emplace(hash_literal(*literal), id);
    }
  }
}

std::string Builder::unique_name(std::string_view name) {
  check_identifier(name);
  return names_.find(std::string(name)) == names_.end() ? std::string(name) : numbered_name(name);
}

std::string Builder::numbered_name(std::string_view base) {
  int64_t& next = suffixes_[std::string(base)];
  std::string name;
  do {
    name = std::string(base) + "_" + std::to_string(next++);
  } while (names_.find(name) != names_.end());
  return name;
}

ValueId Builder::add_value(std::string name, Type type, int32_t producer) {
  const auto id = static_cast<ValueId>(function_.values.size());
  names_.emplace(name, id);
  function_.values.push_back({std::move(name), std::move(type), producer});
  return id;
}

ValueId Builder::input(std::string name, Type type) {
  check_identifier(name);
  check_type(type);
  if (names_.find(name) != names_.end()) {
    fail(Status::invalid_program, "expected a new name for an input, got '", name, "' again");
  }
  const ValueId id = add_value(std::move(name), std::move(type), -1);
  function_.inputs.push_back(id);
  return id;
}

ValueId Builder::constant(Literal value, std::string_view name) {
  const size_t hash = hash_literal(value);
  const auto [first, last] = constants_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (*function_.constant(it->second) == value) return it->second;
  }
  check_type(value.type);
  if (value.is_dictionary()) {
    fail(Status::invalid_program, "expected a tensor or string literal, got a dictionary");
  }
  std::string unique = name.empty() ? numbered_name("c") : unique_name(name);
  const auto producer = static_cast<int32_t>(function_.ops.size());
  const ValueId id = add_value(unique, value.type, producer);
  Operation op;
  op.schema = const_schema();
  op.attributes = {{"name", name_literal(unique)}, {"val", std::move(value)}};
  op.outputs = {id};
  function_.ops.push_back(std::move(op));
  constants_.emplace(hash, id);
  return id;
}

ValueId Builder::add(std::string_view op, std::initializer_list<Input> inputs,
                     std::string_view name) {
  return add(op, std::span<const Input>(inputs.begin(), inputs.size()), name);
}

ValueId Builder::add(std::string_view op, std::span<const Input> inputs, std::string_view name) {
  const std::vector<ValueId> outputs = add_multiple(op, inputs, name);
  if (outputs.size() != 1) {
    fail(Status::invalid_program, "expected ", op, " to have one output, got ", outputs.size());
  }
  return outputs.front();
}

// The arguments in schema order, as given, without the defaults.
Operation Builder::make_operation(std::string_view op_name, std::span<const Input> inputs) const {
  Operation op;
  op.schema = find_op(op_name);
  if (op.schema == nullptr) fail(Status::invalid_program, "unknown op '", op_name, "'");
  for (const Input& input : inputs) {
    if (op.schema->argument(input.name) == nullptr) {
      fail(Status::invalid_program, op_name, ": unknown argument '", input.name, "'");
    }
    for (ValueId id : input.values) {
      if (id < 0 || static_cast<size_t>(id) >= function_.values.size()) {
        fail(Status::invalid_program, op_name, ": expected a value of this function for ",
             input.name, ", got id ", id);
      }
    }
    op.arguments.push_back({std::string(input.name), input.values, input.tuple});
  }
  const auto position = [&](const Argument& argument) {
    return op.schema->argument(argument.name) - op.schema->arguments.data();
  };
  std::stable_sort(op.arguments.begin(), op.arguments.end(),
                   [&](const Argument& a, const Argument& b) { return position(a) < position(b); });
  return op;
}

// Makes the absent arguments that stand for a value explicit, at their place in schema order.
void Builder::add_defaults(Operation& op) {
  std::vector<Argument> arguments;
  const int opset = effective_opset(function_, op);
  for (const ArgumentSchema& argument : op.schema->arguments) {
    if (const Argument* given = op.argument(argument.name)) {
      arguments.push_back(*given);
    } else if (argument.presence == Presence::defaulted && argument.introduced <= opset) {
      std::optional<Literal> value = default_argument(function_, op, argument);
      if (!value) continue;
      arguments.push_back({argument.name, {constant(*std::move(value))}, false});
    }
  }
  op.arguments = std::move(arguments);
}

std::vector<ValueId> Builder::add_multiple(std::string_view op_name, std::span<const Input> inputs,
                                           std::string_view name) {
  Operation op = make_operation(op_name, inputs);
  if (op.schema == const_schema()) {
    fail(Status::invalid_program, "expected constants to be added by Builder::constant");
  }
  std::vector<Type> types = infer(function_, op);
  const size_t given = op.arguments.size();
  add_defaults(op);
  if (op.arguments.size() != given) types = infer(function_, op);
  const auto producer = static_cast<int32_t>(function_.ops.size());
  const std::string base = name.empty() ? numbered_name(op_name) : std::string(name);
  for (size_t i = 0; i < types.size(); ++i) {
    const bool single = types.size() == 1;
    std::string output = unique_name(single ? base : base + "_" + std::to_string(i));
    if (i == 0) op.attributes.push_back({"name", name_literal(single ? output : base)});
    op.outputs.push_back(add_value(std::move(output), std::move(types[i]), producer));
  }
  std::vector<ValueId> outputs = op.outputs;
  function_.ops.push_back(std::move(op));
  return outputs;
}

void Builder::rename(ValueId id, const std::string& name) {
  Value& value = function_.values[static_cast<size_t>(id)];
  names_.erase(value.name);
  names_.emplace(name, id);
  value.name = name;
  Operation& op = function_.ops[static_cast<size_t>(value.producer)];
  if (op.outputs.size() != 1) return;
  for (Attribute& attribute : op.attributes) {
    if (attribute.name == "name") attribute.value = name_literal(name);
  }
}

bool Builder::is_port(ValueId id) const {
  const auto contains = [id](const std::vector<ValueId>& ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  return function_.value(id).producer < 0 || contains(function_.outputs);
}

void Builder::output(ValueId value, std::string_view name) {
  if (value < 0 || static_cast<size_t>(value) >= function_.values.size()) {
    fail(Status::invalid_program, "expected a value of this function, got id ", value);
  }
  // A port is one name of one op's result: inputs, shared constants and values that are returned
  // already get an op of their own.
  if (is_port(value) || function_.constant(value) != nullptr) {
    value = unary("identity", value, name.empty() ? function_.value(value).name : name);
  }
  if (!name.empty() && function_.value(value).name != name) {
    check_identifier(name);
    const auto taken = names_.find(std::string(name));
    if (taken != names_.end()) {
      const ValueId other = taken->second;
      if (is_port(other)) {
        fail(Status::invalid_program, "expected a new name for an output, got '", name, "' again");
      }
      rename(other, unique_name(name)); // a name inside the function gives way to a port's
    }
    rename(value, std::string(name));
  }
  function_.outputs.push_back(value);
}

Function Builder::finish() && {
  if (function_.outputs.empty()) {
    fail(Status::invalid_program, "expected function '", function_.name,
         "' to have an output, got none");
  }
  return std::move(function_);
}

Program Builder::finish_program() && {
  Program program;
  // The component names and versions are those of ane-facts.md 4.1; their values are not checked.
  program.attributes.push_back(
      {"buildInfo", Literal::dictionary({{"coremlc-component-MIL", "3510.2.1"},
                                         {"coremlc-version", "3505.4.1"},
                                         {"coremltools-component-milinternal", ""},
                                         {"coremltools-version", "9.0"}})});
  program.functions.push_back(std::move(*this).finish());
  return program;
}

ValueId Builder::scalar(DataType dtype, double value) {
  return constant(Literal::scalar(dtype, value));
}

ValueId Builder::binary(std::string_view op, ValueId x, ValueId y, std::string_view name) {
  return add(op, {{"x", x}, {"y", y}}, name);
}

ValueId Builder::unary(std::string_view op, ValueId x, std::string_view name) {
  return add(op, {{"x", x}}, name);
}

ValueId Builder::rsqrt(ValueId x, double epsilon, std::string_view name) {
  return add("rsqrt", {{"x", x}, {"epsilon", scalar(type(x).dtype, epsilon)}}, name);
}

ValueId Builder::cast(ValueId x, DataType dtype, std::string_view name) {
  if (type(x).dtype == dtype) return x;
  return add("cast", {{"x", x}, {"dtype", constant(Literal::string(data_type_name(dtype)))}}, name);
}

ValueId Builder::matmul(ValueId x, ValueId y, bool transpose_x, bool transpose_y,
                        std::string_view name) {
  return add("matmul",
             {{"x", x},
              {"y", y},
              {"transpose_x", constant(Literal::boolean(transpose_x))},
              {"transpose_y", constant(Literal::boolean(transpose_y))}},
             name);
}

ValueId Builder::linear(ValueId x, ValueId weight, std::string_view name) {
  return add("conv", {{"x", x}, {"weight", weight}}, name);
}

ValueId Builder::softmax(ValueId x, int64_t axis, std::string_view name) {
  return add("softmax", {{"x", x}, {"axis", integer(axis)}}, name);
}

ValueId Builder::reduce(std::string_view op, ValueId x, std::vector<int64_t> axes, bool keep_dims,
                        std::string_view name) {
  return add(op,
             {{"x", x},
              {"axes", constant(Literal::int32s(axes))},
              {"keep_dims", constant(Literal::boolean(keep_dims))}},
             name);
}

ValueId Builder::reshape(ValueId x, Shape shape, std::string_view name) {
  return add("reshape", {{"x", x}, {"shape", constant(Literal::int32s(shape))}}, name);
}

ValueId Builder::transpose(ValueId x, std::vector<int64_t> perm, std::string_view name) {
  return add("transpose", {{"x", x}, {"perm", constant(Literal::int32s(perm))}}, name);
}

ValueId Builder::slice_by_size(ValueId x, std::vector<int64_t> begin, std::vector<int64_t> size,
                               std::string_view name) {
  return add("slice_by_size",
             {{"x", x},
              {"begin", constant(Literal::int32s(begin))},
              {"size", constant(Literal::int32s(size))}},
             name);
}

ValueId Builder::concat(std::vector<ValueId> values, int64_t axis, std::string_view name) {
  return add("concat", {{"values", std::move(values)}, {"axis", integer(axis)}}, name);
}

ValueId Builder::gather(ValueId x, ValueId indices, int64_t axis, std::string_view name) {
  return add("gather", {{"x", x}, {"indices", indices}, {"axis", integer(axis)}}, name);
}

ValueId Builder::gather_along_axis(ValueId x, ValueId indices, int64_t axis,
                                   std::string_view name) {
  return add("gather_along_axis", {{"x", x}, {"indices", indices}, {"axis", integer(axis)}}, name);
}

ValueId Builder::integer(int64_t value) {
  return constant(Literal::scalar(DataType::int32, static_cast<double>(value)));
}

} // namespace anet::mil
