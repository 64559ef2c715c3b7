#include "io/jinja/parser.h"

#include "io/jinja/builtins.h"

#include <algorithm>
#include <array>

namespace anet::io::jinja {
namespace {

constexpr int32_t tree_limit = 150; // nested expressions, which long sums are too

std::string seen_token(const Token& token) {
  switch (token.kind) {
  case Token::Kind::block_end:
    return "'%}'";
  case Token::Kind::variable_end:
    return "'}}'";
  case Token::Kind::end:
  case Token::Kind::text:
  case Token::Kind::block_begin:
  case Token::Kind::variable_begin:
    return "the end";
  case Token::Kind::string:
    return "a string";
  default:
    return concat("'", token.text.substr(0, 40), "'");
  }
}

} // namespace

ExpressionParser::ExpressionParser(std::string_view text) : tokens_(tokenize(text)) {
  for (const char* known : {"loop", "caller", "varargs", "kwargs", "captured text"})
    symbol_of(known);
}

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (parser.nesting_ >= nesting_limit)
    fail_at(parser.current().position, Status::invalid_config,
            concat("nested deeper than the limit of ", nesting_limit));
  ++parser.nesting_;
}

void ExpressionParser::fail_expected(std::string_view what) const {
  fail_at(current().position, Status::invalid_config,
          concat("expected ", what, ", seen ", seen_token(current())));
}

Token ExpressionParser::take() {
  return std::move(tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]);
}

bool ExpressionParser::skip_symbol(std::string_view spelling) {
  if (!current().is_symbol(spelling)) return false;
  ++at_;
  return true;
}

bool ExpressionParser::skip_name(std::string_view word) {
  if (!current().is_name(word)) return false;
  ++at_;
  return true;
}

void ExpressionParser::expect_symbol(std::string_view spelling) {
  if (!skip_symbol(spelling)) fail_expected(concat("'", spelling, "'"));
}

std::string ExpressionParser::expect_name(std::string_view what) {
  if (current().kind != Token::Kind::name) fail_expected(what);
  return take().text;
}

int32_t ExpressionParser::symbol_of(const std::string& name) {
  const auto [entry, is_new] =
      symbol_ids_.emplace(name, static_cast<int32_t>(syntax_.symbols.size()));
  if (is_new) syntax_.symbols.push_back(name);
  return entry->second;
}

std::unique_ptr<Expression> ExpressionParser::make(Expression::Kind kind, Position position) {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->position = position;
  return expression;
}

std::unique_ptr<Expression> ExpressionParser::make(Expression::Kind kind, Position position,
                                                   ExpressionPtr operand) {
  auto expression = make(kind, position);
  add(*expression, std::move(operand));
  return expression;
}

void ExpressionParser::add(Expression& parent, ExpressionPtr operand) {
  if (operand != nullptr) parent.depth = std::max(parent.depth, operand->depth + 1);
  if (parent.depth > tree_limit)
    fail_at(parent.position, Status::invalid_config,
            concat("an expression nested deeper than the limit of ", tree_limit));
  parent.operands.push_back(std::move(operand));
}

ExpressionPtr ExpressionParser::name(int32_t symbol, Position position) {
  auto expression = make(Expression::Kind::name, position);
  expression->symbol = symbol;
  expression->text = syntax_.symbols[static_cast<size_t>(symbol)];
  return expression;
}

