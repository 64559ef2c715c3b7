#include "io/jinja/parser.h"

#include <algorithm>
#include <array>

namespace anet::io::jinja {
namespace {

class StatementParser : public ExpressionParser {
public:
  using ExpressionParser::ExpressionParser;

  Syntax run() {
    syntax_.body = parse_body({});
    return std::move(syntax_);
  }

private:
  using Kind = Statement::Kind;

  // Up to a tag of one of these names, which is left to read; to the end if there are none.
  Body parse_body(std::initializer_list<std::string_view> ends);
  Body parse_inner(std::initializer_list<std::string_view> ends);
  void parse_tag(Body& body);
  Statement parse_if(Position position);
  Statement parse_for(Position position);
  Statement parse_set(Position position);
  Statement parse_with(Position position);
  Statement parse_macro(Position position);
  Statement parse_call_block(Position position);
  Statement parse_filter_block(Position position);
  Statement parse_generation(Position position);
  void parse_parameters(Statement& macro);
  Body parse_function_body(Statement& statement, std::string_view end);
  Target parse_target(bool with_namespace);
  Target parse_target_tuple(bool with_namespace, std::string_view end);
  void expect_block_end() {
    if (current().kind != Token::Kind::block_end) fail_expected("'%}'");
    take();
  }

  int loops_ = 0; // that break and continue may leave
};

Statement make_statement(Statement::Kind kind, Position position) {
  Statement statement;
  statement.kind = kind;
  statement.position = position;
  return statement;
}

Body StatementParser::parse_body(std::initializer_list<std::string_view> ends) {
  Body body;
  for (;;) {
    const Token& token = current();
    if (token.kind == Token::Kind::end) {
      if (ends.size() > 0) fail_expected(concat("'{% ", *(ends.end() - 1), " %}'"));
      return body;
    }
    if (token.kind == Token::Kind::text) {
      Statement text = make_statement(Kind::text, token.position);
      text.text = take().text;
      body.push_back(std::move(text));
    } else if (token.kind == Token::Kind::variable_begin) {
      Statement output = make_statement(Kind::output, take().position);
      output.expressions.push_back(parse_tuple());
      if (current().kind != Token::Kind::variable_end) fail_expected("'}}'");
      take();
      body.push_back(std::move(output));
    } else {
      const auto is_end = [&](std::string_view end) { return ahead().is_name(end); };
      if (std::any_of(ends.begin(), ends.end(), is_end)) {
        take();
        return body;
      }
      parse_tag(body);
    }
  }
}

Body StatementParser::parse_inner(std::initializer_list<std::string_view> ends) {
  const Nesting nesting(*this);
  return parse_body(ends);
}

void StatementParser::parse_tag(Body& body) {
  take(); // {%
  const Position position = current().position;
  const std::string tag = expect_name("the name of a tag");
  const auto add_statement = [&](Statement statement) { body.push_back(std::move(statement)); };
  if (tag == "if") return add_statement(parse_if(position));
  if (tag == "for") return add_statement(parse_for(position));
  if (tag == "set") return add_statement(parse_set(position));
  if (tag == "with") return add_statement(parse_with(position));
  if (tag == "macro") return add_statement(parse_macro(position));
  if (tag == "call") return add_statement(parse_call_block(position));
  if (tag == "filter") return add_statement(parse_filter_block(position));
  if (tag == "generation") return add_statement(parse_generation(position));
  if (tag == "print") {
    Statement output = make_statement(Kind::output, position);
    do {
      output.expressions.push_back(parse_expression());
    } while (skip_symbol(","));
    expect_block_end();
    return add_statement(std::move(output));
  }
  if (tag == "break" || tag == "continue") {
    if (loops_ == 0)
      fail_at(position, Status::invalid_config, concat("expected a loop around '", tag, "'"));
    expect_block_end();
    return add_statement(
        make_statement(tag == "break" ? Kind::break_loop : Kind::continue_loop, position));
  }
  constexpr std::array<std::string_view, 11> unoffered = {
      "include", "import", "from",  "extends",   "block",     "autoescape",
      "do",      "trans",  "debug", "pluralize", "blocktrans"};
  if (std::find(unoffered.begin(), unoffered.end(), tag) != unoffered.end())
    fail_at(position, Status::unsupported, concat("the tag '", tag, "' is not offered"));
  fail_at(position, Status::invalid_config,
          concat("expected a tag that can stand here, seen '", tag.substr(0, 40), "'"));
}

Statement StatementParser::parse_if(Position position) {
  Statement statement = make_statement(Kind::condition, position);
  for (;;) {
    statement.expressions.push_back(parse_tuple(false));
    expect_block_end();
    statement.bodies.push_back(parse_inner({"elif", "else", "endif"}));
    if (skip_name("elif")) continue;
    if (skip_name("else")) {
      expect_block_end();
      statement.bodies.push_back(parse_inner({"endif"}));
    }
    take(); // endif
    expect_block_end();
    return statement;
  }
}

Statement StatementParser::parse_for(Position position) {
  Statement statement = make_statement(Kind::loop, position);
  statement.targets.push_back(parse_target_tuple(false, "in"));
  if (!skip_name("in")) fail_expected("'in'");
  statement.expressions.push_back(parse_tuple(false, "recursive"));
  statement.expressions.push_back(skip_name("if") ? parse_expression() : nullptr);
  statement.recursive = skip_name("recursive");
  expect_block_end();
  ++loops_;
  statement.bodies.push_back(parse_inner({"else", "endfor"}));
  --loops_;
  if (skip_name("else")) {
    expect_block_end();
    statement.bodies.push_back(parse_inner({"endfor"}));
  }
  take(); // endfor
  expect_block_end();
  return statement;
}

Target StatementParser::parse_target(bool with_namespace) {
  const Nesting nesting(*this);
  Target target;
  target.position = current().position;
  if (skip_symbol("(")) {
    target = parse_target_tuple(with_namespace, {});
    expect_symbol(")");
    return target;
  }
  const std::string text = expect_name("a name to assign to");
  constexpr std::array<std::string_view, 6> constants = {"true",  "True", "false",
                                                         "False", "none", "None"};
  if (std::find(constants.begin(), constants.end(), text) != constants.end())
    fail_at(target.position, Status::invalid_config, concat("expected a name, seen '", text, "'"));
  target.symbol = symbol_of(text);
  if (with_namespace && skip_symbol(".")) target.attribute = expect_name("a name behind '.'");
  return target;
}

Target StatementParser::parse_target_tuple(bool with_namespace, std::string_view end) {
  Target first = parse_target(with_namespace);
  if (!current().is_symbol(",")) return first;
  Target tuple;
  tuple.is_tuple = true;
  tuple.position = first.position;
  tuple.elements.push_back(std::move(first));
  while (skip_symbol(",")) {
    const bool ends = current().kind == Token::Kind::block_end || current().is_symbol("=") ||
                      current().is_symbol(")") || (!end.empty() && current().is_name(end));
    if (ends) break;
    tuple.elements.push_back(parse_target(with_namespace));
  }
  return tuple;
}

Statement StatementParser::parse_set(Position position) {
  Statement statement = make_statement(Kind::assign, position);
  statement.targets.push_back(parse_target_tuple(true, {}));
  if (skip_symbol("=")) {
    statement.expressions.push_back(parse_tuple());
    expect_block_end();
    return statement;
  }
  statement.kind = Kind::capture;
  statement.expressions.push_back(
      current().is_symbol("|") ? parse_filters(name(symbol_captured, position)) : nullptr);
  expect_block_end();
  statement.bodies.push_back(parse_inner({"endset"}));
  take();
  expect_block_end();
  return statement;
}

Statement StatementParser::parse_with(Position position) {
  Statement statement = make_statement(Kind::scope, position);
  while (current().kind != Token::Kind::block_end) {
    if (!statement.targets.empty()) expect_symbol(",");
    statement.targets.push_back(parse_target(false));
    expect_symbol("=");
    statement.expressions.push_back(parse_expression());
  }
  expect_block_end();
  statement.bodies.push_back(parse_inner({"endwith"}));
  take();
  expect_block_end();
  return statement;
}

void StatementParser::parse_parameters(Statement& macro) {
  expect_symbol("(");
  while (!current().is_symbol(")")) {
    if (!macro.parameters.empty()) expect_symbol(",");
    if (current().is_symbol(")")) break;
    MacroParameter parameter;
    const Position position = current().position;
    parameter.name = expect_name("the name of a parameter");
    parameter.symbol = symbol_of(parameter.name);
    if (skip_symbol("="))
      parameter.fallback = parse_expression();
    else if (!macro.parameters.empty() && macro.parameters.back().fallback != nullptr)
      fail_at(position, Status::invalid_config,
              concat("expected a default for '", parameter.name, "' behind one that has it"));
    macro.parameters.push_back(std::move(parameter));
  }
  expect_symbol(")");
}

// The body of what is called: no loop of outside can be left from it.
Body StatementParser::parse_function_body(Statement& statement, std::string_view end) {
  const int outer_loops = std::exchange(loops_, 0);
  const bool outer_caller = std::exchange(uses_caller_, false);
  const bool outer_varargs = std::exchange(uses_varargs_, false);
  const bool outer_kwargs = std::exchange(uses_kwargs_, false);
  Body body = parse_inner({end});
  take();
  expect_block_end();
  statement.takes_caller = uses_caller_;
  statement.takes_varargs = uses_varargs_;
  statement.takes_kwargs = uses_kwargs_;
  loops_ = outer_loops;
  uses_caller_ = outer_caller;
  uses_varargs_ = outer_varargs;
  uses_kwargs_ = outer_kwargs;
  return body;
}

Statement StatementParser::parse_macro(Position position) {
  Statement statement = make_statement(Kind::macro, position);
  statement.text = expect_name("the name of a macro");
  statement.symbol = symbol_of(statement.text);
  parse_parameters(statement);
  expect_block_end();
  statement.bodies.push_back(parse_function_body(statement, "endmacro"));
  return statement;
}

Statement StatementParser::parse_call_block(Position position) {
  Statement statement = make_statement(Kind::call, position);
  statement.text = "caller";
  if (current().is_symbol("(")) parse_parameters(statement);
  statement.expressions.push_back(parse_expression());
  if (statement.expressions.back()->kind != Expression::Kind::call)
    fail_at(position, Status::invalid_config, "expected a call behind 'call'");
  expect_block_end();
  statement.bodies.push_back(parse_function_body(statement, "endcall"));
  return statement;
}

Statement StatementParser::parse_filter_block(Position position) {
  Statement statement = make_statement(Kind::filter, position);
  statement.expressions.push_back(parse_filters(name(symbol_captured, position), true));
  expect_block_end();
  statement.bodies.push_back(parse_inner({"endfilter"}));
  take();
  expect_block_end();
  return statement;
}

Statement StatementParser::parse_generation(Position position) {
  Statement statement = make_statement(Kind::generation, position);
  expect_block_end();
  statement.bodies.push_back(parse_function_body(statement, "endgeneration"));
  syntax_.has_generation = true;
  return statement;
}

} // namespace

Syntax parse(std::string_view text) { return StatementParser(text).run(); }

} // namespace anet::io::jinja
