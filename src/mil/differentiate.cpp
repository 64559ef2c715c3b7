#include "mil/differentiate.h"

#include "base/status.h"
#include "mil/gradient/context.h"
#include "mil/gradient/partition.h"
#include "mil/gradient/transposed_operands.h"
#include "mil/passes/extract.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace anet::mil {

namespace {

using gradient::Gradients;
using gradient::RuleEntry;

// The named ports, or every floating one when no name is given.
std::vector<ValueId> select_ports(const Function& function, const std::vector<ValueId>& ports,
                                  const std::vector<std::string>& names, const char* kind) {
  std::vector<ValueId> selected;
  if (names.empty()) {
    std::copy_if(ports.begin(), ports.end(), std::back_inserter(selected),
                 [&](ValueId id) { return is_floating(function.type(id).dtype); });
    return selected;
  }
  for (const std::string& name : names) {
    const auto found = std::find_if(ports.begin(), ports.end(),
                                    [&](ValueId id) { return function.value(id).name == name; });
    if (found == ports.end()) fail(Status::not_found, "expected an ", kind, " named ", name);
    if (!is_floating(function.type(*found).dtype)) {
      fail(Status::type_mismatch, "expected a floating ", kind, " to differentiate, got ", name,
           " of type ", type_to_string(function.type(*found)));
    }
    selected.push_back(*found);
  }
  return selected;
}

struct Request {
  std::vector<ValueId> inputs;  // gradients are wanted for these
  std::vector<ValueId> outputs; // these get a seed
};

std::string gradient_name(const Function& function, ValueId id) {
  return "d_" + function.value(id).name;
}

// A copy of the function that leaves the names of gradients and seeds free.
Function with_free_names(const Function& function, const Request& request) {
  std::unordered_set<std::string> reserved;
  for (const std::vector<ValueId>& ids : {request.inputs, request.outputs}) {
    for (ValueId id : ids) {
      const std::string name = gradient_name(function, id);
      if (!reserved.insert(name).second) {
        fail(Status::invalid_program, "expected distinct inputs and outputs, got ",
             function.value(id).name, " twice");
      }
    }
  }
  std::unordered_set<std::string> taken = reserved;
  for (const Value& value : function.values) taken.insert(value.name);
  Function copy = function;
  for (size_t i = 0; i < copy.values.size(); ++i) {
    Value& value = copy.values[i];
    if (reserved.find(value.name) == reserved.end()) continue;
    const auto id = static_cast<ValueId>(i);
    if (value.producer < 0 || is_output(copy, id)) {
      fail(Status::invalid_program, "expected no port named ", value.name,
           ", which is the name of a gradient");
    }
    std::string name = value.name + "_inner";
    while (!taken.insert(name).second) name += "_";
    value.name = std::move(name);
  }
  return copy;
}

// Floating values that depend on a differentiated input through ops with a gradient. Throws for an
// op without one that a seeded output depends on.
std::vector<bool> find_wanted(const Function& function, const Request& request) {
  std::vector<bool> needed(function.values.size(), false); // by the seeded outputs
  for (ValueId id : request.outputs) needed[static_cast<size_t>(id)] = true;
  for (size_t i = function.ops.size(); i-- > 0;) {
    const Operation& op = function.ops[i];
    const bool live = std::any_of(op.outputs.begin(), op.outputs.end(),
                                  [&](ValueId id) { return needed[static_cast<size_t>(id)]; });
    if (!live) continue;
    for (const Argument& argument : op.arguments) {
      for (ValueId id : argument.values) needed[static_cast<size_t>(id)] = true;
    }
  }
  std::vector<bool> wanted(function.values.size(), false);
  for (ValueId id : request.inputs) wanted[static_cast<size_t>(id)] = true;
  for (const Operation& op : function.ops) {
    bool depends = false;
    for (const Argument& argument : op.arguments) {
      for (ValueId id : argument.values) depends |= wanted[static_cast<size_t>(id)];
    }
    if (!depends || !needed[static_cast<size_t>(op.outputs.front())]) continue;
    const RuleEntry* entry = gradient::find_rule(op.name());
    if (entry == nullptr) {
      fail(Status::unsupported, op.name(), " has no gradient, needed for ",
           function.value(op.outputs.front()).name);
    }
    for (ValueId id : op.outputs) {
      wanted[static_cast<size_t>(id)] =
          entry->rule != nullptr && is_floating(function.type(id).dtype);
    }
  }
  return wanted;
}

// Writes the gradients of the request's inputs behind the function's ops and returns them.
// seeds[i] is the gradient of request.outputs[i].
std::vector<ValueId> write_gradients(Builder& builder, const Function& function,
                                     const Request& request, const std::vector<ValueId>& seeds) {
  Gradients gradients(builder, find_wanted(function, request));
  for (size_t i = 0; i < seeds.size(); ++i) gradients.add(request.outputs[i], seeds[i]);
  for (size_t i = function.ops.size(); i-- > 0;) {
    const Operation& op = function.ops[i];
    const bool reached = std::any_of(op.outputs.begin(), op.outputs.end(),
                                     [&](ValueId id) { return gradients.has(id); });
    if (!reached) continue;
    gradient::Context context(builder, function, op, gradients);
    gradient::find_rule(op.name())->rule(context);
  }
  std::vector<ValueId> results;
  for (ValueId id : request.inputs) {
    const ValueId sum = gradients.of(id);
    results.push_back(sum != no_value ? sum : gradient::zeros(builder, function.type(id)));
  }
  return results;
}

void write_outputs(Builder& builder, const Function& function, const Request& request,
                   const std::vector<ValueId>& gradients) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    builder.output(gradients[i], gradient_name(function, request.inputs[i]));
  }
}