ExpressionPtr ExpressionParser::parse_expression(bool with_condition) {
  const Nesting nesting(*this);
  if (!with_condition) return parse_or();
  ExpressionPtr value = parse_or();
  while (current().is_name("if")) {
    const Position position = take().position;
    auto choice = make(Expression::Kind::conditional, position, parse_or());
    add(*choice, std::move(value));
    add(*choice, skip_name("else") ? parse_expression() : nullptr);
    value = std::move(choice);
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr left = parse_and();
  if (!current().is_name("or")) return left;
  auto either = make(Expression::Kind::logical_or, current().position, std::move(left));
  while (skip_name("or")) add(*either, parse_and());
  return either;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr left = parse_not();
  if (!current().is_name("and")) return left;
  auto both = make(Expression::Kind::logical_and, current().position, std::move(left));
  while (skip_name("and")) add(*both, parse_not());
  return both;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  const Position position = take().position;
  return make(Expression::Kind::logical_not, position, parse_not());
}

ExpressionPtr ExpressionParser::parse_compare() {
  constexpr std::array<std::pair<std::string_view, CompareOperator>, 6> operators = {{
      {"==", CompareOperator::equal},
      {"!=", CompareOperator::not_equal},
      {"<", CompareOperator::less},
      {"<=", CompareOperator::less_equal},
      {">", CompareOperator::greater},
      {">=", CompareOperator::greater_equal},
  }};
  ExpressionPtr left = parse_sum();
  std::unique_ptr<Expression> chain;
  for (;;) {
    const Position position = current().position;
    CompareOperator operation = CompareOperator::equal;
    const auto found = std::find_if(operators.begin(), operators.end(), [&](const auto& entry) {
      return current().is_symbol(entry.first);
    });
    if (found != operators.end()) {
      operation = found->second;
      take();
    } else if (skip_name("in")) {
      operation = CompareOperator::in;
    } else if (current().is_name("not") && ahead().is_name("in")) {
      at_ += 2;
      operation = CompareOperator::not_in;
    } else {
      break;
    }
    if (chain == nullptr) chain = make(Expression::Kind::compare, position, std::move(left));
    add(*chain, parse_sum());
    chain->comparisons.push_back(operation);
  }
  return chain != nullptr ? ExpressionPtr(std::move(chain)) : std::move(left);
}

namespace {

std::optional<BinaryOperator> sum_operator(const Token& token) {
  if (token.is_symbol("+")) return BinaryOperator::add;
  if (token.is_symbol("-")) return BinaryOperator::subtract;
  return std::nullopt;
}

std::optional<BinaryOperator> product_operator(const Token& token) {
  if (token.is_symbol("*")) return BinaryOperator::multiply;
  if (token.is_symbol("/")) return BinaryOperator::divide;
  if (token.is_symbol("//")) return BinaryOperator::floor_divide;
  if (token.is_symbol("%")) return BinaryOperator::modulo;
  return std::nullopt;
}

} // namespace

ExpressionPtr ExpressionParser::parse_sum() {
  ExpressionPtr left = parse_concatenation();
  while (const auto operation = sum_operator(current())) {
    auto both = make(Expression::Kind::binary, take().position, std::move(left));
    both->operation = *operation;
    add(*both, parse_concatenation());
    left = std::move(both);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  ExpressionPtr left = parse_product();
  if (!current().is_symbol("~")) return left;
  auto all = make(Expression::Kind::concatenate, current().position, std::move(left));
  while (skip_symbol("~")) add(*all, parse_product());
  return all;
}

ExpressionPtr ExpressionParser::parse_product() {
  ExpressionPtr left = parse_power();
  while (const auto operation = product_operator(current())) {
    auto both = make(Expression::Kind::binary, take().position, std::move(left));
    both->operation = *operation;
    add(*both, parse_power());
    left = std::move(both);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_power() {
  ExpressionPtr left = parse_unary();
  while (current().is_symbol("**")) {
    auto both = make(Expression::Kind::binary, take().position, std::move(left));
    both->operation = BinaryOperator::power;
    add(*both, parse_unary());
    left = std::move(both);
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filter) {
  const Nesting nesting(*this);
  ExpressionPtr value;
  const Position position = current().position;
  if (skip_symbol("-"))
    value = make(Expression::Kind::negate, position, parse_unary(false));
  else if (skip_symbol("+"))
    value = make(Expression::Kind::plus, position, parse_unary(false));
  else
    value = parse_primary();
  value = parse_postfix(std::move(value));
  return with_filter ? parse_filter_expression(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Position position = current().position;
  auto constant = make(Expression::Kind::constant, position);
  switch (current().kind) {
  case Token::Kind::name: {
    const Token token = take();
    const std::string_view text = token.text;
    if (text == "true" || text == "True")
      constant->value = Value(true);
    else if (text == "false" || text == "False")
      constant->value = Value(false);
    else if (text == "none" || text == "None")
      constant->value = Value(None());
    else {
      uses_caller_ = uses_caller_ || text == "caller";
      uses_varargs_ = uses_varargs_ || text == "varargs";
      uses_kwargs_ = uses_kwargs_ || text == "kwargs";
      syntax_.uses_date = syntax_.uses_date || text == "strftime_now";
      return name(symbol_of(token.text), position);
    }
    return constant;
  }
  case Token::Kind::string: {
    std::string text;
    while (current().kind == Token::Kind::string) text += take().text; // neighbours are one
    constant->value = Value(std::make_shared<const std::string>(std::move(text)));
    return constant;
  }
  case Token::Kind::integer:
    constant->value = Value(take().integer);
    return constant;
  case Token::Kind::floating:
    constant->value = Value(take().floating);
    return constant;
  default:
    break;
  }
  if (skip_symbol("(")) {
    ExpressionPtr value = parse_tuple(true, {}, true);
    expect_symbol(")");
    return value;
  }
  if (current().is_symbol("[")) return parse_list();
  if (current().is_symbol("{")) return parse_dictionary();
  fail_expected("an expression");
}

ExpressionPtr ExpressionParser::parse_list() {
  auto list = make(Expression::Kind::list, take().position);
  while (!current().is_symbol("]")) {
    if (!list->operands.empty()) expect_symbol(",");
    if (current().is_symbol("]")) break;
    add(*list, parse_expression());
  }
  expect_symbol("]");
  return list;
}

ExpressionPtr ExpressionParser::parse_dictionary() {
  auto dictionary = make(Expression::Kind::dictionary, take().position);
  while (!current().is_symbol("}")) {
    if (!dictionary->operands.empty()) expect_symbol(",");
    if (current().is_symbol("}")) break;
    add(*dictionary, parse_expression());
    expect_symbol(":");
    add(*dictionary, parse_expression());
  }
  expect_symbol("}");
  return dictionary;
}

bool ExpressionParser::ends_tuple(std::string_view end) const {
  const Token::Kind kind = current().kind;
  return kind == Token::Kind::variable_end || kind == Token::Kind::block_end ||
         current().is_symbol(")") || (!end.empty() && current().is_name(end));
}

ExpressionPtr ExpressionParser::parse_tuple(bool with_condition, std::string_view end,
                                            bool in_brackets) {
  auto tuple = make(Expression::Kind::tuple, current().position);
  bool is_tuple = false;
  std::vector<ExpressionPtr> elements;
  for (;;) {
    if (!elements.empty()) expect_symbol(",");
    if (ends_tuple(end)) break;
    elements.push_back(parse_expression(with_condition));
    if (!current().is_symbol(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!elements.empty()) return std::move(elements.front());
    if (!in_brackets) fail_expected("an expression");
  }
  for (ExpressionPtr& element : elements) add(*tuple, std::move(element));
  return tuple;
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr value) {
  for (;;) {
    if (current().is_symbol(".") || current().is_symbol("["))
      value = parse_subscript(std::move(value));
    else if (current().is_symbol("("))
      value = parse_call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::parse_filter_expression(ExpressionPtr value) {
  for (;;) {
    if (current().is_symbol("|"))
      value = parse_filters(std::move(value));
    else if (current().is_name("is"))
      value = parse_test(std::move(value));
    else if (current().is_symbol("("))
      value = parse_call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr value) {
  const Position position = current().position;
  if (skip_symbol(".")) {
    if (current().kind == Token::Kind::integer) {
      auto element = make(Expression::Kind::item, position, std::move(value));
      auto index = make(Expression::Kind::constant, current().position);
      index->value = Value(take().integer);
      add(*element, std::move(index));
      return element;
    }
    auto attribute = make(Expression::Kind::attribute, position, std::move(value));
    attribute->text = expect_name("a name behind '.'");
    return attribute;
  }
  take(); // [
  ExpressionPtr element = parse_subscribed(std::move(value), position);
  expect_symbol("]");
  return element;
}

// What stands between the brackets of value[...].
ExpressionPtr ExpressionParser::parse_subscribed(ExpressionPtr value, Position position) {
  const Nesting nesting(*this);
  ExpressionPtr start;
  if (!current().is_symbol(":")) {
    start = parse_expression();
    if (current().is_symbol(",")) {
      auto key = make(Expression::Kind::tuple, position, std::move(start));
      while (skip_symbol(",")) {
        if (current().is_symbol(":"))
          fail_at(position, Status::unsupported, "slices of several dimensions are not offered");
        add(*key, parse_expression());
      }
      start = std::move(key);
    }
    if (!current().is_symbol(":")) {
      auto element = make(Expression::Kind::item, position, std::move(value));
      add(*element, std::move(start));
      return element;
    }
  }
  auto slice = make(Expression::Kind::slice, position, std::move(value));
  add(*slice, std::move(start));
  for (int part = 0; part < 2; ++part) {
    const bool given = skip_symbol(":") && !current().is_symbol(":") && !current().is_symbol("]");
    add(*slice, given ? parse_expression() : nullptr);
  }
  return slice;
}

std::unique_ptr<CallArguments> ExpressionParser::parse_arguments() {
  const Nesting nesting(*this);
  auto arguments = std::make_unique<CallArguments>();
  expect_symbol("(");
  for (bool first = true; !current().is_symbol(")"); first = false) {
    if (!first) expect_symbol(",");
    if (current().is_symbol(")")) break;
    if (current().is_symbol("*") || current().is_symbol("**")) {
      ExpressionPtr& spread =
          current().is_symbol("*") ? arguments->spread : arguments->spread_named;
      if (spread != nullptr) fail_expected("one '*' and one '**' in a call");
      take();
      spread = parse_expression();
    } else if (current().kind == Token::Kind::name && ahead().is_symbol("=")) {
      std::string name = take().text;
      take();
      arguments->named.emplace_back(std::move(name), parse_expression());
    } else {
      if (!arguments->named.empty() || arguments->spread != nullptr ||
          arguments->spread_named != nullptr)
        fail_expected("positional arguments before the others");
      arguments->positional.push_back(parse_expression());
    }
  }
  expect_symbol(")");
  return arguments;
}

namespace {

// Deepest of what is handed over.
int32_t depth_of(const CallArguments& arguments) {
  int32_t depth = 0;
  const auto look = [&](const ExpressionPtr& expression) {
    if (expression != nullptr) depth = std::max(depth, expression->depth);
  };
  for (const ExpressionPtr& argument : arguments.positional) look(argument);
  for (const auto& entry : arguments.named) look(entry.second);
  look(arguments.spread);
  look(arguments.spread_named);
  return depth;
}

} // namespace

void ExpressionParser::check_call(const Expression& callee) const {
  if (callee.kind == Expression::Kind::name && is_known_function(callee.text))
    fail_at(callee.position, Status::unsupported,
            concat("the function '", callee.text, "' is not offered"));
  if (callee.kind == Expression::Kind::attribute && is_known_method(callee.text))
    fail_at(callee.position, Status::unsupported,
            concat("the method '", callee.text, "' is not offered"));
}

ExpressionPtr ExpressionParser::parse_call(ExpressionPtr value) {
  const Position position = value->position;
  check_call(*value);
  auto call = make(Expression::Kind::call, position, std::move(value));
  auto arguments = parse_arguments();
  call->depth = std::max(call->depth, depth_of(*arguments) + 1);
  call->arguments = std::move(arguments);
  return call;
}

std::string ExpressionParser::parse_dotted_name(std::string_view what) {
  std::string name = expect_name(what);
  while (skip_symbol(".")) name += '.' + expect_name(what);
  return name;
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr value, bool inline_first) {
  while (inline_first || skip_symbol("|")) {
    inline_first = false;
    const Position position = current().position;
    auto filter = make(Expression::Kind::filter, position, std::move(value));
    filter->text = parse_dotted_name("the name of a filter");
    filter->function = find_filter(filter->text);
    if (filter->function == nullptr)
      fail_at(position, Status::unsupported,
              concat("the filter '", filter->text.substr(0, 40), "' is not offered"));
    if (current().is_symbol("(")) {
      auto arguments = parse_arguments();
      filter->depth = std::max(filter->depth, depth_of(*arguments) + 1);
      filter->arguments = std::move(arguments);
    }
    value = std::move(filter);
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr value) {
  const Position position = take().position; // is
  const bool negated = skip_name("not");
  auto test = make(Expression::Kind::test, position, std::move(value));
  test->text = parse_dotted_name("the name of a test");
  test->function = find_test(test->text);
  if (test->function == nullptr)
    fail_at(position, Status::unsupported,
            concat("the test '", test->text.substr(0, 40), "' is not offered"));
  const Token& next = current();
  const bool starts_value = next.kind == Token::Kind::name || next.kind == Token::Kind::string ||
                            next.kind == Token::Kind::integer ||
                            next.kind == Token::Kind::floating || next.is_symbol("[") ||
                            next.is_symbol("{");
  if (next.is_symbol("(")) {
    auto arguments = parse_arguments();
    test->depth = std::max(test->depth, depth_of(*arguments) + 1);
    test->arguments = std::move(arguments);
  } else if (starts_value && !next.is_name("else") && !next.is_name("or") && !next.is_name("and") &&
             !next.is_name("if")) {
    if (next.is_name("is")) fail_expected("one test; several are not chained");
    const Nesting nesting(*this);
    auto arguments = std::make_unique<CallArguments>();
    arguments->positional.push_back(parse_postfix(parse_primary()));
    test->depth = std::max(test->depth, depth_of(*arguments) + 1);
    test->arguments = std::move(arguments);
  }
  if (!negated) return test;
  return make(Expression::Kind::logical_not, position, std::move(test));
}

} // namespace anet::io::jinja
