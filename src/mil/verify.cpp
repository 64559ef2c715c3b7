#include "mil/verify.h"

#include "base/status.h"
#include "mil/op_table.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace anet::mil {

namespace {

// Exactly one payload, of the size that the type says.
void check_literal(const Literal& literal) {
  if (literal.is_dictionary()) {
    if (literal.data.size() != 0 || !literal.type.shape.empty()) {
      fail(Status::invalid_program, "expected a dictionary of entries alone");
    }
    return;
  }
  check_type(literal.type);
  if (!literal.entries.empty() || literal.type.buffer) {
    fail(Status::invalid_program, "expected a tensor literal, got ", type_to_string(literal.type));
  }
  const bool text = literal.type.dtype == DataType::string;
  const int64_t expected_strings = text ? literal.type.elements() : 0;
  if (static_cast<int64_t>(literal.strings.size()) != expected_strings ||
      static_cast<int64_t>(literal.data.size()) != literal.type.bytes()) {
    fail(Status::invalid_program, "expected ", expected_strings, " strings and ",
         literal.type.bytes(), " bytes for ", type_to_string(literal.type), ", got ",
         literal.strings.size(), " and ", literal.data.size());
  }
}

void check_attributes(const std::vector<Attribute>& attributes) {
  for (const Attribute& attribute : attributes) {
    if (!is_identifier(attribute.name)) {
      fail(Status::invalid_program, "expected an attribute name of letters, digits and ",
           "underscores, got '", attribute.name, "'");
    }
    check_literal(attribute.value);
  }
}

// Adds the place of an op to an error that has none.
template <typename Check>
void located(const Operation& op, const Check& check) {
  try {
    check();
  } catch (const Error& error) {
    if (error.detail().line != 0 || op.location.line == 0) throw;
    ErrorDetail detail = error.detail();
    detail.line = op.location.line;
    detail.column = op.location.column;
    throw Error(error.status(), error.message(), detail);
  }
}

class FunctionVerifier {
public:
  explicit FunctionVerifier(const Function& function)
      : function_(function), defined_(function.values.size(), false) {}

  void run() {
    if (!is_identifier(function_.name)) {
      fail(Status::invalid_program, "expected a function name of letters, digits and underscores, ",
           "got '", function_.name, "'");
    }
    if (!opset_version(function_.opset)) {
      fail(Status::invalid_program, "expected opset ios15, ios16, ios17 or ios18, got '",
           function_.opset, "'");
    }
    for (ValueId id : function_.inputs) {
      define(id, -1);
      if (function_.type(id).dtype == DataType::string) {
        fail(Status::invalid_program, "expected input '", function_.value(id).name,
             "' to be a tensor, got a string");
      }
    }
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      const Operation& op = function_.ops[i];
      located(op, [&] { check_op(op, static_cast<int32_t>(i)); });
    }
    check_outputs();
    const auto stray = std::find(defined_.begin(), defined_.end(), false);
    if (stray != defined_.end()) {
      const auto index = static_cast<size_t>(stray - defined_.begin());
      fail(Status::invalid_program, "expected value '", function_.values[index].name,
           "' to be an input or the result of an op");
    }
  }

private:
  void check_id(ValueId id) const {
    if (id < 0 || static_cast<size_t>(id) >= function_.values.size()) {
      fail(Status::invalid_program, "expected a value id below ", function_.values.size(), ", got ",
           id);
    }
  }

  void define(ValueId id, int32_t producer) {
    check_id(id);
    const Value& value = function_.value(id);
    if (!is_identifier(value.name)) {
      fail(Status::invalid_program, "expected a value name of letters, digits and underscores, ",
           "got '", value.name, "'");
    }
    if (!names_.insert(value.name).second) {
      fail(Status::invalid_program, "expected unique names, got '", value.name, "' twice");
    }
    if (value.producer != producer || defined_[static_cast<size_t>(id)]) {
      fail(Status::invalid_program, "expected value '", value.name, "' to have one producer");
    }
    defined_[static_cast<size_t>(id)] = true;
    check_type(value.type);
  }

  void check_op(const Operation& op, int32_t index) {
    if (op.schema == nullptr || op.outputs.empty()) {
      fail(Status::invalid_program, "expected an op of the op table with outputs");
    }
    if (!op.opset.empty() && !opset_version(op.opset)) {
      fail(Status::invalid_program, op.name(), ": expected opset ios15, ios16, ios17 or ios18, ",
           "got '", op.opset, "'");
    }
    check_attributes(op.attributes);
    for (const Argument& argument : op.arguments) {
      for (ValueId id : argument.values) {
        check_id(id);
        if (!defined_[static_cast<size_t>(id)]) {
          fail(Status::invalid_program, op.name(), ": expected '", function_.value(id).name,
               "' to be defined before its use as ", argument.name);
        }
      }
    }
    for (ValueId id : op.outputs) define(id, index);
    check_output_types(op, infer(function_, op));
  }

  void check_output_types(const Operation& op, const std::vector<Type>& inferred) const {
    if (inferred.size() != op.outputs.size()) {
      fail(Status::invalid_program, op.name(), " '", function_.value(op.outputs.front()).name,
           "': expected ", inferred.size(), " outputs, got ", op.outputs.size());
    }
    for (size_t i = 0; i < inferred.size(); ++i) {
      const Value& value = function_.value(op.outputs[i]);
      if (value.type != inferred[i]) {
        fail(Status::invalid_program, op.name(), " '", value.name, "': expected declared type ",
             type_to_string(inferred[i]), ", got ", type_to_string(value.type));
      }
    }
  }

  void check_outputs() const {
    if (function_.outputs.empty()) {
      fail(Status::invalid_program, "expected function '", function_.name,
           "' to have an output, got none");
    }
    std::unordered_set<ValueId> seen;
    for (ValueId id : function_.outputs) {
      check_id(id);
      const Value& value = function_.value(id);
      if (!defined_[static_cast<size_t>(id)]) {
        fail(Status::invalid_program, "expected output '", value.name, "' to be defined");
      }
      if (!seen.insert(id).second) {
        fail(Status::invalid_program, "expected unique outputs, got '", value.name, "' twice");
      }
    }
  }

  const Function& function_;
  std::vector<bool> defined_;
  std::unordered_set<std::string_view> names_;
};

} // namespace

void verify(const Function& function) { FunctionVerifier(function).run(); }

void verify(const Program& program) {
  const bool valid_version = !program.version.empty() && program.version.size() <= 16 &&
                             program.version.find_first_not_of("0123456789.") == std::string::npos;
  if (!valid_version) {
    fail(Status::invalid_program, "expected a version like 1.3, got '", program.version, "'");
  }
  check_attributes(program.attributes);
  if (program.functions.empty()) {
    fail(Status::invalid_program, "expected a program with a function, got none");
  }
  std::unordered_set<std::string_view> names;
  for (const Function& function : program.functions) {
    if (!names.insert(function.name).second) {
      fail(Status::invalid_program, "expected unique function names, got '", function.name,
           "' twice");
    }
    verify(function);
  }
}

bool every_argument_explicit(const Function& function) {
  for (const Operation& op : function.ops) {
    const int opset = effective_opset(function, op);
    for (const ArgumentSchema& argument : op.schema->arguments) {
      if (argument.presence == Presence::optional || argument.introduced > opset) continue;
      if (op.argument(argument.name) == nullptr && op.attribute(argument.name) == nullptr) {
        return false;
      }
    }
  }
  return true;
}

} // namespace anet::mil
