#include "io/jinja/interpreter.h"

#include "io/jinja/builtins.h"
#include "io/jinja/callable.h"
#include "io/jinja/operations.h"

#include <algorithm>

namespace anet::io::jinja {

Value* Scope::find(int32_t symbol) {
  for (auto& [known, value] : bindings)
    if (known == symbol) return &value;
  return nullptr;
}

void Scope::set(int32_t symbol, Value value) {
  if (Value* known = find(symbol))
    *known = std::move(value);
  else
    bindings.emplace_back(symbol, std::move(value));
}

// A scope for a block; kept for the whole rendering if a macro has seen it.
class Interpreter::NewScope {
public:
  NewScope(Interpreter& interpreter, Scope* parent)
      : interpreter_(interpreter), scope_(std::make_unique<Scope>()) {
    scope_->parent = parent;
  }
  ~NewScope() { keep_if_seen(); }
  NewScope(const NewScope&) = delete;
  NewScope& operator=(const NewScope&) = delete;

  Scope& operator*() { return *scope_; }
  // For the next round of a loop.
  void renew() {
    Scope* parent = scope_->parent;
    keep_if_seen();
    if (scope_ == nullptr) scope_ = std::make_unique<Scope>();
    scope_->parent = parent;
    scope_->bindings.clear();
  }

private:
  void keep_if_seen() {
    if (scope_->seen_by_macro) interpreter_.kept_scopes_.push_back(std::move(scope_));
  }

