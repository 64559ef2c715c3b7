// What op_table.h offers around the table: argument readers and the checks that hold for every op.
#include "mil/op_table.h"

#include "mil/ops/inference.h"

#include <algorithm>
#include <array>
#include <utility>

namespace anet::mil {

namespace {

// Ops that turn stored bytes into a constant; their results count as compile-time constants.
bool is_constexpr(const OpSchema& schema) {
  return std::string_view(schema.name).substr(0, 10) == "constexpr_";
}

bool is_constant_value(const Function& function, ValueId id) {
  const int32_t producer = function.value(id).producer;
  if (producer < 0) return false;
  const OpSchema& schema = *function.ops[static_cast<size_t>(producer)].schema;
  return &schema == const_schema() || is_constexpr(schema);
}

std::string type_set_to_string(TypeSet types) {
  std::string text;
  for (int i = 0; i <= static_cast<int>(DataType::fp32); ++i) {
    const auto dtype = static_cast<DataType>(i);
    if (!types.contains(dtype)) continue;
    if (!text.empty()) text += ", ";
    text += data_type_name(dtype);
  }
  return text;
}

// Element types of one argument: in its set, and equal to those of its group.
class ElementTypeCheck {
public:
  explicit ElementTypeCheck(const InferenceContext& context) : context_(context) {}

  void check(const ArgumentSchema& argument) {
    for (const Type* type : context_.types(argument.name)) check(argument, *type);
  }

private:
  void check(const ArgumentSchema& argument, const Type& type) {
    if (type.buffer && context_.op().schema->infer != ops::tensor_buffer_to_tensor) {
      context_.fail("expected a tensor for ", argument.name, ", got ", type_to_string(type));
    }
    if (!argument.types.contains(type.dtype)) {
      context_.fail("expected ", argument.name, " of type ", type_set_to_string(argument.types),
                    ", got ", type_to_string(type));
    }
    if (argument.group == 0) return;
    const auto found = std::find_if(groups_.begin(), groups_.end(), [&](const Group& group) {
      return group.name == argument.group;
    });
    if (found == groups_.end()) {
      groups_.push_back({argument.group, argument.name, type.dtype});
    } else if (found->dtype != type.dtype) {
      context_.fail("expected ", argument.name, " of the type of ", found->first, ", ",
                    data_type_name(found->dtype), ", got ", data_type_name(type.dtype));
    }
  }

  struct Group {
    char name;
    const char* first;
    DataType dtype;
  };

