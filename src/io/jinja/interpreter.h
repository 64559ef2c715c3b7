// One rendering: walks the tree of a template.
#pragma once

#include "base/json.h"
#include "io/jinja/runtime.h"
#include "io/jinja/syntax.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace anet::io::jinja {

// Names that a block has set. Scopes end with their block unless a macro has seen them.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<int32_t, Value>> bindings;
  bool seen_by_macro = false;

  Value* find(int32_t symbol);
  void set(int32_t symbol, Value value);
};

class Interpreter final : public Runtime {
public:
  Interpreter(const Syntax& syntax, const Json& context, const RenderOptions& options,
              std::vector<RenderedSpan>* generations);
  ~Interpreter() override;

  std::string run();
  Value call(const Value& callee, const Arguments& arguments) override;

private:
  enum class Flow : uint8_t { normal, break_loop, continue_loop };
  class NewScope;

  // Statements.
  Flow execute(const Body& body, Scope& scope);
  Flow execute(const Statement& statement, Scope& scope);
  Flow execute_condition(const Statement& statement, Scope& scope);
  Flow execute_loop(const Statement& statement, Scope& scope, const Value& iterable,
                    int32_t loop_depth);
  void execute_with(const Statement& statement, Scope& scope);
  void execute_call(const Statement& statement, Scope& scope);
  void execute_generation(const Statement& statement, Scope& scope);
  std::vector<Value> filtered_elements(const Statement& statement, Scope& scope,
                                       const Value& iterable);
  void assign(const Target& target, Value value, Scope& scope);
  void output(const Value& value);
  void output_text(std::string_view text);
  // What a body prints, as text; its own scope.
  Value capture(const Body& body, Scope& scope);
  Value captured_filtered(const Statement& statement, Scope& scope);
  Value make_macro(const Statement& statement, Scope& scope);
  Value call_macro(const Callable& macro, const Arguments& arguments);
  void bind_parameters(const Statement& macro, const Arguments& arguments, Scope& scope);
  Value call_loop(const LoopState& loop, const Arguments& arguments);

  // Expressions.
  Value evaluate(const Expression& expression, Scope& scope);
  Value evaluate_operation(const Expression& expression, Scope& scope);
  Value evaluate_name(const Expression& expression, Scope& scope);
  Value evaluate_compare(const Expression& expression, Scope& scope);
  Value evaluate_slice(const Expression& expression, Scope& scope);
  Value evaluate_concatenation(const Expression& expression, Scope& scope);
  Value evaluate_dictionary(const Expression& expression, Scope& scope);
  Value evaluate_call(const Expression& expression, Scope& scope, const Value* caller);
  Value evaluate_filter(const Expression& expression, Scope& scope);
  std::vector<Value> evaluate_all(const std::vector<ExpressionPtr>& expressions, Scope& scope);
  void evaluate_arguments(const CallArguments& given, Scope& scope, Arguments& arguments);
  const Value* context_value(int32_t symbol);
  Value from_json(const Json& json);

  const Syntax& syntax_;
  const Json& context_;
  std::vector<RenderedSpan>* generations_;
  std::vector<std::optional<Value>> context_values_; // by symbol, once they were asked for
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  std::string out_;
  int captures_ = 0; // out_ is not the template's own output
  int64_t depth_ = 0;
};

} // namespace anet::io::jinja
