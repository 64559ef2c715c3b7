#include "mil/literal_parser.h"

#include "base/status.h"
#include "mil/blob.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace anet::mil {

namespace {

constexpr size_t max_attributes = 64;
constexpr size_t max_entries = 4096;

// A whole decimal or hexadecimal integer, else nullopt.
struct Magnitude {
  bool negative = false;
  uint64_t value = 0;
};

std::optional<Magnitude> read_integer(std::string_view text) {
  Magnitude result;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    result.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const bool hex = text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  if (hex) text.remove_prefix(2);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, result.value, hex ? 16 : 10);
  if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
  return result;
}

// Decimal, exponent and hex floats, inf; nullopt for anything else or a value beyond double.
std::optional<double> read_floating(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.empty() || text[0] == '-') return std::nullopt;
  const bool hex = text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  if (hex) text.remove_prefix(2);
  const char* const end = text.data() + text.size();
  double value = 0;
  const auto [stop, error] = std::from_chars(
      text.data(), end, value, hex ? std::chars_format::hex : std::chars_format::general);
  if (error != std::errc() || stop != end) return std::nullopt;
  return negative ? -value : value;
}

// The bits of an integer of `bits` width, or nullopt when it does not fit.
std::optional<uint64_t> fit_integer(Magnitude number, DataType dtype) {
  const int bits = data_type_bits(dtype);
  const bool is_unsigned = dtype >= DataType::uint1;
  const uint64_t all =
      bits == 64 ? std::numeric_limits<uint64_t>::max() : (uint64_t{1} << bits) - 1;
  if (number.value == 0) return 0;
  if (is_unsigned) {
    if (number.negative || number.value > all) return std::nullopt;
    return number.value;
  }
  const uint64_t limit = (all >> 1) + (number.negative ? 1 : 0);
  if (number.value > limit) return std::nullopt;
  return (number.negative ? ~number.value + 1 : number.value) & all;
}

} // namespace

Token LiteralParser::take() {
  const Token taken = token_;
  token_ = after_;
  after_ = lexer_.next();
  return taken;
}

void LiteralParser::fail_expected(std::string_view what) const {
  fail_at(token_.location, concat("expected ", what, ", got ", describe(token_)));
}

bool LiteralParser::accept(std::string_view symbol) {
  if (token_.kind != TokenKind::symbol || token_.text != symbol) return false;
  take();
  return true;
}

void LiteralParser::expect(std::string_view symbol) {
  if (!accept(symbol)) fail_expected(concat("'", symbol, "'"));
}

void LiteralParser::expect_word(std::string_view word) {
  if (token_.kind != TokenKind::identifier || token_.text != word) {
    fail_expected(concat("'", word, "'"));
  }
  take();
}

std::string LiteralParser::expect_identifier(std::string_view what) {
  if (token_.kind != TokenKind::identifier) fail_expected(what);
  return std::string(take().text);
}

void LiteralParser::expect_end() {
  if (token_.kind != TokenKind::end) fail_expected("the end of the text");
}

std::string LiteralParser::version() {
  const bool valid = token_.kind == TokenKind::number && token_.text.size() <= 16 &&
                     token_.text.find_first_not_of("0123456789.") == std::string_view::npos;
  if (!valid) fail_expected("a version like 1.3");
  return std::string(take().text);
}

DataType LiteralParser::data_type() {
  const std::optional<DataType> dtype =
      token_.kind == TokenKind::identifier ? data_type_from_name(token_.text) : std::nullopt;
  if (!dtype) fail_expected("an element type");
  take();
  return *dtype;
}

DataType LiteralParser::scalar_type() {
  const SourceLocation location = token_.location;
  const Type scalar = type();
  if (!scalar.is_scalar() || scalar.buffer) {
    fail_at(location, "expected a scalar type, got " + type_to_string(scalar));
  }
  return scalar.dtype;
}

int64_t LiteralParser::integer(std::string_view what, int64_t low, int64_t high) {
  if (token_.kind != TokenKind::number) fail_expected(what);
  const std::optional<Magnitude> number = read_integer(token_.text);
  const std::optional<uint64_t> bits =
      number ? fit_integer(*number, DataType::int64) : std::nullopt;
  const auto value = static_cast<int64_t>(bits.value_or(0));
  if (!bits || value < low || value > high) {
    fail_expected(concat(what, " from ", low, " to ", high));
  }
  take();
  return value;
}

std::vector<int64_t> LiteralParser::integer_list(std::string_view what, int64_t low, int64_t high) {
  std::vector<int64_t> values;
  expect("[");
  list("]", [&] {
    if (values.size() == max_rank) fail_expected(concat("at most ", max_rank, " axes"));
    values.push_back(integer(what, low, high));
  });
  return values;
}

