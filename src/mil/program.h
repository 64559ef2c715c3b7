// The IR: typed SSA programs, printed as and parsed from MIL text.
//
// A Program holds functions; a Function holds values and the operations that produce them, in
// topological order. Everything an operation consumes is a value of its function: constants are
// `const` operations, also where the text had an inline literal.
#pragma once

#include "mil/literal.h"
#include "mil/type.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anet::mil {

struct OpSchema; // op_table.h

// A letter or underscore, then letters, digits and underscores; at most max_identifier bytes.
bool is_identifier(std::string_view name);
inline constexpr size_t max_identifier = 1024;

using ValueId = int32_t;
inline constexpr ValueId no_value = -1;

struct SourceLocation {
  int32_t line = 0; // from 1; 0 when the program was built, not parsed
  int32_t column = 0;
};

struct Value {
  std::string name;
  Type type;
  int32_t producer = -1; // index into Function::ops, or -1 for an input
  bool operator==(const Value&) const = default;
};

// `values` has one entry, or several when the text had a tuple: values=(a, b).
struct Argument {
  std::string name;
  std::vector<ValueId> values;
  bool tuple = false;
  bool operator==(const Argument&) const = default;
};

// An entry of an attribute list: [name = string("x")].
struct Attribute {
  std::string name;
  Literal value;
  bool operator==(const Attribute&) const = default;
};

struct Operation {
  const OpSchema* schema = nullptr;
  std::vector<Argument> arguments; // in the order of the text; schema order when built
  std::vector<Attribute> attributes;
  std::vector<ValueId> outputs;
  std::string opset;       // "ios17" in tensor_buffer_to_tensor<ios17>, else empty
  SourceLocation location; // not part of equality

  bool operator==(const Operation& other) const;         // within one function: compares value ids
  const char* name() const;                              // the schema's
  const Argument* argument(std::string_view name) const; // nullptr when absent
  ValueId input(std::string_view name) const;            // first value of an argument, or no_value
  const Attribute* attribute(std::string_view name) const;
};

struct Function {
  std::string name = "main";
  std::string opset = "ios18";
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<Value> values;
  std::vector<Operation> ops;

  // Equal up to the numbering of values, which are compared by name and type.
  bool operator==(const Function& other) const;

  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  const Type& type(ValueId id) const { return value(id).type; }
  ValueId find(std::string_view name) const; // no_value when absent
  ValueId input(std::string_view name) const;
  ValueId output(std::string_view name) const;

  // The compile-time value behind an id, or nullptr when it is not a `const`.
  const Literal* constant(ValueId id) const;
  // The compile-time argument of an op: explicit (argument or attribute), else the schema's
  // default, else nullptr.
  const Literal* constant(const Operation& op, std::string_view argument) const;
  // By value: how often arguments and outputs name it.
  std::vector<int32_t> count_uses() const;
};

struct Program {
  std::string version = "1.3";
  std::vector<Attribute> attributes;
  std::vector<Function> functions;
  BlobFiles blobs;

  // Blobs take part through the literals that they resolve to.
  bool operator==(const Program& other) const;

  const Function* find(std::string_view name) const;
  Function& main() { return functions.front(); }
  const Function& main() const { return functions.front(); }
};

} // namespace anet::mil
