#include "mil/passes/extract.h"

#include "mil/op_table.h"

#include <unordered_set>
#include <vector>

namespace anet::mil {

namespace {

class Extractor {
public:
  Extractor(const Function& source, std::span<const NamedValue> inputs,
            std::span<const NamedValue> outputs)
      : source_(source), copies_(source.values.size(), no_value),
        port_names_(source.values.size()) {
    result_.name = source.name;
    result_.opset = source.opset;
    for (const NamedValue& port : inputs) add_input(port);
    for (const NamedValue& port : outputs) reserve_output(port);
  }

  Function run(std::span<const NamedValue> outputs) {
    const std::vector<bool> needed = mark_ops(outputs);
    for (size_t i = 0; i < source_.ops.size(); ++i) {
      if (needed[i]) copy(source_.ops[i]);
    }
    for (const NamedValue& port : outputs) add_output(port);
    return std::move(result_);
  }

private:
  ValueId& copy_of(ValueId id) { return copies_[static_cast<size_t>(id)]; }

  void add_input(const NamedValue& port) {
    names_.insert(port.name);
    Type type = source_.type(port.id);
    copy_of(port.id) = add_value(port.name, std::move(type), -1);
    result_.inputs.push_back(copy_of(port.id));
  }

  // The first port of a computed value gives it its name.
  void reserve_output(const NamedValue& port) {
    names_.insert(port.name);
    std::string& name = port_names_[static_cast<size_t>(port.id)];
    if (name.empty() && source_.constant(port.id) == nullptr) name = port.name;
  }

  std::vector<bool> mark_ops(std::span<const NamedValue> outputs) {
    std::vector<bool> wanted(source_.values.size(), false);
    for (const NamedValue& port : outputs) wanted[static_cast<size_t>(port.id)] = true;
    std::vector<bool> needed(source_.ops.size(), false);
    for (size_t i = source_.ops.size(); i-- > 0;) {
      const Operation& op = source_.ops[i];
      for (ValueId id : op.outputs) {
        if (wanted[static_cast<size_t>(id)] && copy_of(id) == no_value) needed[i] = true;
      }
      if (!needed[i]) continue;
      for (const Argument& argument : op.arguments) {
        for (ValueId id : argument.values) wanted[static_cast<size_t>(id)] = true;
      }
    }
    return needed;
  }

  ValueId add_value(std::string name, Type type, int32_t producer) {
    result_.values.push_back({std::move(name), std::move(type), producer});
    return static_cast<ValueId>(result_.values.size()) - 1;
  }

  std::string free_name(const std::string& base) {
    std::string name = base;
    for (int64_t suffix = 0; !names_.insert(name).second; ++suffix) {
      name = base + "_" + std::to_string(suffix);
    }
    return name;
  }

  std::string name_of(ValueId id) {
    const std::string& port = port_names_[static_cast<size_t>(id)];
    return !port.empty() && copy_of(id) == no_value ? port : free_name(source_.value(id).name);
  }

  void copy(const Operation& source_op) {
    Operation op = source_op;
    for (Argument& argument : op.arguments) {
      for (ValueId& id : argument.values) id = copy_of(id);
    }
    const auto producer = static_cast<int32_t>(result_.ops.size());
    for (ValueId& id : op.outputs) {
      const ValueId made = add_value(name_of(id), source_.type(id), producer);
      // One output of several may be an input here; the op's own result is then unused.
      if (copy_of(id) == no_value) copy_of(id) = made;
      id = made;
    }
    set_name_attribute(op);
    result_.ops.push_back(std::move(op));
  }

  void set_name_attribute(Operation& op) {
    if (op.outputs.size() != 1) return;
    for (Attribute& attribute : op.attributes) {
      if (attribute.name != "name") continue;
      attribute.value = Literal::string(result_.value(op.outputs.front()).name);
    }
  }

  void add_output(const NamedValue& port) {
    ValueId id = copy_of(port.id);
    if (result_.value(id).name != port.name) {
      Operation op;
      op.schema = find_op("identity");
      op.arguments = {{"x", {id}, false}};
      op.attributes = {{"name", Literal::string(port.name)}};
      id = add_value(port.name, result_.type(id), static_cast<int32_t>(result_.ops.size()));
      op.outputs = {id};
      result_.ops.push_back(std::move(op));
    }
    result_.outputs.push_back(id);
  }

  const Function& source_;
  Function result_;
  std::vector<ValueId> copies_;         // by source id
  std::vector<std::string> port_names_; // of outputs, by source id
  std::unordered_set<std::string> names_;
};

} // namespace

Function extract(const Function& source, std::span<const NamedValue> inputs,
                 std::span<const NamedValue> outputs) {
  return Extractor(source, inputs, outputs).run(outputs);
}

} // namespace anet::mil
