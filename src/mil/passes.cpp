#include "mil/passes.h"

#include "base/status.h"
#include "mil/interpreter.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

namespace anet::mil {

namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool commutes(std::string_view op) {
  constexpr std::array<std::string_view, 4> ops{"add", "mul", "maximum", "minimum"};
  return std::find(ops.begin(), ops.end(), op) != ops.end();
}

// Equal keys are necessary for equal ops. Constants are sampled; they are compared in full after.
std::string literal_key(const Literal& literal) {
  constexpr size_t sample = 64;
  std::string key = type_to_string(literal.type);
  for (const std::string& text : literal.strings) key += '"' + text;
  const std::span<const std::byte> data = literal.data.view();
  const size_t size = std::min(sample, data.size());
  const auto append = [&](std::span<const std::byte> part) {
    key.append(reinterpret_cast<const char*>(part.data()), part.size());
  };
  append(data.first(size));
  append(data.last(size));
  return key;
}

// Two ops of one key compute the same, but for constants that the key only samples.
std::string operation_key(const Operation& op, const Function& source) {
  std::string key = op.name();
  key += '<' + op.opset + '>';
  for (const Argument& argument : op.arguments) {
    key += ' ' + argument.name + '=';
    for (ValueId id : argument.values) key += std::to_string(id) + ',';
  }
  for (const Attribute& attribute : op.attributes) {
    if (attribute.name != "name") key += ' ' + attribute.name + ':' + literal_key(attribute.value);
  }
  for (ValueId id : op.outputs) key += ' ' + type_to_string(source.type(id));
  return key;
}

// Operands in a fixed order where the order does not matter.
Operation canonical(Operation op) {
  if (!commutes(op.name()) || op.arguments.size() != 2) return op;
  ValueId& x = op.arguments[0].values.front();
  ValueId& y = op.arguments[1].values.front();
  if (x > y) std::swap(x, y);
  return op;
}

bool same_attributes(const Operation& a, const Operation& b) {
  const auto without_name = [](const Operation& op) {
    std::vector<const Attribute*> kept;
    for (const Attribute& attribute : op.attributes) {
      if (attribute.name != "name") kept.push_back(&attribute);
    }
    return kept;
  };
  const std::vector<const Attribute*> left = without_name(a);
  const std::vector<const Attribute*> right = without_name(b);
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const Attribute* x, const Attribute* y) { return *x == *y; });
}

bool is_foldable(const Function& function, const Operation& op, int64_t limit) {
  if (op.arguments.empty() || op.schema == const_schema()) return false;
  // Compressed constants stay compressed.
  if (starts_with(op.name(), "constexpr_")) return false;
  for (ValueId id : op.outputs) {
    if (function.type(id).elements() > limit || function.type(id).buffer) return false;
    // A constant has no name of its own to return, see Rewriter::finish.
    if (std::string_view(op.name()) == "identity" && is_output(function, id)) return false;
  }
  return true;
}

} // namespace

Rewritten rewrite_dead_code(const Function& function) {
  std::vector<bool> live(function.values.size(), false);
  for (ValueId id : function.outputs) live[static_cast<size_t>(id)] = true;
  std::vector<bool> kept(function.ops.size(), false);
  for (size_t i = function.ops.size(); i-- > 0;) {
    const Operation& op = function.ops[i];
    kept[i] = std::any_of(op.outputs.begin(), op.outputs.end(),
                          [&](ValueId id) { return live[static_cast<size_t>(id)]; });
    if (!kept[i]) continue;
    for (const Argument& argument : op.arguments) {
      for (ValueId id : argument.values) live[static_cast<size_t>(id)] = true;
    }
  }
  Rewriter rewriter(function);
  for (size_t i = 0; i < function.ops.size(); ++i) {
    if (kept[i]) {
      rewriter.keep(rewriter.with_mapped_arguments(function.ops[i]));
    } else {
      rewriter.drop();
    }
  }
  return std::move(rewriter).finish();
}

