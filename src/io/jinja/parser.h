// Recursive descent over the tokens: expressions here, statements on top.
#pragma once

#include "io/jinja/lexer.h"
#include "io/jinja/syntax.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace anet::io::jinja {

class ExpressionParser {
public:
  explicit ExpressionParser(std::string_view text);

protected:
  // `nested` counts what one call of the parser inside another costs on the stack.
  static constexpr int nesting_limit = 100;
  class Nesting {
  public:
    explicit Nesting(ExpressionParser& parser);
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

  private:
    ExpressionParser& parser_;
  };

  ExpressionPtr parse_expression(bool with_condition = true);
  // An expression, or several with commas, which are a tuple. `end` names a word that ends it.
  ExpressionPtr parse_tuple(bool with_condition = true, std::string_view end = {},
                            bool in_brackets = false);
  // `| filter | filter` behind a value; `inline_first` without the first bar.
  ExpressionPtr parse_filters(ExpressionPtr value, bool inline_first = false);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_postfix(ExpressionPtr value);
  ExpressionPtr parse_unary(bool with_filter = true);

  std::unique_ptr<Expression> make(Expression::Kind kind, Position position);
  std::unique_ptr<Expression> make(Expression::Kind kind, Position position, ExpressionPtr operand);
  void add(Expression& parent, ExpressionPtr operand);
  ExpressionPtr name(int32_t symbol, Position position);

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take();
  bool skip_symbol(std::string_view spelling);
  bool skip_name(std::string_view word);
  void expect_symbol(std::string_view spelling);
  std::string expect_name(std::string_view what);
  [[noreturn]] void fail_expected(std::string_view what) const;
  int32_t symbol_of(const std::string& name);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  Syntax syntax_;
  // Which of a macro's implicit names its body uses.
  bool uses_caller_ = false, uses_varargs_ = false, uses_kwargs_ = false;

private:
  using Level = ExpressionPtr (ExpressionParser::*)();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dictionary();
  ExpressionPtr parse_filter_expression(ExpressionPtr value);
  ExpressionPtr parse_subscript(ExpressionPtr value);
  ExpressionPtr parse_subscribed(ExpressionPtr value, Position position);
  ExpressionPtr parse_call(ExpressionPtr value);
  ExpressionPtr parse_test(ExpressionPtr value);
  std::string parse_dotted_name(std::string_view what);
  std::unique_ptr<CallArguments> parse_arguments();
  void check_call(const Expression& callee) const;
  bool ends_tuple(std::string_view end) const;

  std::unordered_map<std::string, int32_t> symbol_ids_;
};

} // namespace anet::io::jinja
