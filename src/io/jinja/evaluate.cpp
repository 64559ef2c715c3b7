// Expressions of the interpreter.
#include "base/utf8.h"
#include "io/jinja/builtins.h"
#include "io/jinja/interpreter.h"
#include "io/jinja/operations.h"

namespace anet::io::jinja {

Value Interpreter::evaluate(const Expression& expression, Scope& scope) {
  charge(1);
  if (expression.kind == Expression::Kind::constant) return expression.value;
  if (expression.kind == Expression::Kind::name) return evaluate_name(expression, scope);
  const DepthGuard guard(*this, depth_);
  return evaluate_operation(expression, scope);
}

Value Interpreter::evaluate_operation(const Expression& expression, Scope& scope) {
  const auto operand = [&](size_t i) { return evaluate(*expression.operands[i], scope); };
  switch (expression.kind) {
  case Expression::Kind::list:
    return list(evaluate_all(expression.operands, scope));
  case Expression::Kind::tuple:
    return list(evaluate_all(expression.operands, scope), Sequence::Flavor::tuple);
  case Expression::Kind::dictionary:
    return evaluate_dictionary(expression, scope);
  case Expression::Kind::logical_not:
    return Value(!truth(operand(0)));
  case Expression::Kind::logical_and:
  case Expression::Kind::logical_or: {
    const bool stop = expression.kind == Expression::Kind::logical_or;
    Value value;
    for (size_t i = 0; i < expression.operands.size(); ++i) {
      value = operand(i);
      if (truth(value) == stop) break;
    }
    return value;
  }
  case Expression::Kind::conditional:
    if (truth(operand(0))) return operand(1);
    if (expression.operands[2] != nullptr) return operand(2);
    return undefined("an inline if without else has no value");
  case Expression::Kind::compare:
    return evaluate_compare(expression, scope);
  case Expression::Kind::concatenate:
    return evaluate_concatenation(expression, scope);
  case Expression::Kind::slice:
    return evaluate_slice(expression, scope);
  case Expression::Kind::call:
    return evaluate_call(expression, scope, nullptr);
  case Expression::Kind::filter:
  case Expression::Kind::test:
    return evaluate_filter(expression, scope);
  default:
    break;
  }
  const Value first = operand(0);
  const Value second = expression.operands.size() > 1 ? operand(1) : Value();
  position = expression.position;
  switch (expression.kind) {
  case Expression::Kind::binary:
    return binary(*this, expression.operation, first, second);
  case Expression::Kind::negate:
    return negate(*this, first);
  case Expression::Kind::plus:
    return negate(*this, negate(*this, first));
  case Expression::Kind::attribute:
    return attribute(*this, first, expression.text);
  case Expression::Kind::item:
    return item(*this, first, second);
  default:
    fail_at(position, Status::internal, "an expression of an unknown kind");
  }
}

Value Interpreter::evaluate_name(const Expression& expression, Scope& scope) {
  for (Scope* at = &scope; at != nullptr; at = at->parent)
    if (const Value* value = at->find(expression.symbol)) return *value;
  if (const Value* value = context_value(expression.symbol)) return *value;
  return undefined(concat("'", expression.text, "' is undefined"));
}

// From the caller's context, else a function that every template knows.
const Value* Interpreter::context_value(int32_t symbol) {
  std::optional<Value>& slot = context_values_[static_cast<size_t>(symbol)];
  if (slot) return &*slot;
  const std::string& name = syntax_.symbols[static_cast<size_t>(symbol)];
  if (const Json* json = context_.find(name)) {
    slot = from_json(*json);
  } else if (const NativeFunction function = find_function(name)) {
    auto callable = std::make_shared<Callable>();
    callable->name = name;
    callable->function = function;
    slot = Value(std::shared_ptr<const Callable>(std::move(callable)));
  }
  return slot ? &*slot : nullptr;
}

Value Interpreter::from_json(const Json& json) {
  const DepthGuard guard(*this, depth_);
  switch (json.kind()) {
  case Json::Kind::null:
    return Value(None());
  case Json::Kind::boolean:
    return Value(*json.if_boolean());
  case Json::Kind::string:
    if (find_invalid_utf8(*json.if_string()) != std::string_view::npos)
      fail_here("expected text in UTF-8, seen invalid bytes");
    return text(*json.if_string());
  case Json::Kind::number:
    if (const auto integer = json.to_int64()) return Value(*integer);
    if (const auto large = json.to_uint64())
      fail_here("expected integers of 64 bits, seen ", *large);
    return Value(*json.to_double());
  case Json::Kind::array: {
    std::vector<Value> elements;
    for (const Json& element : *json.if_array()) elements.push_back(from_json(element));
    return list(std::move(elements));
  }
  case Json::Kind::object: {
    std::vector<std::pair<Value, Value>> entries;
    for (const JsonMember& member : *json.if_object()) {
      if (find_invalid_utf8(member.key) != std::string_view::npos)
        fail_here("expected keys in UTF-8, seen invalid bytes");
      Value key = text(member.key);
      entries.emplace_back(std::move(key), from_json(member.value));
    }
    return dictionary(std::move(entries));
  }
  }
  return {};
}

Value Interpreter::evaluate_compare(const Expression& expression, Scope& scope) {
  Value left = evaluate(*expression.operands[0], scope);
  for (size_t i = 0; i < expression.comparisons.size(); ++i) {
    Value right = evaluate(*expression.operands[i + 1], scope);
    position = expression.position;
    const auto is_nan = [](const Value& value) {
      return value.if_floating() != nullptr && *value.if_floating() != *value.if_floating();
    };
    const auto ordered = [&] { return !is_nan(left) && !is_nan(right); };
    bool holds = false;
    switch (expression.comparisons[i]) {
    case CompareOperator::equal:
      holds = equal(*this, left, right);
      break;
    case CompareOperator::not_equal:
      holds = !equal(*this, left, right);
      break;
    case CompareOperator::less:
      holds = compare(*this, left, right) < 0 && ordered();
      break;
    case CompareOperator::less_equal:
      holds = compare(*this, left, right) <= 0 && ordered();
      break;
    case CompareOperator::greater:
      holds = compare(*this, left, right) > 0 && ordered();
      break;
    case CompareOperator::greater_equal:
      holds = compare(*this, left, right) >= 0 && ordered();
      break;
    case CompareOperator::in:
      holds = contains(*this, right, left);
      break;
    case CompareOperator::not_in:
      holds = !contains(*this, right, left);
      break;
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate_slice(const Expression& expression, Scope& scope) {
  const Value object = evaluate(*expression.operands[0], scope);
  const auto bound = [&](size_t i) -> std::optional<int64_t> {
    if (expression.operands[i] == nullptr) return std::nullopt;
    const Value value = evaluate(*expression.operands[i], scope);
    if (value.is_none()) return std::nullopt;
    if (const int64_t* integer = value.if_integer()) return *integer;
    if (const bool* boolean = value.if_boolean()) return *boolean ? 1 : 0;
    position = expression.operands[i]->position;
    if (value.is_undefined()) fail_undefined(value);
    fail_here("expected an integer in a slice, seen ", kind_name(value));
  };
  SliceBounds bounds;
  bounds.start = bound(1);
  bounds.stop = bound(2);
  bounds.step = bound(3);
  position = expression.position;
  return slice(*this, object, bounds);
}

Value Interpreter::evaluate_concatenation(const Expression& expression, Scope& scope) {
  std::string result;
  for (const ExpressionPtr& operand : expression.operands) {
    const Value value = evaluate(*operand, scope);
    position = expression.position;
    append_text(*this, result, value);
  }
  return text(std::move(result));
}

Value Interpreter::evaluate_dictionary(const Expression& expression, Scope& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < expression.operands.size(); i += 2) {
    Value key = evaluate(*expression.operands[i], scope);
    entries.emplace_back(std::move(key), evaluate(*expression.operands[i + 1], scope));
  }
  position = expression.position;
  return dictionary(std::move(entries));
}

std::vector<Value> Interpreter::evaluate_all(const std::vector<ExpressionPtr>& expressions,
                                             Scope& scope) {
  std::vector<Value> values;
  values.reserve(expressions.size());
  for (const ExpressionPtr& expression : expressions)
    values.push_back(evaluate(*expression, scope));
  return values;
}

void Interpreter::evaluate_arguments(const CallArguments& given, Scope& scope,
                                     Arguments& arguments) {
  for (const ExpressionPtr& expression : given.positional)
    arguments.positional.push_back(evaluate(*expression, scope));
  for (const auto& [name, expression] : given.named)
    arguments.named.emplace_back(name, evaluate(*expression, scope));
  if (given.spread != nullptr) {
    std::vector<Value> values = iterate(*this, evaluate(*given.spread, scope));
    arguments.positional.insert(arguments.positional.end(), values.begin(), values.end());
  }
  if (given.spread_named == nullptr) return;
  const Value values = evaluate(*given.spread_named, scope);
  const Dictionary* dictionary = values.if_dictionary();
  if (dictionary == nullptr)
    fail_here("expected a dictionary behind '**', seen ", kind_name(values));
  charge_elements(dictionary->entries.size());
  for (const auto& [key, value] : dictionary->entries) {
    if (key.if_string() == nullptr) fail_here("expected names behind '**', seen ", kind_name(key));
    arguments.named.emplace_back(*key.if_string(), value);
  }
}

Value Interpreter::evaluate_call(const Expression& expression, Scope& scope, const Value* caller) {
  const Value callee = evaluate(*expression.operands[0], scope);
  Arguments arguments;
  evaluate_arguments(*expression.arguments, scope, arguments);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  position = expression.position;
  return call(callee, arguments);
}

Value Interpreter::evaluate_filter(const Expression& expression, Scope& scope) {
  Arguments arguments;
  arguments.positional.push_back(evaluate(*expression.operands[0], scope));
  if (expression.arguments != nullptr) evaluate_arguments(*expression.arguments, scope, arguments);
  position = expression.position;
  return expression.function(*this, arguments);
}

} // namespace anet::io::jinja
