#include "mil/program.h"

#include "mil/op_table.h"

#include <algorithm>

namespace anet::mil {

namespace {

template <typename Named>
const Named* find_named(const std::vector<Named>& list, std::string_view name) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Named& entry) { return entry.name == name; });
  return found == list.end() ? nullptr : &*found;
}

// Compares two functions value by value, whatever their ids.
class FunctionComparison {
public:
  FunctionComparison(const Function& a, const Function& b) : a_(a), b_(b) {}

  bool equal() const {
    return a_.name == b_.name && a_.opset == b_.opset && a_.values.size() == b_.values.size() &&
           same_values(a_.inputs, b_.inputs) && same_values(a_.outputs, b_.outputs) &&
           std::equal(a_.ops.begin(), a_.ops.end(), b_.ops.begin(), b_.ops.end(),
                      [this](const Operation& x, const Operation& y) { return same_op(x, y); });
  }

private:
  bool same_values(const std::vector<ValueId>& x, const std::vector<ValueId>& y) const {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [this](ValueId i, ValueId j) { return a_.value(i) == b_.value(j); });
  }

  bool same_op(const Operation& x, const Operation& y) const {
    return x.schema == y.schema && x.opset == y.opset && x.attributes == y.attributes &&
           same_values(x.outputs, y.outputs) &&
           std::equal(x.arguments.begin(), x.arguments.end(), y.arguments.begin(),
                      y.arguments.end(), [this](const Argument& i, const Argument& j) {
                        return i.name == j.name && i.tuple == j.tuple &&
                               same_values(i.values, j.values);
                      });
  }

  const Function& a_;
  const Function& b_;
};

} // namespace

bool is_identifier(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && name.size() <= max_identifier && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_letter(c) || is_digit(c); });
}

bool Operation::operator==(const Operation& other) const {
  return schema == other.schema && arguments == other.arguments && attributes == other.attributes &&
         outputs == other.outputs && opset == other.opset;
}

const char* Operation::name() const { return schema->name; }

const Argument* Operation::argument(std::string_view name) const {
  return find_named(arguments, name);
}

ValueId Operation::input(std::string_view name) const {
  const Argument* found = argument(name);
  return found != nullptr && !found->values.empty() ? found->values.front() : no_value;
}

const Attribute* Operation::attribute(std::string_view name) const {
  return find_named(attributes, name);
}

bool Function::operator==(const Function& other) const {
  return FunctionComparison(*this, other).equal();
}

ValueId Function::find(std::string_view value_name) const {
  const Value* found = find_named(values, value_name);
  return found == nullptr ? no_value : static_cast<ValueId>(found - values.data());
}

ValueId Function::input(std::string_view port) const {
  for (ValueId id : inputs) {
    if (value(id).name == port) return id;
  }
  return no_value;
}

ValueId Function::output(std::string_view port) const {
  for (ValueId id : outputs) {
    if (value(id).name == port) return id;
  }
  return no_value;
}

const Literal* Function::constant(ValueId id) const {
  if (id < 0 || static_cast<size_t>(id) >= values.size()) return nullptr;
  const int32_t producer = value(id).producer;
  if (producer < 0) return nullptr;
  const Operation& op = ops[static_cast<size_t>(producer)];
  if (op.schema != const_schema()) return nullptr;
  const Attribute* val = op.attribute("val");
  return val == nullptr ? nullptr : &val->value;
}

const Literal* Function::constant(const Operation& op, std::string_view argument) const {
  if (const Argument* explicit_argument = op.argument(argument)) {
    return explicit_argument->values.size() == 1 ? constant(explicit_argument->values.front())
                                                 : nullptr;
  }
  if (const Attribute* attribute = op.attribute(argument)) return &attribute->value;
  const ArgumentSchema* schema = op.schema->argument(argument);
  return schema != nullptr && schema->default_value ? &*schema->default_value : nullptr;
}

std::vector<int32_t> Function::count_uses() const {
  std::vector<int32_t> uses(values.size(), 0);
  for (const Operation& op : ops)
    for (const Argument& argument : op.arguments)
      for (const ValueId id : argument.values) ++uses[static_cast<size_t>(id)];
  for (const ValueId id : outputs) ++uses[static_cast<size_t>(id)];
  return uses;
}

bool Program::operator==(const Program& other) const {
  return version == other.version && attributes == other.attributes && functions == other.functions;
}

const Function* Program::find(std::string_view name) const { return find_named(functions, name); }

} // namespace anet::mil