  Interpreter& interpreter_;
  std::unique_ptr<Scope> scope_;
};

namespace {

// Everything above stays too.
void mark_seen(Scope& scope) {
  for (Scope* at = &scope; at != nullptr && !at->seen_by_macro; at = at->parent)
    at->seen_by_macro = true;
}

} // namespace

Interpreter::Interpreter(const Syntax& syntax, const Json& context, const RenderOptions& options,
                         std::vector<RenderedSpan>* generations)
    : Runtime(options), syntax_(syntax), context_(context), generations_(generations),
      context_values_(syntax.symbols.size()) {}

Interpreter::~Interpreter() {
  // Namespaces may be part of themselves; the list holds each while others are taken apart.
  for (const auto& space : namespaces_) space->attributes.clear();
}

std::string Interpreter::run() {
  NewScope scope(*this, nullptr);
  execute(syntax_.body, *scope);
  return std::move(out_);
}

// --- Statements ----------------------------------------------------------------------------------

void Interpreter::output_text(std::string_view text) {
  charge_text(text.size());
  check_text_size(out_.size() + text.size());
  out_ += text;
}

void Interpreter::output(const Value& value) { append_text(*this, out_, value); }

Interpreter::Flow Interpreter::execute(const Body& body, Scope& scope) {
  for (const Statement& statement : body)
    if (const Flow flow = execute(statement, scope); flow != Flow::normal) return flow;
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement, Scope& scope) {
  const DepthGuard guard(*this, depth_);
  charge(1);
  position = statement.position;
  switch (statement.kind) {
  case Statement::Kind::text:
    output_text(statement.text);
    return Flow::normal;
  case Statement::Kind::output:
    for (const ExpressionPtr& expression : statement.expressions) {
      const Value value = evaluate(*expression, scope);
      position = expression->position;
      output(value);
    }
    return Flow::normal;
  case Statement::Kind::condition:
    return execute_condition(statement, scope);
  case Statement::Kind::loop:
    return execute_loop(statement, scope, evaluate(*statement.expressions[0], scope), 1);
  case Statement::Kind::assign:
    assign(statement.targets[0], evaluate(*statement.expressions[0], scope), scope);
    return Flow::normal;
  case Statement::Kind::capture:
    assign(statement.targets[0], captured_filtered(statement, scope), scope);
    return Flow::normal;
  case Statement::Kind::filter:
    output(captured_filtered(statement, scope));
    return Flow::normal;
  case Statement::Kind::scope:
    execute_with(statement, scope);
    return Flow::normal;
  case Statement::Kind::macro:
    scope.set(statement.symbol, make_macro(statement, scope));
    return Flow::normal;
  case Statement::Kind::call:
    execute_call(statement, scope);
    return Flow::normal;
  case Statement::Kind::generation:
    execute_generation(statement, scope);
    return Flow::normal;
  case Statement::Kind::break_loop:
    return Flow::break_loop;
  case Statement::Kind::continue_loop:
    return Flow::continue_loop;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute_condition(const Statement& statement, Scope& scope) {
  for (size_t i = 0; i < statement.expressions.size(); ++i)
    if (truth(evaluate(*statement.expressions[i], scope)))
      return execute(statement.bodies[i], scope);
  if (statement.bodies.size() > statement.expressions.size())
    return execute(statement.bodies.back(), scope);
  return Flow::normal;
}

std::vector<Value> Interpreter::filtered_elements(const Statement& statement, Scope& scope,
                                                  const Value& iterable) {
  position = statement.expressions[0]->position;
  std::vector<Value> elements = iterate(*this, iterable);
  if (statement.expressions[1] == nullptr) return elements;
  std::vector<Value> chosen;
  NewScope round(*this, &scope);
  for (Value& element : elements) {
    round.renew();
    assign(statement.targets[0], element, *round);
    if (truth(evaluate(*statement.expressions[1], *round))) chosen.push_back(std::move(element));
  }
  return chosen;
}

Interpreter::Flow Interpreter::execute_loop(const Statement& statement, Scope& scope,
                                            const Value& iterable, int32_t loop_depth) {
  auto state = std::make_shared<LoopState>();
  state->elements = filtered_elements(statement, scope, iterable);
  state->value_depth = depth_of_elements(state->elements) + 1;
  state->depth = loop_depth;
  if (statement.recursive) {
    state->statement = &statement;
    state->scope = &scope;
    mark_seen(scope);
  }
  const Value loop{std::shared_ptr<const LoopState>(state)};
  bool completed = false; // a round, for Jinja runs `else` if break or continue ended all
  NewScope round(*this, &scope);
  for (size_t i = 0; i < state->elements.size(); ++i) {
    charge(1);
    state->index = i;
    round.renew();
    assign(statement.targets[0], state->elements[i], *round);
    (*round).set(symbol_loop, loop);
    const Flow flow = execute(statement.bodies[0], *round);
    if (flow == Flow::break_loop) break;
    completed = completed || flow == Flow::normal;
  }
  if (completed || statement.bodies.size() < 2) return Flow::normal;
  return execute(statement.bodies[1], scope);
}

void Interpreter::execute_with(const Statement& statement, Scope& scope) {
  NewScope inner(*this, &scope);
  // The values see what is outside alone.
  std::vector<Value> values = evaluate_all(statement.expressions, scope);
  for (size_t i = 0; i < values.size(); ++i)
    assign(statement.targets[i], std::move(values[i]), *inner);
  execute(statement.bodies[0], *inner);
}

void Interpreter::execute_call(const Statement& statement, Scope& scope) {
  const Value caller = make_macro(statement, scope);
  output(evaluate_call(*statement.expressions[0], scope, &caller));
}

void Interpreter::execute_generation(const Statement& statement, Scope& scope) {
  const size_t begin = out_.size();
  {
    NewScope inner(*this, &scope);
    execute(statement.bodies[0], *inner);
  }
  if (captures_ == 0 && generations_ != nullptr) generations_->push_back({begin, out_.size()});
}

void Interpreter::assign(const Target& target, Value value, Scope& scope) {
  position = target.position;
  charge(1);
  if (target.is_tuple) {
    std::vector<Value> values = iterate(*this, value);
    if (value.is_undefined()) fail_undefined(value);
    if (values.size() != target.elements.size())
      fail_here("expected ", target.elements.size(), " values to unpack, seen ", values.size());
    for (size_t i = 0; i < values.size(); ++i)
      assign(target.elements[i], std::move(values[i]), scope);
    return;
  }
  if (target.attribute.empty()) {
    scope.set(target.symbol, std::move(value));
    return;
  }
  const Value* holder = nullptr;
  for (Scope* at = &scope; at != nullptr && holder == nullptr; at = at->parent)
    holder = at->find(target.symbol);
  Namespace* space = holder == nullptr ? nullptr : holder->if_namespace();
  if (space == nullptr)
    fail_here("expected a namespace to set '", target.attribute, "' of, seen ",
              holder == nullptr ? "an undefined value" : kind_name(*holder));
  charge_elements(space->attributes.size() / 8);
  for (auto& [name, known] : space->attributes) {
    if (name != target.attribute) continue;
    known = std::move(value);
    return;
  }
  space->attributes.emplace_back(target.attribute, std::move(value));
}

Value Interpreter::capture(const Body& body, Scope& scope) {
  std::string outer = std::exchange(out_, {});
  ++captures_;
  try {
    NewScope inner(*this, &scope);
    execute(body, *inner);
  } catch (...) {
    --captures_;
    out_ = std::move(outer);
    throw;
  }
  --captures_;
  std::string text = std::exchange(out_, std::move(outer));
  return this->text(std::move(text));
}

Value Interpreter::captured_filtered(const Statement& statement, Scope& scope) {
  Value captured = capture(statement.bodies[0], scope);
  if (statement.expressions[0] == nullptr) return captured;
  NewScope inner(*this, &scope);
  (*inner).set(symbol_captured, std::move(captured));
  return evaluate(*statement.expressions[0], *inner);
}

// --- Calls ---------------------------------------------------------------------------------------

Value Interpreter::make_macro(const Statement& statement, Scope& scope) {
  charge(1);
  mark_seen(scope);
  auto macro = std::make_shared<Callable>();
  macro->kind = Callable::Kind::macro;
  macro->name = statement.text;
  macro->macro = &statement;
  macro->scope = &scope;
  return Value(std::shared_ptr<const Callable>(std::move(macro)));
}

void Interpreter::bind_parameters(const Statement& macro, const Arguments& arguments,
                                  Scope& scope) {
  const std::vector<MacroParameter>& parameters = macro.parameters;
  const size_t positional = std::min(arguments.positional.size(), parameters.size());
  for (size_t i = 0; i < positional; ++i) scope.set(parameters[i].symbol, arguments.positional[i]);
  if (arguments.positional.size() > parameters.size() && !macro.takes_varargs)
    fail_here("expected at most ", parameters.size(), " arguments for ", macro.text, ", seen ",
              arguments.positional.size());
  std::vector<std::pair<Value, Value>> others;
  bool has_caller = false;
  for (const auto& [name, value] : arguments.named) {
    const auto found =
        std::find_if(parameters.begin(), parameters.end(),
                     [&, &wanted = name](const auto& known) { return known.name == wanted; });
    charge_elements(parameters.size() / 8);
    if (found != parameters.end()) {
      if (found - parameters.begin() < static_cast<std::ptrdiff_t>(positional))
        fail_here(macro.text, " has two values for '", name, "'");
      scope.set(found->symbol, value);
    } else if (name == "caller" && macro.takes_caller) {
      scope.set(symbol_caller, value);
      has_caller = true;
    } else if (macro.takes_kwargs) {
      others.emplace_back(text(name), value);
    } else {
      fail_here(macro.text, " has no argument '", name, "'");
    }
  }
  for (const MacroParameter& parameter : parameters) {
    if (scope.find(parameter.symbol) != nullptr) continue;
    scope.set(parameter.symbol,
              parameter.fallback != nullptr
                  ? evaluate(*parameter.fallback, scope)
                  : undefined(concat("the argument '", parameter.name, "' was not given")));
  }
  if (macro.takes_caller && !has_caller && scope.find(symbol_caller) == nullptr)
    scope.set(symbol_caller, undefined("there is no caller"));
  if (macro.takes_kwargs) scope.set(symbol_kwargs, dictionary(std::move(others)));
  if (macro.takes_varargs)
    scope.set(symbol_varargs,
              list({arguments.positional.begin() + static_cast<std::ptrdiff_t>(positional),
                    arguments.positional.end()},
                   Sequence::Flavor::tuple));
}

Value Interpreter::call_macro(const Callable& macro, const Arguments& arguments) {
  const Statement& statement = *macro.macro;
  NewScope parameters(*this, macro.scope);
  bind_parameters(statement, arguments, *parameters);
  return capture(statement.bodies[0], *parameters);
}

Value Interpreter::call_loop(const LoopState& loop, const Arguments& arguments) {
  if (loop.statement == nullptr) fail_here("expected a recursive loop to call");
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    fail_here("expected one argument for a recursive loop");
  std::string outer = std::exchange(out_, {});
  ++captures_;
  try {
    execute_loop(*loop.statement, *loop.scope, arguments.positional[0], loop.depth + 1);
  } catch (...) {
    --captures_;
    out_ = std::move(outer);
    throw;
  }
  --captures_;
  return text(std::exchange(out_, std::move(outer)));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  const DepthGuard guard(*this, depth_);
  charge(1);
  if (const LoopState* loop = callee.if_loop()) return call_loop(*loop, arguments);
  const Callable* callable = callee.if_callable();
  if (callable == nullptr) {
    if (callee.is_undefined()) fail_undefined(callee);
    fail_here("expected a function to call, seen ", kind_name(callee));
  }
  switch (callable->kind) {
  case Callable::Kind::function:
    return callable->function(*this, arguments);
  case Callable::Kind::method:
    return callable->method(*this, callable->object, arguments);
  case Callable::Kind::macro:
    return call_macro(*callable, arguments);
  }
  fail_here("expected a function to call");
}

} // namespace anet::io::jinja
