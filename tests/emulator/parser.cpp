#include "lexer.h"
#include "refusal.h"
#include "syntax.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

namespace emulator {

namespace {

// `scalar` of ane-facts.md 4.1; the sub-byte types are those of constexpr operands.
std::optional<DataType> scalar_type(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, DataType>, 18> names = {{
      {"bool", DataType::boolean},
      {"string", DataType::string},
      {"int4", DataType::int4},
      {"uint1", DataType::uint1},
      {"uint2", DataType::uint2},
      {"uint3", DataType::uint3},
      {"uint4", DataType::uint4},
      {"uint6", DataType::uint6},
      {"int8", DataType::int8},
      {"uint8", DataType::uint8},
      {"int16", DataType::int16},
      {"uint16", DataType::uint16},
      {"int32", DataType::int32},
      {"uint32", DataType::uint32},
      {"int64", DataType::int64},
      {"uint64", DataType::uint64},
      {"fp16", DataType::fp16},
      {"fp32", DataType::fp32},
  }};
  for (const auto& [text, dtype] : names) {
    if (text == name) return dtype;
  }
  if (name == "bf16") return DataType::bf16;
  return std::nullopt;
}

struct Range {
  double low;
  double high;
};

Range integer_range(DataType dtype) {
  switch (dtype) {
  case DataType::int4:
    return {-8, 7};
  case DataType::int8:
    return {-128, 127};
  case DataType::int16:
    return {-32768, 32767};
  case DataType::int32:
    return {-0x1p31, 0x1p31 - 1};
  case DataType::int64:
    return {-0x1p63, 0x1p63};
  case DataType::uint64:
    return {0, 0x1p64};
  default:
    return {0, std::ldexp(1.0, anet::mil::data_type_bits(dtype)) - 1};
  }
}

class Parser {
public:
  explicit Parser(std::string_view text) : lexer_(text) {}
  ProgramText program();

private:
  FunctionText function();
  StatementText statement();
  std::vector<ArgumentText> attributes();
  ArgumentText argument();
  ArgumentText literal_entry();
  Type type();
  Type tensor_type();
  Type buffer_type();
  DataType scalar();
  std::vector<int64_t> integer_list();
  int64_t integer();
  LiteralText literal();
  LiteralText dictionary();
  BlobName blob();
  uint64_t blob_offset();
  void element(LiteralText& literal);
  void list(LiteralText& literal, size_t depth, Shape& seen);
  void finish(LiteralText& literal, const Shape& seen, int line);
  std::string quoted();
  std::string opset();

