// What a template can call, and the state of its loops.
#pragma once

#include "io/jinja/runtime.h"
#include "io/jinja/value.h"

#include <memory>
#include <string>
#include <vector>

namespace anet::io::jinja {

class Interpreter;
struct Scope;
struct Statement;

using NativeFunction = Value (*)(Runtime& runtime, const Arguments& arguments);
// `arguments.positional[0]` of filters and tests is what they apply to.
using Method = Value (*)(Runtime& runtime, const Value& object, const Arguments& arguments);

class Callable {
public:
  enum class Kind : uint8_t { function, method, macro };

  Kind kind = Kind::function;
  std::string name;
  NativeFunction function = nullptr;
  Method method = nullptr;
  Value object; // of a method
  int32_t value_depth = 1;
  const Statement* macro = nullptr; // of a macro, and of a caller()
  // Where a macro was defined. Not owned: the rendering keeps what a macro has seen.
  Scope* scope = nullptr;
};

// `loop` of a for statement.
class LoopState {
public:
  std::vector<Value> elements;
  size_t index = 0;
  int32_t depth = 1;                    // of recursive loops
  int32_t value_depth = 1;              // of nested values
  const Statement* statement = nullptr; // of a recursive loop, which can be called
  Scope* scope = nullptr;               // where the statement is
  mutable std::vector<Value> changed;   // what loop.changed() has seen
  mutable bool changed_called = false;
};

} // namespace anet::io::jinja