  const InferenceContext& context_;
  std::vector<Group> groups_;
};

void check_names(const InferenceContext& context) {
  const Operation& op = context.op();
  for (size_t i = 0; i < op.arguments.size(); ++i) {
    const Argument& argument = op.arguments[i];
    const ArgumentSchema* schema = op.schema->argument(argument.name);
    if (schema == nullptr) context.fail("unknown argument '", argument.name, "'");
    if (op.argument(argument.name) != &argument || op.attribute(argument.name) != nullptr) {
      context.fail("expected argument ", argument.name, " once, got it twice");
    }
    if (argument.values.empty() || (argument.values.size() > 1 && !argument.tuple) ||
        (argument.tuple && !schema->variadic)) {
      context.fail("expected ", schema->variadic ? "values" : "one value", " for ", argument.name,
                   ", got ", argument.tuple ? "a tuple of " : "", argument.values.size());
    }
  }
  for (const Attribute& attribute : op.attributes) {
    if (op.attribute(attribute.name) != &attribute) {
      context.fail("expected attribute ", attribute.name, " once, got it twice");
    }
  }
}

void check_arguments(const InferenceContext& context) {
  check_names(context);
  const OpSchema& schema = *context.op().schema;
  const int opset = effective_opset(context.function(), context.op());
  if (schema.introduced > opset) {
    context.fail("expected opset ios", schema.introduced, " or later, got ios", opset);
  }
  ElementTypeCheck element_types(context);
  for (const ArgumentSchema& argument : schema.arguments) {
    if (!context.has(argument.name)) {
      if (argument.presence == Presence::required) {
        context.fail("expected argument ", argument.name, ", got none");
      }
      continue;
    }
    element_types.check(argument);
    if (argument.introduced > opset) {
      context.fail("expected opset ios", argument.introduced, " or later for argument ",
                   argument.name, ", got ios", opset);
    }
    if (argument.constant && !context.is_constant(argument.name)) {
      context.fail("expected a compile-time constant for ", argument.name);
    }
  }
}

// The element type that a floating default takes: that of its group, else that of x.
std::optional<DataType> default_type(const Function& function, const Operation& op,
                                     const ArgumentSchema& argument) {
  for (const ArgumentSchema& other : op.schema->arguments) {
    const ValueId id = op.input(other.name);
    if (argument.group != 0 && other.group == argument.group && id != no_value) {
      return function.type(id).dtype;
    }
  }
  const ValueId x = op.input("x");
  if (x == no_value || !is_floating(function.type(x).dtype)) return std::nullopt;
  return function.type(x).dtype;
}

} // namespace

bool InferenceContext::has(std::string_view argument) const {
  return op_.argument(argument) != nullptr || op_.attribute(argument) != nullptr;
}

const Type& InferenceContext::type(std::string_view argument) const {
  const ValueId id = op_.input(argument);
  if (id != no_value) return function_.type(id);
  const Attribute* attribute = op_.attribute(argument);
  if (attribute == nullptr) fail("expected argument ", argument, ", got none");
  return attribute->value.type;
}

std::vector<const Type*> InferenceContext::types(std::string_view argument) const {
  std::vector<const Type*> types;
  if (const Argument* found = op_.argument(argument)) {
    for (ValueId id : found->values) types.push_back(&function_.type(id));
  } else {
    types.push_back(&type(argument));
  }
  return types;
}

bool InferenceContext::is_constant(std::string_view argument) const {
  const Argument* found = op_.argument(argument);
  if (found == nullptr) return op_.attribute(argument) != nullptr;
  return std::all_of(found->values.begin(), found->values.end(),
                     [&](ValueId id) { return is_constant_value(function_, id); });
}

const Literal* InferenceContext::constant(std::string_view argument) const {
  return function_.constant(op_, argument);
}

const Literal& InferenceContext::required_constant(std::string_view argument) const {
  const Literal* literal = constant(argument);
  if (literal == nullptr) fail("expected a literal for ", argument);
  return *literal;
}

std::vector<int64_t> InferenceContext::integers(std::string_view argument) const {
  const Literal& literal = required_constant(argument);
  // Argument lists are short; a long one is hostile.
  if (literal.type.shape.size() > 1 || literal.type.elements() > 4096) {
    fail("expected a short list of integers for ", argument, ", got ",
         type_to_string(literal.type));
  }
  return literal.integers();
}

std::vector<int64_t> InferenceContext::integers(std::string_view argument,
                                                std::vector<int64_t> fallback) const {
  return has(argument) ? integers(argument) : std::move(fallback);
}

int64_t InferenceContext::integer(std::string_view argument) const {
  const Literal& literal = required_constant(argument);
  if (literal.type.elements() != 1 || literal.type.shape.size() > 1) {
    fail("expected one integer for ", argument, ", got ", type_to_string(literal.type));
  }
  return literal.integer();
}

bool InferenceContext::boolean(std::string_view argument) const {
  const Literal& literal = required_constant(argument);
  if (literal.type.elements() != 1) {
    fail("expected one bool for ", argument, ", got ", type_to_string(literal.type));
  }
  return literal.boolean();
}

const std::string& InferenceContext::string(std::string_view argument) const {
  const Literal& literal = required_constant(argument);
  if (literal.strings.size() != 1) fail("expected one string for ", argument);
  return literal.strings.front();
}

size_t InferenceContext::axis(std::string_view argument, int64_t axis, size_t rank) const {
  const auto signed_rank = static_cast<int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank) {
    fail("expected ", argument, " in [", -signed_rank, ", ", signed_rank, "), got ", axis);
  }
  return static_cast<size_t>(axis < 0 ? axis + signed_rank : axis);
}

void InferenceContext::fail_text(const std::string& text) const {
  std::string where = op_.name();
  if (!op_.outputs.empty()) where += " '" + function_.value(op_.outputs.front()).name + "'";
  throw Error(
      Status::invalid_program, where + ": " + text,
      ErrorDetail{
          .domain = {}, .code = 0, .line = op_.location.line, .column = op_.location.column});
}

std::optional<int> opset_version(std::string_view opset) {
  static constexpr std::array<std::pair<std::string_view, int>, 4> versions{
      {{"ios15", 15}, {"ios16", 16}, {"ios17", 17}, {"ios18", 18}}};
  for (const auto& [name, version] : versions) {
    if (name == opset) return version;
  }
  return std::nullopt;
}

int effective_opset(const Function& function, const Operation& op) {
  const std::string& opset = op.opset.empty() ? function.opset : op.opset;
  const std::optional<int> version = opset_version(opset);
  if (!version) {
    fail(Status::invalid_program, "expected opset ios15, ios16, ios17 or ios18, got '", opset, "'");
  }
  return *version;
}

std::vector<Type> infer(const Function& function, const Operation& op) {
  const InferenceContext context(function, op);
  check_arguments(context);
  std::vector<Type> types = op.schema->infer(context);
  for (const Type& type : types) {
    try {
      check_type(type);
    } catch (const Error& error) {
      context.fail(error.message());
    }
  }
  return types;
}

std::optional<Literal> default_argument(const Function& function, const Operation& op,
                                        const ArgumentSchema& argument) {
  if (argument.computed_default != nullptr) {
    return argument.computed_default(InferenceContext(function, op));
  }
  if (!argument.default_value) return std::nullopt;
  const Literal& value = *argument.default_value;
  if (!is_floating(value.type.dtype)) return value;
  const std::optional<DataType> dtype = default_type(function, op, argument);
  return dtype ? Literal::scalar(*dtype, value.number()) : value;
}

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
  Shape shape(std::max(a.size(), b.size()));
  for (size_t from_end = 1; from_end <= shape.size(); ++from_end) {
    const int64_t left = from_end <= a.size() ? a[a.size() - from_end] : 1;
    const int64_t right = from_end <= b.size() ? b[b.size() - from_end] : 1;
    if (left != right && left != 1 && right != 1) return std::nullopt;
    shape[shape.size() - from_end] = left == 1 ? right : left;
  }
  return shape;
}

} // namespace anet::mil