  Lexer lexer_;
};

ProgramText Parser::program() {
  ProgramText result;
  lexer_.keyword("program");
  lexer_.expect("(");
  result.version = lexer_.next().text;
  if (result.version != "1.0" && result.version != "1.3" && result.version != "1.5") {
    invalid(lexer_.peek().line, "expected version 1.0, 1.3 or 1.5, got '", result.version, "'");
  }
  lexer_.expect(")");
  result.attributes = attributes();
  lexer_.expect("{");
  do {
    result.functions.push_back(function());
  } while (!lexer_.accept("}"));
  if (lexer_.peek().kind != TokenKind::end) {
    invalid(lexer_.peek().line, "expected the end after the program, got '", lexer_.peek().text,
            "'");
  }
  return result;
}

std::string Parser::opset() {
  lexer_.expect("<");
  const int line = lexer_.peek().line;
  std::string name = lexer_.identifier("an opset");
  if (name != "ios15" && name != "ios16" && name != "ios17" && name != "ios18") {
    invalid(line, "expected an opset from ios15 to ios18, got '", name, "'");
  }
  lexer_.expect(">");
  return name;
}

FunctionText Parser::function() {
  FunctionText result{.line = lexer_.peek().line};
  lexer_.keyword("func");
  result.name = lexer_.identifier("the function's name");
  result.opset = opset();
  lexer_.expect("(");
  if (!lexer_.accept(")")) {
    do {
      NamedType parameter{.line = lexer_.peek().line};
      parameter.type = type();
      parameter.name = lexer_.identifier("a parameter's name");
      result.parameters.push_back(std::move(parameter));
    } while (lexer_.accept(","));
    lexer_.expect(")");
  }
  lexer_.expect("{");
  while (!lexer_.accept("}")) result.statements.push_back(statement());
  lexer_.expect("->");
  lexer_.expect("(");
  do {
    result.results.push_back(lexer_.identifier("a result's name"));
  } while (lexer_.accept(","));
  lexer_.expect(")");
  lexer_.expect(";");
  return result;
}

StatementText Parser::statement() {
  StatementText result{.line = lexer_.peek().line};
  do {
    NamedType output{.line = lexer_.peek().line};
    output.type = type();
    output.name = lexer_.identifier("an output's name");
    result.outputs.push_back(std::move(output));
  } while (lexer_.accept(","));
  lexer_.expect("=");
  result.op = lexer_.identifier("an operation");
  if (lexer_.peek().text == "<") result.opset = opset();
  lexer_.expect("(");
  if (!lexer_.accept(")")) {
    do {
      result.arguments.push_back(argument());
    } while (lexer_.accept(","));
    lexer_.expect(")");
  }
  result.attributes = attributes();
  lexer_.expect(";");
  return result;
}

std::vector<ArgumentText> Parser::attributes() {
  std::vector<ArgumentText> result;
  if (!lexer_.accept("[")) return result;
  do {
    result.push_back(literal_entry());
  } while (lexer_.accept(","));
  lexer_.expect("]");
  return result;
}

ArgumentText Parser::literal_entry() {
  ArgumentText entry{.line = lexer_.peek().line};
  entry.name = lexer_.identifier("an attribute's name");
  lexer_.expect("=");
  entry.literal = literal();
  return entry;
}

// A name, a tuple of names, or a typed value. A value without its type (true, -1) is refused
// (ane-facts.md 4.1).
ArgumentText Parser::argument() {
  ArgumentText result{.line = lexer_.peek().line};
  result.name = lexer_.identifier("an argument's name");
  lexer_.expect("=");
  if (lexer_.accept("(")) {
    result.tuple = true;
    do {
      result.values.push_back(lexer_.identifier("a value's name"));
    } while (lexer_.accept(","));
    lexer_.expect(")");
    return result;
  }
  const Token& token = lexer_.peek();
  if (token.kind != TokenKind::identifier || token.text == "true" || token.text == "false") {
    invalid(token.line, "argument ", result.name, ": expected a name or a typed value, got '",
            token.text, "'");
  }
  const bool typed = scalar_type(token.text) || token.text == "tensor";
  if (typed) {
    result.literal = literal();
  } else {
    result.values.push_back(lexer_.next().text);
  }
  return result;
}

DataType Parser::scalar() {
  const int line = lexer_.peek().line;
  const std::string name = lexer_.identifier("an element type");
  const auto dtype = scalar_type(name);
  if (!dtype) invalid(line, "expected an element type, got '", name, "'");
  return *dtype;
}

Type Parser::type() {
  const Token& token = lexer_.peek();
  if (token.text == "tensor") return tensor_type();
  if (token.text == "tensor_buffer") return buffer_type();
  return {.dtype = scalar(), .shape = {}};
}

Type Parser::tensor_type() {
  lexer_.keyword("tensor");
  lexer_.expect("<");
  Type result{.dtype = scalar(), .shape = {}};
  lexer_.expect(",");
  result.shape = integer_list();
  lexer_.expect(">");
  for (const int64_t extent : result.shape) {
    if (extent < 1) invalid(lexer_.peek().line, "expected extents of at least 1, got ", extent);
  }
  if (result.shape.size() > 8)
    invalid(lexer_.peek().line, "a tensor has rank ", result.shape.size());
  return result;
}

Type Parser::buffer_type() {
  lexer_.keyword("tensor_buffer");
  lexer_.expect("<");
  Type result{.dtype = scalar(), .shape = {}};
  anet::mil::BufferLayout layout;
  const auto list = [&](const char* name) {
    lexer_.expect(",");
    lexer_.keyword(name);
    lexer_.expect("=");
    return integer_list();
  };
  result.shape = list("shape");
  layout.strides = list("strides");
  layout.interleave_factors = list("interleave_factors");
  lexer_.expect(">");
  result.buffer = std::move(layout);
  return result;
}

std::vector<int64_t> Parser::integer_list() {
  std::vector<int64_t> result;
  lexer_.expect("[");
  if (lexer_.accept("]")) return result;
  do {
    result.push_back(integer());
  } while (lexer_.accept(","));
  lexer_.expect("]");
  return result;
}

int64_t Parser::integer() {
  const Token token = lexer_.next();
  int64_t value = 0;
  const char* end = token.text.data() + token.text.size();
  const auto [stop, error] = std::from_chars(token.text.data(), end, value);
  if (token.kind != TokenKind::number || error != std::errc() || stop != end) {
    invalid(token.line, "expected an integer, got '", token.text, "'");
  }
  return value;
}

std::string Parser::quoted() {
  const Token token = lexer_.next();
  if (token.kind != TokenKind::string)
    invalid(token.line, "expected a string, got '", token.text, "'");
  return token.text;
}

LiteralText Parser::literal() {
  if (lexer_.peek().text == "dict") return dictionary();
  const int line = lexer_.peek().line;
  LiteralText result{.type = type()};
  lexer_.expect("(");
  Shape seen;
  if (lexer_.peek().text == "BLOBFILE") {
    result.blob = blob();
  } else if (lexer_.peek().text == "[") {
    list(result, 0, seen);
    finish(result, seen, line);
  } else {
    element(result);
    if (result.type.elements() != 1) {
      invalid(line, "expected ", result.type.elements(), " values, got one");
    }
  }
  lexer_.expect(")");
  return result;
}

// {{"key", "value"}, ...}; its values are not checked (ane-facts.md 4.1).
LiteralText Parser::dictionary() {
  LiteralText result{.type = {.dtype = DataType::string, .shape = {}}, .dictionary = true};
  lexer_.keyword("dict");
  lexer_.expect("<");
  type();
  lexer_.expect(",");
  type();
  lexer_.expect(">");
  lexer_.expect("(");
  lexer_.expect("{");
  const auto text = [&] {
    if (lexer_.peek().kind == TokenKind::string) return quoted();
    const LiteralText value = literal();
    return value.strings.empty() ? std::string() : value.strings.front();
  };
  do {
    lexer_.expect("{");
    std::string key = text();
    lexer_.expect(",");
    result.entries.emplace_back(std::move(key), text());
    lexer_.expect("}");
  } while (lexer_.accept(","));
  lexer_.expect("}");
  lexer_.expect(")");
  return result;
}

BlobName Parser::blob() {
  BlobName result;
  lexer_.keyword("BLOBFILE");
  lexer_.expect("(");
  lexer_.keyword("path");
  lexer_.expect("=");
  const int line = lexer_.peek().line;
  const LiteralText path = literal();
  if (path.strings.size() != 1) invalid(line, "expected a path of one string");
  result.path = path.strings.front();
  lexer_.expect(",");
  lexer_.keyword("offset");
  lexer_.expect("=");
  result.offset = blob_offset();
  lexer_.expect(")");
  return result;
}

uint64_t Parser::blob_offset() {
  const int line = lexer_.peek().line;
  const LiteralText offset = literal();
  if (offset.type.dtype != DataType::uint64 || offset.numbers.size() != 1) {
    invalid(line, "expected an offset of type uint64");
  }
  return static_cast<uint64_t>(offset.numbers.front());
}

void Parser::element(LiteralText& result) {
  const DataType dtype = result.type.dtype;
  if (dtype == DataType::string) {
    result.strings.push_back(quoted());
    return;
  }
  const Token token = lexer_.next();
  if (dtype == DataType::boolean) {
    if (token.kind != TokenKind::identifier || (token.text != "true" && token.text != "false")) {
      invalid(token.line, "expected true or false, got '", token.text, "'");
    }
    result.numbers.push_back(token.text == "true" ? 1 : 0);
    return;
  }
  if (token.kind != TokenKind::number)
    invalid(token.line, "expected a number, got '", token.text, "'");
  const bool floating = anet::mil::is_floating(dtype);
  const bool hex = token.text.find_first_of("xX") != std::string::npos;
  const bool fraction = token.text.find('.') != std::string::npos ||
                        (!hex && token.text.find_first_of("eE") != std::string::npos) ||
                        token.text.find_first_of("pP") != std::string::npos;
  char* end = nullptr;
  const double value = std::strtod(token.text.c_str(), &end);
  if (*end != '\0') invalid(token.line, "'", token.text, "' is not a number");
  if (!floating) {
    const Range range = integer_range(dtype);
    if (fraction || value < range.low || value > range.high) {
      invalid(token.line, "expected a value of ", anet::mil::data_type_name(dtype), ", got '",
              token.text, "'");
    }
  }
  result.numbers.push_back(value);
}

// Nested lists spell the shape; one flat list of all elements is accepted too.
void Parser::list(LiteralText& result, size_t depth, Shape& seen) {
  const int line = lexer_.peek().line;
  lexer_.expect("[");
  if (lexer_.accept("]")) invalid(line, "a list is empty");
  int64_t count = 0;
  const bool nested = lexer_.peek().text == "[";
  do {
    if ((lexer_.peek().text == "[") != nested) invalid(line, "a list mixes lists and values");
    if (nested) {
      list(result, depth + 1, seen);
    } else {
      element(result);
    }
    ++count;
  } while (lexer_.accept(","));
  lexer_.expect("]");
  if (seen.size() <= depth) seen.resize(depth + 1, 0);
  if (seen[depth] == 0) seen[depth] = count;
  if (seen[depth] != count)
    invalid(line, "lists of one level have ", seen[depth], " and ", count, " entries");
}

void Parser::finish(LiteralText& result, const Shape& seen, int line) {
  const bool flat = seen.size() == 1 && seen.front() == result.type.elements();
  if (!flat && seen != result.type.shape) {
    invalid(line, "a list of shape ", anet::mil::shape_to_string(seen), " for a value of type ",
            anet::mil::type_to_string(result.type));
  }
}

} // namespace

ProgramText read_program(std::string_view text) { return Parser(text).program(); }

} // namespace emulator
