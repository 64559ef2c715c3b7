// The tree of a template.
#pragma once

#include "io/jinja/callable.h"
#include "io/jinja/lexer.h"
#include "io/jinja/operations.h"
#include "io/jinja/value.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace anet::io::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

enum class CompareOperator : uint8_t {
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in
};

// Behind the value that is called, filtered or tested.
struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr spread;       // *values
  ExpressionPtr spread_named; // **values
};

struct Expression {
  enum class Kind : uint8_t {
    constant,
    name,
    list,
    tuple,
    dictionary, // keys and values in turn
    negate,
    plus,
    logical_not,
    logical_and,
    logical_or,
    conditional, // condition, value, value otherwise (may be missing)
    binary,
    concatenate,
    compare,
    attribute, // .text
    item,
    slice, // object, start, stop, step; null where left out
    call,
    filter,
    test,
  };
  Kind kind = Kind::constant;
  BinaryOperator operation = BinaryOperator::add;
  Position position;
  int32_t symbol = -1;               // of a name
  int32_t depth = 1;                 // of the tree below
  Value value;                       // of a constant
  std::string text;                  // name of a name, attribute, filter or test
  NativeFunction function = nullptr; // filter or test
  std::vector<ExpressionPtr> operands;
  std::vector<CompareOperator> comparisons; // between the operands
  std::unique_ptr<const CallArguments> arguments;
};

// What is assigned to.
struct Target {
  int32_t symbol = -1;
  std::string attribute;        // of a namespace, if not empty
  std::vector<Target> elements; // of a tuple, if not empty
  bool is_tuple = false;
  Position position;
};

struct MacroParameter {
  int32_t symbol = -1;
  std::string name;
  ExpressionPtr fallback; // may be null
};

struct Statement;
using Body = std::vector<Statement>;

struct Statement {
  enum class Kind : uint8_t {
    text,
    output,
    condition,  // expressions: one for each body; one more body: otherwise
    loop,       // expressions: what to go through, filter (may be null); bodies: each, if none
    assign,     // expressions: value
    capture,    // assigns the body; expressions: with a filter, of the name that symbol stands for
    scope,      // {% with %}: targets and expressions in pairs
    macro,      // text is its name
    call,       // expressions: the call; the body is its caller
    filter,     // expressions: filter of the name that symbol stands for
    generation, // {% generation %}
    break_loop,
    continue_loop,
  };
  Kind kind = Kind::text;
  bool recursive = false;                                                 // loop
  bool takes_caller = false, takes_varargs = false, takes_kwargs = false; // macro
  Position position;
  int32_t symbol = -1;
  std::string text;
  std::vector<ExpressionPtr> expressions;
  std::vector<Body> bodies;
  std::vector<Target> targets;
  std::vector<MacroParameter> parameters;
};

struct Syntax {
  Body body;
  std::vector<std::string> symbols; // every name of the template, once
  bool has_generation = false;
  bool uses_date = false;
};

// Throws as the constructor of Template says.
Syntax parse(std::string_view text);

// Symbols that the language gives a meaning; they are the first ones of every template.
enum KnownSymbol : int32_t {
  symbol_loop,
  symbol_caller,
  symbol_varargs,
  symbol_kwargs,
  symbol_captured
};

} // namespace anet::io::jinja