Type without_buffer(Type type) {
  type.buffer.reset();
  return type;
}

// The joint function, optimized, and the value of it that each value of `function` became.
struct OptimizedJoint {
  gradient::Joint joint;
  std::vector<ValueId> values;
};

// Values follow what the rewriting made of them.
void follow(std::vector<ValueId>& values, const Rewritten& rewritten) {
  for (ValueId& id : values)
    if (id != no_value) id = rewritten.values[static_cast<size_t>(id)];
}

OptimizedJoint make_joint(const Function& function, const Request& request,
                          const TransposedOperands& transposed = {}) {
  Builder builder(function);
  std::vector<ValueId> seeds;
  for (ValueId id : request.outputs) {
    seeds.push_back(builder.input(gradient_name(function, id), without_buffer(function.type(id))));
  }
  write_outputs(builder, function, request, write_gradients(builder, function, request, seeds));
  Rewritten rewritten = rewrite_optimized(std::move(builder).finish());
  follow(seeds, rewritten);
  if (transposed.most > 0) {
    Rewritten next = gradient::rewrite_transposed_operands(rewritten.function, seeds, transposed);
    follow(seeds, next);
    follow(rewritten.values, next);
    rewritten.function = std::move(next.function);
  }

  OptimizedJoint result;
  gradient::Joint& joint = result.joint;
  joint.function = std::move(rewritten.function);
  joint.is_forward.assign(joint.function.values.size(), false);
  joint.is_seed.assign(joint.function.values.size(), false);
  for (size_t i = 0; i < function.values.size(); ++i) {
    const ValueId id = rewritten.values[i];
    if (id != no_value) joint.is_forward[static_cast<size_t>(id)] = true;
  }
  for (ValueId id : seeds) joint.is_seed[static_cast<size_t>(id)] = true;
  const auto& outputs = joint.function.outputs;
  const auto split = outputs.begin() + std::ssize(function.outputs);
  joint.outputs.assign(outputs.begin(), split);
  joint.gradients.assign(split, outputs.end());
  result.values = std::move(rewritten.values);
  result.values.resize(function.values.size());
  return result;
}

std::vector<NamedValue> named(const Function& function, const std::vector<ValueId>& ids) {
  std::vector<NamedValue> ports;
  for (ValueId id : ids) ports.push_back({id, function.value(id).name});
  return ports;
}

// The listed taps by value of the joint function.
std::vector<bool> mark_listed(const Function& function, const OptimizedJoint& optimized,
                              const std::vector<std::string>& names) {
  std::vector<bool> listed(optimized.joint.function.values.size(), false);
  for (const std::string& name : names) {
    const ValueId id = function.find(name);
    if (id == no_value) fail(Status::not_found, "expected a tap that is a value, got ", name);
    const ValueId value = optimized.values[static_cast<size_t>(id)];
    if (value != no_value) listed[static_cast<size_t>(value)] = true;
  }
  return listed;
}

} // namespace

Derivative differentiate(const Function& function, const DifferentiateOptions& options) {
  const Request request{select_ports(function, function.inputs, options.with_respect_to, "input"),
                        select_ports(function, function.outputs, options.outputs, "output")};
  const OptimizedJoint optimized =
      make_joint(with_free_names(function, request), request, options.transposed_operands);
  const gradient::Joint& joint = optimized.joint;
  const std::vector<ValueId> taps = gradient::choose_taps(
      joint, options.taps, mark_listed(function, optimized, options.tap_names), options.tap_costs);

  std::vector<ValueId> inputs;
  std::vector<ValueId> seeds;
  for (ValueId id : joint.function.inputs) {
    (joint.is_seed[static_cast<size_t>(id)] ? seeds : inputs).push_back(id);
  }
  std::vector<ValueId> forward_outputs = joint.outputs;
  std::vector<ValueId> backward_inputs = gradient::inputs_read(joint, taps);
  Derivative derivative;
  for (ValueId id : taps) {
    derivative.taps.push_back(joint.function.value(id).name);
    if (std::find(joint.outputs.begin(), joint.outputs.end(), id) == joint.outputs.end()) {
      forward_outputs.push_back(id);
    }
  }
  backward_inputs.insert(backward_inputs.end(), taps.begin(), taps.end());
  backward_inputs.insert(backward_inputs.end(), seeds.begin(), seeds.end());

  derivative.forward = extract(joint.function, named(joint.function, inputs),
                               named(joint.function, forward_outputs));
  derivative.backward = extract(joint.function, named(joint.function, backward_inputs),
                                named(joint.function, joint.gradients));
  verify(derivative.forward);
  verify(derivative.backward);
  return derivative;
}

Function value_and_gradient(const Function& function, const DifferentiateOptions& options) {
  const Request request{select_ports(function, function.inputs, options.with_respect_to, "input"),
                        select_ports(function, function.outputs, options.outputs, "output")};
  Function joint = make_joint(with_free_names(function, request), request).joint.function;
  verify(joint);
  return joint;
}

bool has_gradient(const OpSchema& schema) { return gradient::find_rule(schema.name) != nullptr; }

} // namespace anet::mil