std::vector<int64_t> LiteralParser::named_list(std::string_view name, int64_t low, int64_t high) {
  expect(",");
  expect_word(name);
  expect("=");
  return integer_list(concat("an element of ", name), low, high);
}

void LiteralParser::type_end(const Type& type, SourceLocation location) {
  expect(">");
  try {
    check_type(type);
  } catch (const Error& error) {
    fail_at(location, error.message());
  }
}

Type LiteralParser::type() {
  const SourceLocation location = token_.location;
  const bool is_tensor = token_.kind == TokenKind::identifier && token_.text == "tensor";
  const bool is_buffer = token_.kind == TokenKind::identifier && token_.text == "tensor_buffer";
  Type type;
  if (!is_tensor && !is_buffer) {
    if (token_.kind != TokenKind::identifier || !data_type_from_name(token_.text)) {
      fail_expected("a type");
    }
    type.dtype = data_type();
    return type;
  }
  take();
  expect("<");
  type.dtype = data_type();
  if (is_tensor) {
    expect(",");
    type.shape = integer_list("an extent", 1, max_extent);
  } else {
    type.shape = named_list("shape", 1, max_extent);
    BufferLayout layout;
    layout.strides = named_list("strides", 1, max_elements);
    layout.interleave_factors = named_list("interleave_factors", 1, 255);
    type.buffer = std::move(layout);
  }
  type_end(type, location);
  return type;
}

bool LiteralParser::at_literal() const {
  return token_.kind == TokenKind::identifier && after_.kind == TokenKind::symbol &&
         (after_.text == "(" || after_.text == "<");
}

Literal LiteralParser::value() {
  if (token_.kind == TokenKind::identifier && token_.text == "dict") return dictionary();
  if (!at_literal()) fail_expected("a value like int32(1)");
  const SourceLocation location = token_.location;
  const Type literal_type = type();
  if (literal_type.buffer) {
    fail_at(location, "expected a tensor type, got " + type_to_string(literal_type));
  }
  expect("(");
  const bool in_file = token_.kind == TokenKind::identifier && token_.text == "BLOBFILE";
  Literal literal = in_file ? blob(literal_type, location) : elements(literal_type);
  expect(")");
  return literal;
}

std::vector<Attribute> LiteralParser::attributes() {
  std::vector<Attribute> attributes;
  if (!accept("[")) return attributes;
  list("]", [&] {
    if (attributes.size() == max_attributes) {
      fail_expected(concat("at most ", max_attributes, " attributes"));
    }
    const Token token = token_;
    std::string name = expect_identifier("an attribute name");
    for (const Attribute& other : attributes) {
      if (other.name == name) {
        fail_at(token.location, "expected attribute " + name + " once, got it twice");
      }
    }
    expect("=");
    Literal literal = value();
    attributes.push_back({std::move(name), std::move(literal)});
  });
  return attributes;
}

// dict<string, string>({{"key", "value"}, ...})
Literal LiteralParser::dictionary() {
  take();
  expect("<");
  for (const char* close : {",", ">"}) {
    const SourceLocation location = token_.location;
    if (scalar_type() != DataType::string) {
      fail_at(location, "expected dict<string, string>, got another type");
    }
    expect(close);
  }
  expect("(");
  expect("{");
  std::vector<std::pair<std::string, std::string>> entries;
  list("}", [&] {
    if (entries.size() == max_entries) {
      fail_expected(concat("at most ", max_entries, " dictionary entries"));
    }
    expect("{");
    std::string key = dictionary_text();
    expect(",");
    std::string text = dictionary_text();
    expect("}");
    entries.emplace_back(std::move(key), std::move(text));
  });
  expect(")");
  return Literal::dictionary(std::move(entries));
}

std::string LiteralParser::dictionary_text() {
  if (token_.kind != TokenKind::string) fail_expected("a string");
  return unescape(take());
}

// `name = string("...")`, as BLOBFILE's operands are written.
Literal LiteralParser::scalar_argument(std::string_view name, DataType dtype) {
  expect_word(name);
  expect("=");
  const SourceLocation location = token_.location;
  Literal literal = value();
  if (!literal.type.is_scalar() || literal.type.dtype != dtype || literal.is_dictionary() ||
      literal.blob) {
    fail_at(location, concat("expected ", data_type_name(dtype), " for ", name, ", got ",
                             type_to_string(literal.type)));
  }
  return literal;
}

