#include "mil/text.h"

#include "base/status.h"
#include "mil/lexer.h"
#include "mil/op_table.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

namespace anet::mil {

namespace {

constexpr size_t short_decimal = 10; // characters

uint64_t canonical_nan(DataType dtype) {
  return encode_number(dtype, std::numeric_limits<double>::quiet_NaN());
}

// A NaN that is not the usual one keeps its bits: nan(0x7e01).
std::string nan_to_string(DataType dtype, uint64_t bits) {
  if (bits == canonical_nan(dtype)) return "nan";
  std::array<char, 32> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), bits, 16);
  return "nan(0x" + std::string(buffer.data(), result.ptr) + ")";
}

// The shortest decimal that reads back as the same double is exact for every value that needs no
// more than its digits; others print as hex floats.
std::string floating_to_string(double value) {
  std::array<char, 400> buffer; // 1e308 in fixed notation fits
  char* const begin = buffer.data();
  char* const end = begin + buffer.size();
  const auto fixed = std::to_chars(begin, end, value, std::chars_format::fixed);
  std::string text(begin, fixed.ptr);
  if (text.size() <= short_decimal) {
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  const auto hex = std::to_chars(begin, end, std::fabs(value), std::chars_format::hex);
  return (std::signbit(value) ? "-0x" : "0x") + std::string(begin, hex.ptr);
}

std::string element_to_string(const Literal& literal, int64_t index) {
  const DataType dtype = literal.type.dtype;
  if (dtype == DataType::string) {
    return '"' + escape(literal.strings[static_cast<size_t>(index)]) + '"';
  }
  if (dtype == DataType::boolean) return literal.bits(index) != 0 ? "true" : "false";
  if (dtype == DataType::int64) return std::to_string(static_cast<int64_t>(literal.bits(index)));
  if (dtype == DataType::uint64) return std::to_string(literal.bits(index));
  const double value = literal.number(index);
  if (is_integer(dtype)) return std::to_string(static_cast<int64_t>(value));
  if (std::isnan(value)) return nan_to_string(dtype, literal.bits(index));
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return floating_to_string(value);
}

class Printer {
public:
  explicit Printer(std::string& out) : out_(out) {}

  void program(const Program& program) {
    out_ += "program(" + program.version + ")\n";
    if (!program.attributes.empty()) {
      attributes(program.attributes);
      out_ += '\n';
    }
    out_ += "{\n";
    for (const Function& each : program.functions) function(each);
    out_ += "}\n";
  }

  void function(const Function& function) {
    out_ += "    func " + function.name + "<" + function.opset + ">(";
    for (size_t i = 0; i < function.inputs.size(); ++i) {
      if (i > 0) out_ += ", ";
      declaration(function.value(function.inputs[i]));
    }
    out_ += ") {\n";
    for (const Operation& op : function.ops) operation(function, op);
    out_ += "    } -> (";
    names(function, function.outputs);
    out_ += ");\n";
  }

private:
  void declaration(const Value& value) { out_ += type_to_string(value.type) + " " + value.name; }

  void names(const Function& function, const std::vector<ValueId>& ids) {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i > 0) out_ += ", ";
      out_ += function.value(ids[i]).name;
    }
  }

  void operation(const Function& function, const Operation& op) {
    out_ += "        ";
    for (size_t i = 0; i < op.outputs.size(); ++i) {
      if (i > 0) out_ += ", ";
      declaration(function.value(op.outputs[i]));
    }
    out_ += " = ";
    out_ += op.name();
    if (!op.opset.empty()) out_ += "<" + op.opset + ">";
    out_ += '(';
    for (size_t i = 0; i < op.arguments.size(); ++i) {
      const Argument& argument = op.arguments[i];
      if (i > 0) out_ += ", ";
      out_ += argument.name + " = ";
      if (argument.tuple) out_ += '(';
      names(function, argument.values);
      if (argument.tuple) out_ += ')';
    }
    out_ += ')';
    attributes(op.attributes);
    out_ += ";\n";
  }

  void attributes(const std::vector<Attribute>& list) {
    if (list.empty()) return;
    out_ += '[';
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ", ";
      out_ += list[i].name + " = ";
      literal(list[i].value);
    }
    out_ += ']';
  }

  void literal(const Literal& literal) {
    if (literal.is_dictionary()) {
      dictionary(literal);
      return;
    }
    out_ += type_to_string(literal.type) + "(";
    if (literal.blob) {
      out_ += "BLOBFILE(path = string(\"" + escape(literal.blob->path) + "\"), offset = uint64(" +
              std::to_string(literal.blob->offset) + "))";
    } else {
      int64_t index = 0;
      elements(literal, 0, index);
    }
    out_ += ')';
  }

  void dictionary(const Literal& literal) {
    out_ += "dict<string, string>({";
    for (size_t i = 0; i < literal.entries.size(); ++i) {
      if (i > 0) out_ += ", ";
      const auto& [key, value] = literal.entries[i];
      out_ += "{\"" + escape(key) + "\", \"" + escape(value) + "\"}";
    }
    out_ += "})";
  }

  // Nested lists, one level an axis; `index` counts the elements printed so far.
  void elements(const Literal& literal, size_t axis, int64_t& index) {
    if (axis == literal.type.shape.size()) {
      out_ += element_to_string(literal, index++);
      return;
    }
    out_ += '[';
    for (int64_t i = 0; i < literal.type.shape[axis]; ++i) {
      if (i > 0) out_ += ", ";
      elements(literal, axis + 1, index);
    }
    out_ += ']';
  }

  std::string& out_;
};

} // namespace

std::string print(const Program& program) {
  std::string text;
  Printer(text).program(program);
  return text;
}

std::string print(const Function& function) {
  std::string text;
  Printer(text).function(function);
  return text;
}

} // namespace anet::mil
