// The op table: one entry an op, with its arguments and its type inference. Everything that knows
// ops by name (verifier, builder, interpreter, gradients, devices) starts from here.
// Argument names and defaults: ane-facts.md appendix B.
#pragma once

#include "base/status.h"
#include "mil/program.h"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::mil {

enum class Presence : uint8_t { required, optional, defaulted };

class InferenceContext;

// A set of element types.
struct TypeSet {
  uint32_t bits = 0;

  constexpr TypeSet() = default;
  constexpr TypeSet(std::initializer_list<DataType> dtypes) {
    for (DataType dtype : dtypes) bits |= 1u << static_cast<int>(dtype);
  }
  constexpr bool contains(DataType dtype) const {
    return (bits >> static_cast<int>(dtype) & 1u) != 0;
  }
  constexpr TypeSet operator|(TypeSet other) const {
    TypeSet both;
    both.bits = bits | other.bits;
    return both;
  }
};

struct ArgumentSchema {
  const char* name = nullptr;
  Presence presence = Presence::required;
  // Must be known at compile time: a `const`, or the result of a `constexpr_` op.
  bool constant = false;
  bool variadic = false; // takes a tuple: values=(a, b)
  // When defaulted. A floating default is fp32 here; default_argument() gives it the type of x.
  std::optional<Literal> default_value;
  // When the default depends on the other operands (strides of ones, axes of every axis).
  std::optional<Literal> (*computed_default)(const InferenceContext&) = nullptr;
  TypeSet types;
  int introduced = 15; // the opset that brought the argument, when later than the op's
  char group = 0;      // arguments of one group have one element type; 0: no group
};

// What an inference function sees of one operation. Its checks throw Error(invalid_program) with
// the op's name, the argument, what was expected and what was seen.
class InferenceContext {
public:
  InferenceContext(const Function& function, const Operation& op) : function_(function), op_(op) {}

  bool has(std::string_view argument) const;
  const Type& type(std::string_view argument) const;
  std::vector<const Type*> types(std::string_view argument) const; // of a tuple
  bool is_constant(std::string_view argument) const; // a `const` or the result of a constexpr_ op
  const Literal* constant(std::string_view argument) const; // or nullptr
  const Literal& required_constant(std::string_view argument) const;
  const Function& function() const { return function_; }
  const Operation& op() const { return op_; }

  // Readers of constant arguments. `integers` takes a vector or a scalar; with a fallback they
  // return it when the argument is absent and has no default.
  std::vector<int64_t> integers(std::string_view argument) const;
  std::vector<int64_t> integers(std::string_view argument, std::vector<int64_t> fallback) const;
  int64_t integer(std::string_view argument) const;
  bool boolean(std::string_view argument) const;
  const std::string& string(std::string_view argument) const;
  // `axis` counted from the front; fails when it is out of [-rank, rank).
  size_t axis(std::string_view argument, int64_t axis, size_t rank) const;

  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    fail_text(concat(parts...));
  }

private:
  [[noreturn]] void fail_text(const std::string& text) const;

  const Function& function_;
  const Operation& op_;
};

// Types of the op's outputs, in order.
using InferenceFunction = std::vector<Type> (*)(const InferenceContext&);

struct OpSchema {
  const char* name;
  int introduced; // 15 for ios15, ...
  std::vector<ArgumentSchema> arguments;
  InferenceFunction infer;
  bool pointwise = false; // each output element depends on one element per input

  const ArgumentSchema* argument(std::string_view name) const;
};

// nullptr when the op is unknown.
const OpSchema* find_op(std::string_view name);
std::span<const OpSchema> op_table();

// 17 for "ios17"; nullopt for anything that is not an opset we know.
std::optional<int> opset_version(std::string_view opset);
// The version that an op is checked against: its own, else its function's.
int effective_opset(const Function& function, const Operation& op);

// The schema of `const`, which the whole IR rests on.
const OpSchema* const_schema();

// Checks the op's arguments against its schema (names, presence, constants, element types) and
// infers the types of its outputs. Throws Error(invalid_program).
std::vector<Type> infer(const Function& function, const Operation& op);

// The value that an absent argument stands for, or nullopt when it has none (a bias, a mask).
std::optional<Literal> default_argument(const Function& function, const Operation& op,
                                        const ArgumentSchema& argument);

// NumPy broadcasting of two shapes; nullopt when they do not broadcast.
std::optional<Shape> broadcast(const Shape& a, const Shape& b);

} // namespace anet::mil
