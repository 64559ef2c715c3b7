// A program that passed the compiler's checks.
#pragma once

#include "constant.h"
#include "options.h"
#include "refusal.h"
#include "syntax.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace emulator {

struct OpRule;

struct ValueInfo {
  std::string name; // empty for an inline literal
  Type type;
  ConstantPointer constant; // of a `const` or a constexpr op
};

struct Operand {
  std::string name;
  bool tuple = false;
  std::vector<int> values = {}; // indices into CheckedFunction::values
};

struct CheckedOp {
  const OpRule* rule = nullptr;
  std::string name;
  std::vector<Operand> operands = {};
  std::vector<int> outputs = {};
  int line = 0;
  int opset = 18;

  const Operand* operand(std::string_view operand_name) const;
};

struct CheckedFunction {
  std::string name;
  std::vector<ValueInfo> values;
  std::vector<CheckedOp> ops; // without constants
  std::vector<int> inputs;    // as declared
  std::vector<int> outputs;   // as returned

  const ValueInfo& value(int index) const { return values[static_cast<size_t>(index)]; }
};

struct CheckedProgram {
  std::vector<CheckedFunction> functions;
};

// Throws Refusal.
CheckedProgram check_program(const ProgramText& program, WeightFiles& files, const Profile& profile,
                             const Rules& rules);

// One operation as rules and kernels see it.
class Call {
public:
  Call(const CheckedFunction& function, const CheckedOp& op) : function_(function), op_(op) {}

  const CheckedFunction& function() const { return function_; }
  const CheckedOp& op() const { return op_; }
  bool has(std::string_view argument) const { return op_.operand(argument) != nullptr; }
  const ValueInfo& value(std::string_view argument) const;
  int index(std::string_view argument) const; // into function().values
  const Type& type(std::string_view argument) const { return value(argument).type; }
  const Shape& shape(std::string_view argument) const { return type(argument).shape; }
  std::vector<const Type*> tuple(std::string_view argument) const;
  const Constant* constant(std::string_view argument) const {
    return value(argument).constant.get();
  }
  std::vector<int64_t> integers(std::string_view argument) const;
  int64_t integer(std::string_view argument) const;
  double number(std::string_view argument) const;
  bool boolean(std::string_view argument) const;
  const std::string& text(std::string_view argument) const;
  std::vector<bool> mask(std::string_view argument, size_t rank) const; // all false when absent
  // From the front; refuses what is outside [-rank, rank).
  size_t axis(int64_t axis, size_t rank) const;
  std::vector<size_t> axes(std::string_view argument, size_t rank) const; // sorted, distinct

  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    fail_text(Verdict::invalid_program, parts_to_text(parts...));
  }
  // What is well formed, but not for this chip.
  template <typename... Parts>
  [[noreturn]] void fail_chip(const Parts&... parts) const {
    fail_text(Verdict::compilation_failure, parts_to_text(parts...));
  }

private:
  template <typename... Parts>
  static std::string parts_to_text(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return std::move(text).str();
  }
  [[noreturn]] void fail_text(Verdict verdict, const std::string& text) const;

  const CheckedFunction& function_;
  const CheckedOp& op_;
};

} // namespace emulator
