#include "checked.h"
#include "fallback.h"
#include "op_rules.h"
#include "rules.h"

#include <algorithm>
#include <set>
#include <unordered_map>

namespace emulator {

namespace {

int opset_number(const std::string& opset) { return std::stoi(opset.substr(3)); }

class FunctionChecker {
public:
  FunctionChecker(const FunctionText& text, WeightFiles& files, const Profile& profile,
                  const Rules& rules)
      : text_(text), files_(files), profile_(profile), rules_(rules) {
    result_.name = text.name;
  }
  CheckedFunction check();

private:
  void parameter(const NamedType& parameter);
  void statement(const StatementText& statement);
  void constant(const StatementText& statement);
  void operation(const StatementText& statement);
  void operands(const StatementText& statement, CheckedOp& op);
  Operand operand(const ArgumentText& argument, const ArgumentRule& rule, const CheckedOp& op);
  void result(const std::string& name);
  int declare(const NamedType& value, ConstantPointer constant);
  int lookup(const std::string& name, int line) const;

  const FunctionText& text_;
  WeightFiles& files_;
  const Profile& profile_;
  const Rules& rules_;
  CheckedFunction result_;
  std::unordered_map<std::string, int> names_;
};

CheckedFunction FunctionChecker::check() {
  for (const NamedType& entry : text_.parameters) parameter(entry);
  for (const StatementText& entry : text_.statements) statement(entry);
  for (const std::string& name : text_.results) result(name);
  if (result_.inputs.empty()) {
    refuse(Verdict::compilation_failure, "function ", text_.name, " has no inputs");
  }
  check_graph(result_, profile_, rules_);
  return std::move(result_);
}

int FunctionChecker::declare(const NamedType& value, ConstantPointer constant) {
  const auto index = static_cast<int>(result_.values.size());
  if (!names_.emplace(value.name, index).second) {
    invalid(value.line, value.name, " is declared twice");
  }
  result_.values.push_back({value.name, value.type, std::move(constant)});
  return index;
}

int FunctionChecker::lookup(const std::string& name, int line) const {
  const auto found = names_.find(name);
  if (found == names_.end()) invalid(line, name, " is not declared");
  return found->second;
}

void FunctionChecker::parameter(const NamedType& parameter) {
  check_port(parameter.type, parameter.name, profile_);
  result_.inputs.push_back(declare(parameter, nullptr));
}

void FunctionChecker::statement(const StatementText& statement) {
  for (const ArgumentText& attribute : statement.attributes) {
    if (attribute.name == "name" &&
        (!attribute.literal || attribute.literal->type.dtype != DataType::string)) {
      invalid(attribute.line, "the attribute name is a string");
    }
  }
  if (statement.op == "const") {
    constant(statement);
  } else {
    operation(statement);
  }
}

// const()[name=..., val=...]
void FunctionChecker::constant(const StatementText& statement) {
  if (!statement.arguments.empty() || statement.outputs.size() != 1) {
    invalid(statement.line, "a const has no arguments and one output");
  }
  const ArgumentText* value = nullptr;
  for (const ArgumentText& attribute : statement.attributes) {
    if (attribute.name == "val") value = &attribute;
  }
  if (value == nullptr) invalid(statement.line, "a const has no val");
  const NamedType& output = statement.outputs.front();
  if (value->literal->type != output.type) {
    invalid(statement.line, output.name, " is declared ", anet::mil::type_to_string(output.type),
            " and its val is ", anet::mil::type_to_string(value->literal->type));
  }
  declare(output, make_constant(*value->literal, files_, statement.line));
}

void FunctionChecker::operation(const StatementText& statement) {
  const OpRule* rule = find_rule(statement.op);
  if (rule == nullptr) invalid(statement.line, "there is no operation ", statement.op);
  CheckedOp op{.rule = rule, .name = statement.op, .line = statement.line};
  op.opset = opset_number(statement.opset.empty() ? text_.opset : statement.opset);
  if (op.opset < rule->opset) {
    invalid(statement.line, statement.op, " needs ios", rule->opset, ", not ios", op.opset);
  }
  if (rule->chips == Chips::none) {
    refuse(Verdict::compilation_failure, "line ", statement.line, ": ", statement.op,
           " has no path on any chip");
  }
  operands(statement, op);
  const Call call(result_, op);
  check_availability(call, profile_, rules_);
  const std::vector<Type> types = rule->infer != nullptr ? rule->infer(call) : fallback_types(call);
  if (types.size() != statement.outputs.size()) {
    invalid(statement.line, statement.op, " has ", types.size(), " outputs, not ",
            statement.outputs.size());
  }
  ConstantPointer folded = fold_constexpr(call, types.front());
  for (size_t i = 0; i < types.size(); ++i) {
    const NamedType& output = statement.outputs[i];
    if (output.type != types[i]) {
      invalid(output.line, output.name, " is declared ", anet::mil::type_to_string(output.type),
              ", but ", statement.op, " gives ", anet::mil::type_to_string(types[i]));
    }
    check_tensor(output.type, output.name, profile_);
    op.outputs.push_back(declare(output, folded));
  }
  if (!folded) result_.ops.push_back(std::move(op));
}

// Arguments, and for constexpr operations attributes as well (3.4).
void FunctionChecker::operands(const StatementText& statement, CheckedOp& op) {
  const bool constexpr_op = statement.op.starts_with("constexpr_");
  const auto take = [&](const ArgumentText& argument) {
    const ArgumentRule* rule = op.rule->argument(argument.name);
    if (rule == nullptr || rule->opset > op.opset) {
      invalid(argument.line, statement.op, " has no argument ", argument.name, " in ios", op.opset);
    }
    if (op.operand(argument.name) != nullptr) {
      invalid(argument.line, statement.op, ": argument ", argument.name, " is given twice");
    }
    op.operands.push_back(operand(argument, *rule, op));
  };
  for (const ArgumentText& argument : statement.arguments) take(argument);
  for (const ArgumentText& attribute : statement.attributes) {
    if (constexpr_op && attribute.name != "name") take(attribute);
  }
  for (const ArgumentRule& rule : op.rule->arguments) {
    if (!rule.optional && rule.opset <= op.opset && op.operand(rule.name) == nullptr) {
      invalid(statement.line, statement.op, ": argument ", rule.name, " is missing");
    }
  }
}

Operand FunctionChecker::operand(const ArgumentText& argument, const ArgumentRule& rule,
                                 const CheckedOp& op) {
  Operand result{.name = argument.name, .tuple = argument.tuple};
  if (argument.tuple != (rule.name == "values")) {
    invalid(argument.line, op.name, ": argument ", rule.name, argument.tuple ? " is not" : " is",
            " a tuple");
  }
  if (argument.literal) {
    result.values.push_back(static_cast<int>(result_.values.size()));
    result_.values.push_back(
        {"", argument.literal->type, make_constant(*argument.literal, files_, argument.line)});
  }
  for (const std::string& name : argument.values)
    result.values.push_back(lookup(name, argument.line));
  for (const int value : result.values) {
    if (rule.constant && !result_.value(value).constant) {
      invalid(argument.line, op.name, ": argument ", rule.name, " is not a compile-time constant");
    }
    const bool buffer = result_.value(value).type.buffer.has_value();
    if (buffer != (op.name == "tensor_buffer_to_tensor")) {
      invalid(argument.line, op.name, ": argument ", rule.name, buffer ? " is" : " is not",
              " a tensor_buffer");
    }
  }
  return result;
}

void FunctionChecker::result(const std::string& name) {
  const int index = lookup(name, text_.line);
  const ValueInfo& value = result_.value(index);
  if (std::ranges::count(result_.outputs, index) != 0)
    invalid(text_.line, name, " is returned twice");
  if (std::ranges::count(result_.inputs, index) != 0 || value.constant) {
    refuse(Verdict::compilation_failure, "line ", text_.line, ": ", name,
           " is returned, but nothing computes it");
  }
  check_port(value.type, name, profile_);
  result_.outputs.push_back(index);
}

} // namespace

CheckedProgram check_program(const ProgramText& program, WeightFiles& files, const Profile& profile,
                             const Rules& rules) {
  if (rules.build_info) {
    const bool present = std::ranges::any_of(
        program.attributes, [](const ArgumentText& entry) { return entry.name == "buildInfo"; });
    if (!present) refuse(Verdict::invalid_program, "the program has no buildInfo");
  }
  CheckedProgram result;
  std::set<std::string> names;
  for (const FunctionText& function : program.functions) {
    if (!names.insert(function.name).second) {
      invalid(function.line, "function ", function.name, " is declared twice");
    }
    result.functions.push_back(FunctionChecker(function, files, profile, rules).check());
  }
  if (result.functions.size() > 128) {
    refuse(Verdict::compilation_failure, "a program has at most 128 procedures, not ",
           result.functions.size());
  }
  return result;
}

} // namespace emulator
