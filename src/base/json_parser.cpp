// Reading JSON text. cJSON has the grammar, the escapes and the tree; it is lenient about tokens
// and keeps numbers as doubles read in the user's locale. So a scan goes first, which checks every
// token and notes where numbers and keys stand, and cJSON gets a copy in which each number is 0.
#include "base/json.h"

#include "base/utf8.h"

#include <algorithm>
#include <charconv>
#include <cjson/cJSON.h>
#include <cmath>
#include <locale.h>
#include <memory>
#include <stdlib.h>
#include <unordered_set>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

namespace anet {
namespace {

struct CJsonDeleter {
  void operator()(cJSON* value) const { cJSON_Delete(value); }
};

class JsonParser {
public:
  JsonParser(std::string_view text, std::string_view source, Status status, JsonLimits limits)
      : text_(text), source_(source), status_(status), limits_(limits) {}

  Json parse();

private:
  [[noreturn]] void fail_at(size_t offset, std::string_view message) const;
  void scan();
  size_t scan_string(size_t begin) const; // offset behind the closing quote
  size_t scan_number(size_t begin);
  Json convert(const cJSON& node);
  Json convert_object(const cJSON& node);
  Json convert_number();

  struct Token {
    size_t begin;
    size_t size;
  };

  std::string_view text_;
  std::string_view source_;
  Status status_;
  JsonLimits limits_;
  std::string masked_;         // the text with 0 for numbers
  std::vector<Token> numbers_; // in order of the text, which is the order of convert()
  std::vector<size_t> keys_;   // offsets of their opening quotes, in the same order
  size_t next_number_ = 0;
  size_t next_key_ = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void JsonParser::fail_at(size_t offset, std::string_view message) const {
  const std::string_view before = text_.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_begin = before.rfind('\n') + 1; // npos + 1 is 0
  const size_t column = 1 + offset - line_begin;
  throw Error(status_, concat(source_, " line ", line, ", column ", column, ": ", message),
              ErrorDetail{.domain = "json",
                          .line = static_cast<int32_t>(line),
                          .column = static_cast<int32_t>(column)});
}

void JsonParser::scan() {
  int depth = 0;
  size_t offset = 0;
  while (offset < text_.size()) {
    const char c = text_[offset];
    if (c == '"') {
      const size_t begin = offset;
      offset = scan_string(begin);
      size_t next = offset;
      while (next < text_.size() && is_space(text_[next])) ++next;
      if (next < text_.size() && text_[next] == ':') keys_.push_back(begin);
    } else if (c == '-' || is_digit(c)) {
      offset = scan_number(offset);
    } else {
      if (c == '[' || c == '{') {
        if (++depth > limits_.max_depth)
          fail_at(offset, concat("nested deeper than ", limits_.max_depth, " levels"));
      } else if (c == ']' || c == '}') {
        --depth;
      } else if (!is_space(c) && c != ',' && c != ':' && !(c >= 'a' && c <= 'z')) {
        fail_at(offset, "unexpected character");
      }
      ++offset;
    }
  }
}

size_t JsonParser::scan_string(size_t begin) const {
  size_t i = begin + 1;
  while (i < text_.size() && text_[i] != '"') {
    if (static_cast<unsigned char>(text_[i]) < 0x20)
      fail_at(i, "control character in a string, expected an escape");
    if (text_[i] == '\\') {
      // Values are C strings inside cJSON, which would cut them here.
      if (text_.substr(i + 1, 5) == "u0000") fail_at(i, "NUL in a string");
      ++i;
    }
    ++i;
  }
  if (i >= text_.size()) fail_at(begin, "string without its closing quote");
  return i + 1;
}

// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
size_t JsonParser::scan_number(size_t begin) {
  size_t i = begin;
  const auto peek = [&] { return i < text_.size() ? text_[i] : '\0'; };
  const auto digits = [&] {
    if (!is_digit(peek())) fail_at(i, "expected a digit");
    while (is_digit(peek())) ++i;
  };
  if (peek() == '-') ++i;
  const size_t integer = i;
  digits();
  if (text_[integer] == '0' && i > integer + 1) fail_at(integer, "number with a leading zero");
  if (peek() == '.') {
    ++i;
    digits();
  }
  if (peek() == 'e' || peek() == 'E') {
    ++i;
    if (peek() == '+' || peek() == '-') ++i;
    digits();
  }
  // Two numbers without a gap would be one to cJSON.
  if (peek() == '-' || is_digit(peek())) fail_at(i, "unexpected character");
  numbers_.push_back({begin, i - begin});
  return i;
}

Json JsonParser::convert_number() {
  const Token token = numbers_[next_number_++];
  const std::string digits(text_.substr(token.begin, token.size));
  const char* end = digits.data() + digits.size();
  if (digits.find_first_of(".eE") == std::string::npos && digits != "-0") {
    int64_t integer = 0;
    if (std::from_chars(digits.data(), end, integer).ec == std::errc()) return Json(integer);
    uint64_t positive = 0;
    if (std::from_chars(digits.data(), end, positive).ec == std::errc()) return Json(positive);
  }
  static const locale_t c_locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
  const double value = ::strtod_l(digits.c_str(), nullptr, c_locale);
  if (std::isinf(value)) fail_at(token.begin, "number beyond the range of a double");
  return Json(value);
}

Json JsonParser::convert_object(const cJSON& node) {
  Json::Object members;
  std::unordered_set<std::string_view> seen; // of names in the cJSON tree
  for (const cJSON* child = node.child; child != nullptr; child = child->next) {
    const size_t key_offset = keys_[next_key_++];
    if (!seen.insert(child->string).second)
      fail_at(key_offset, concat("duplicate key '", child->string, "'"));
    std::string key = child->string;
    members.push_back({std::move(key), convert(*child)});
  }
  return Json(std::move(members));
}

Json JsonParser::convert(const cJSON& node) {
  if (cJSON_IsNull(&node)) return Json();
  if (cJSON_IsBool(&node)) return Json(cJSON_IsTrue(&node) != 0);
  if (cJSON_IsNumber(&node)) return convert_number();
  if (cJSON_IsString(&node)) return Json(std::string(node.valuestring));
  if (cJSON_IsObject(&node)) return convert_object(node);
  Json::Array values;
  for (const cJSON* child = node.child; child != nullptr; child = child->next)
    values.push_back(convert(*child));
  return Json(std::move(values));
}

Json JsonParser::parse() {
  if (text_.size() > limits_.max_size)
    fail(status_, source_, ": expected at most ", limits_.max_size, " bytes, seen ", text_.size());
  if (const size_t bad = find_invalid_utf8(text_); bad != std::string_view::npos)
    fail_at(bad, "invalid UTF-8");
  scan();
  masked_ = text_;
  for (const Token& number : numbers_) {
    masked_[number.begin] = '0';
    std::fill_n(masked_.begin() + static_cast<std::ptrdiff_t>(number.begin) + 1, number.size - 1,
                ' ');
  }
  const char* end = nullptr;
  const std::unique_ptr<cJSON, CJsonDeleter> root(
      cJSON_ParseWithLengthOpts(masked_.data(), masked_.size(), &end, 0));
  size_t offset = end == nullptr ? 0 : static_cast<size_t>(end - masked_.data());
  if (root)
    while (offset < text_.size() && is_space(masked_[offset])) ++offset;
  const bool whole = root != nullptr && offset == text_.size();
  if (!whole) fail_at(offset, root ? "text after the value" : "not valid JSON");
  return convert(*root);
}

} // namespace

Json Json::parse(std::string_view text, std::string_view source, Status status, JsonLimits limits) {
  return JsonParser(text, source, status, limits).parse();
}

} // namespace anet
