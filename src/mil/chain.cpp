#include "mil/chain.h"

#include "base/status.h"
#include "mil/verify.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace anet::mil {

namespace {

class Chain {
public:
  explicit Chain(std::span<const ChainLink> links) : links_(links) {
    for (const ChainLink& link : links)
      for (const auto* ports : {&link.function->inputs, &link.function->outputs})
        for (const ValueId id : *ports) names_.insert(port_name(link, id));
  }

  Function join(std::span<const std::string> returned) && {
    result_.name = links_.front().function->name;
    result_.opset = links_.front().function->opset;
    for (const ChainLink& link : links_) append(link);
    for (const auto& [id, name] : outputs_)
      if (!read_.contains(id) ||
          std::find(returned.begin(), returned.end(), name) != returned.end())
        result_.outputs.push_back(id);
    verify(result_);
    return std::move(result_);
  }

private:
  static std::string port_name(const ChainLink& link, ValueId id) {
    const std::string& name = link.function->value(id).name;
    const auto found = link.ports.find(name);
    return found == link.ports.end() ? name : found->second;
  }

  void append(const ChainLink& link) {
    const Function& function = *link.function;
    std::vector<ValueId> values(function.values.size(), no_value);
    for (const ValueId id : function.inputs)
      values[static_cast<size_t>(id)] = input(port_name(link, id), function.type(id));
    for (const Operation& source : function.ops) append(link, source, values);
    for (const ValueId id : function.outputs) {
      const std::string name = port_name(link, id);
      if (!ports_.emplace(name, values[static_cast<size_t>(id)]).second)
        fail(Status::invalid_program, "expected one port '", name, "' in a chain, seen two");
      outputs_.emplace_back(values[static_cast<size_t>(id)], name);
    }
  }

  ValueId input(const std::string& name, const Type& type) {
    const auto [found, is_new] = ports_.emplace(name, no_value);
    if (is_new) {
      found->second = add_value(name, type, -1);
      result_.inputs.push_back(found->second);
    }
    if (result_.type(found->second) != type)
      fail(Status::invalid_program, "expected ", type_to_string(result_.type(found->second)),
           " at the port '", name, "' of a chain, seen ", type_to_string(type));
    read_.insert(found->second);
    return found->second;
  }

  void append(const ChainLink& link, const Operation& source, std::vector<ValueId>& values) {
    const Function& function = *link.function;
    Operation op = source;
    for (Argument& argument : op.arguments)
      for (ValueId& id : argument.values) id = values[static_cast<size_t>(id)];
    for (ValueId& id : op.outputs) {
      const bool is_port =
          std::find(function.outputs.begin(), function.outputs.end(), id) != function.outputs.end();
      std::string name = is_port ? port_name(link, id) : unique_name(function.value(id).name);
      const ValueId source_id = id;
      id = add_value(std::move(name), function.type(id), static_cast<int32_t>(result_.ops.size()));
      values[static_cast<size_t>(source_id)] = id;
    }
    if (op.outputs.size() == 1)
      for (Attribute& attribute : op.attributes)
        if (attribute.name == "name")
          attribute.value = Literal::string(result_.value(op.outputs.front()).name);
    result_.ops.push_back(std::move(op));
  }

  ValueId add_value(std::string name, const Type& type, int32_t producer) {
    result_.values.push_back({std::move(name), type, producer});
    return static_cast<ValueId>(result_.values.size()) - 1;
  }

  std::string unique_name(const std::string& base) {
    std::string name = base;
    for (int64_t& suffix = suffixes_[base]; !names_.insert(name).second; ++suffix)
      name = base + "_" + std::to_string(suffix);
    return name;
  }

  std::span<const ChainLink> links_;
  Function result_;
  std::unordered_map<std::string, ValueId> ports_; // of the links so far
  std::vector<std::pair<ValueId, std::string>> outputs_;
  std::unordered_set<ValueId> read_; // inputs of links
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int64_t> suffixes_; // the next one to try for a taken name
};

} // namespace

Function chain(std::span<const ChainLink> links, std::span<const std::string> returned) {
  if (links.empty()) fail(Status::invalid_program, "expected a chain of functions, seen none");
  return Chain(links).join(returned);
}

} // namespace anet::mil