Rewritten rewrite_common_subexpressions(const Function& function) {
  Rewriter rewriter(function);
  std::unordered_multimap<std::string, size_t> seen; // ops of the result by key
  for (const Operation& source_op : function.ops) {
    Operation op = rewriter.with_mapped_arguments(source_op);
    std::string key = operation_key(canonical(op), function);
    const auto [first, last] = seen.equal_range(key);
    const auto equal = std::find_if(first, last, [&](const auto& entry) {
      return same_attributes(rewriter.result().ops[entry.second], op);
    });
    if (equal == last) {
      seen.emplace(std::move(key), rewriter.result().ops.size());
      rewriter.keep(std::move(op));
      continue;
    }
    const std::vector<ValueId>& outputs = rewriter.result().ops[equal->second].outputs;
    // The op that names an output which is another value's copy has to stay.
    const bool names_output =
        std::string_view(op.name()) == "identity" && is_output(function, op.outputs.front());
    if (names_output) {
      rewriter.keep(std::move(op));
      continue;
    }
    for (size_t i = 0; i < outputs.size(); ++i) rewriter.replace(op.outputs[i], outputs[i]);
  }
  return std::move(rewriter).finish();
}

Rewritten rewrite_constants(const Function& function, int64_t limit) {
  // Folding reads its operands; much larger ones than the result are not worth the time.
  const int64_t max_operand = limit * 64;
  Rewriter rewriter(function);
  std::vector<Tensor> folded(function.values.size());
  std::vector<const Tensor*> values(function.values.size(), nullptr);
  const auto is_known = [&](ValueId id) {
    return function.type(id).elements() <= max_operand &&
           (values[static_cast<size_t>(id)] != nullptr || function.constant(id) != nullptr);
  };
  for (const Operation& op : function.ops) {
    bool fold = is_foldable(function, op, limit);
    for (const Argument& argument : op.arguments) {
      fold = fold && std::all_of(argument.values.begin(), argument.values.end(), is_known);
    }
    if (!fold) {
      rewriter.keep(rewriter.with_mapped_arguments(op));
      continue;
    }
    std::vector<Tensor> outputs = interpret_op(function, op, values, Precision::f32);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ValueId id = op.outputs[i];
      Operation constant;
      constant.schema = const_schema();
      constant.attributes = {{"name", Literal::string(function.value(id).name)},
                             {"val", Literal::numbers(function.type(id), outputs[i].values)}};
      constant.outputs = {id};
      folded[static_cast<size_t>(id)] = std::move(outputs[i]);
      values[static_cast<size_t>(id)] = &folded[static_cast<size_t>(id)];
      rewriter.keep(std::move(constant));
      rewriter.mark_changed();
    }
  }
  return std::move(rewriter).finish();
}

namespace {

Function verified(Function function) {
  verify(function);
  return function;
}

} // namespace

Function eliminate_dead_code(const Function& function) {
  return verified(rewrite_dead_code(function).function);
}

Function eliminate_common_subexpressions(const Function& function) {
  return verified(rewrite_common_subexpressions(function).function);
}

Function fold_constants(const Function& function, int64_t limit) {
  return verified(rewrite_constants(function, limit).function);
}

Function simplify(const Function& function) {
  return verified(rewrite_simplified(function).function);
}

Rewritten rewrite_optimized(const Function& function) {
  constexpr int64_t max_folded = 4096;
  // Each round shortens chains of ops; the bound only guards against rules that undo each other.
  constexpr int max_rounds = 16;
  Rewritten current = rewrite_dead_code(function);
  const auto follow = [&](Rewritten next) {
    for (ValueId& id : current.values)
      id = id == no_value ? id : next.values[static_cast<size_t>(id)];
    current.function = std::move(next.function);
    return next.changed;
  };
  for (int round = 0; round < max_rounds; ++round) {
    bool changed = follow(rewrite_simplified(current.function));
    changed |= follow(rewrite_constants(current.function, max_folded));
    changed |= follow(rewrite_common_subexpressions(current.function));
    follow(rewrite_dead_code(current.function));
    if (!changed) break;
  }
  return current;
}

Function optimize(const Function& function) {
  return verified(rewrite_optimized(function).function);
}

} // namespace anet::mil