Literal LiteralParser::blob(const Type& type, SourceLocation location) {
  // Operands are literals of their own; a BLOBFILE inside a BLOBFILE would nest without end.
  if (type.dtype == DataType::string) fail_expected("a string");
  if (type.dtype == DataType::uint64) fail_expected("a uint64");
  take();
  expect("(");
  const std::string path = scalar_argument("path", DataType::string).string();
  expect(",");
  const uint64_t offset = scalar_argument("offset", DataType::uint64).bits(0);
  expect(")");
  const auto file = blobs_.find(path);
  try {
    if (file == blobs_.end()) {
      fail(Status::invalid_blob, "expected blob file '", escape(path), "' to be given, got none");
    }
    return read_blob(file->second, {path, offset}, type);
  } catch (const Error& error) {
    ErrorDetail detail = error.detail();
    detail.line = location.line;
    detail.column = location.column;
    throw Error(error.status(), error.message(), detail);
  }
}

Literal LiteralParser::elements(const Type& type) {
  Literal strings;
  std::vector<uint64_t> bits;
  if (type.is_scalar()) {
    element(type, strings, bits);
  } else {
    element_list(type, 1, strings, bits);
  }
  if (type.dtype != DataType::string) return Literal::from_bits(type, bits);
  strings.type = type;
  return strings;
}

// One flat list of every element, or lists nested like the shape.
void LiteralParser::element_list(const Type& type, size_t depth, Literal& strings,
                                 std::vector<uint64_t>& bits) {
  const SourceLocation location = token_.location;
  const auto at_list = [&] { return token_.kind == TokenKind::symbol && token_.text == "["; };
  const size_t rank = type.shape.size();
  int64_t count = 0;
  expect("[");
  const bool nested = at_list();
  if (nested && depth == rank) fail_expected(concat("lists nested at most ", rank, " deep"));
  if (!nested && depth > 1 && depth < rank) fail_expected("'['");
  list("]", [&] {
    if (nested != at_list()) fail_expected(nested ? "'['" : "an element");
    if (nested) {
      element_list(type, depth + 1, strings, bits);
    } else {
      element(type, strings, bits);
    }
    ++count;
  });
  const bool flat = !nested && depth == 1;
  const int64_t expected = flat ? type.elements() : type.shape[depth - 1];
  if (count != expected) {
    fail_at(location, concat("expected ", expected, " entries in this list of ",
                             type_to_string(type), ", got ", count));
  }
}

void LiteralParser::element(const Type& type, Literal& strings, std::vector<uint64_t>& bits) {
  if (type.dtype == DataType::string) {
    if (token_.kind != TokenKind::string) fail_expected("a string");
    strings.strings.push_back(unescape(take()));
  } else if (type.dtype == DataType::boolean) {
    const bool truth = token_.kind == TokenKind::identifier && token_.text == "true";
    const bool falsehood = token_.kind == TokenKind::identifier && token_.text == "false";
    if (!truth && !falsehood) fail_expected("true or false");
    take();
    bits.push_back(truth ? 1 : 0);
  } else {
    bits.push_back(number(type.dtype));
  }
}

uint64_t LiteralParser::number(DataType dtype) {
  const char* const name = data_type_name(dtype);
  const bool word = token_.kind == TokenKind::identifier;
  if (is_floating(dtype) && word && token_.text == "nan") return nan(dtype);
  if (token_.kind != TokenKind::number && !(word && is_floating(dtype))) {
    fail_expected(concat("a number of type ", name));
  }
  if (!is_floating(dtype)) {
    const std::optional<Magnitude> number = read_integer(token_.text);
    const std::optional<uint64_t> bits = number ? fit_integer(*number, dtype) : std::nullopt;
    if (!bits) fail_expected(concat("an integer that fits ", name));
    take();
    return *bits;
  }
  const std::optional<double> value = read_floating(token_.text);
  if (!value || std::isnan(*value)) fail_expected(concat("a number of type ", name));
  take();
  return encode_number(dtype, *value);
}

// nan, or nan(0x7e01) for other bits than the usual ones.
uint64_t LiteralParser::nan(DataType dtype) {
  take();
  if (!accept("(")) return encode_number(dtype, std::numeric_limits<double>::quiet_NaN());
  const std::optional<Magnitude> bits =
      token_.kind == TokenKind::number ? read_integer(token_.text) : std::nullopt;
  const bool fits = bits && !bits->negative && (bits->value >> data_type_bits(dtype)) == 0;
  if (!fits || !std::isnan(Literal::from_bits({dtype, {}, {}}, {&bits->value, 1}).number())) {
    fail_expected(concat("the bits of a nan of type ", data_type_name(dtype)));
  }
  take();
  expect(")");
  return bits->value;
}

} // namespace anet::mil
