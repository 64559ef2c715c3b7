#include "mil/lexer.h"

#include "base/status.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace anet::mil {

namespace {

constexpr size_t max_number = 512;
constexpr size_t max_string = size_t{1} << 20;
constexpr size_t shown = 40; // bytes of a token that an error message quotes

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }

} // namespace

void fail_at(SourceLocation location, const std::string& message) {
  throw Error(
      Status::invalid_program, message,
      ErrorDetail{.domain = {}, .code = 0, .line = location.line, .column = location.column});
}

void Lexer::advance(size_t count) {
  for (const char c : text_.substr(position_, count)) {
    if (c == '\n') {
      ++location_.line;
      location_.column = 1;
    } else if (location_.column < std::numeric_limits<int32_t>::max()) {
      ++location_.column;
    }
  }
  position_ += count;
}

void Lexer::skip_space() {
  size_t end = position_;
  while (end < text_.size() && is_space(text_[end])) ++end;
  advance(end - position_);
}

Token Lexer::make(TokenKind kind, size_t size) {
  Token token{kind, text_.substr(position_, size), location_};
  advance(size);
  return token;
}

Token Lexer::next() {
  skip_space();
  if (position_ == text_.size()) return make(TokenKind::end, 0);
  const char c = text_[position_];
  if (c == '"') return read_string();
  if (is_letter(c)) {
    const size_t size = identifier_size();
    if (size > max_identifier) {
      fail_at(location_, concat("expected an identifier of at most ", max_identifier,
                                " characters, got ", size));
    }
    return make(TokenKind::identifier, size);
  }
  const bool arrow = text_.substr(position_, 2) == "->";
  if (arrow) return make(TokenKind::symbol, 2);
  if (is_digit(c) || c == '-' || c == '+' || c == '.') {
    const size_t size = number_size();
    if (size > max_number) {
      fail_at(location_,
              concat("expected a number of at most ", max_number, " characters, got ", size));
    }
    return make(TokenKind::number, size);
  }
  if (std::string_view("()[]{}<>,;=").find(c) == std::string_view::npos) {
    fail_at(location_, concat("expected MIL text, got character '", escape({&c, 1}), "'"));
  }
  return make(TokenKind::symbol, 1);
}

size_t Lexer::identifier_size() const {
  size_t end = position_;
  while (end < text_.size() && (is_letter(text_[end]) || is_digit(text_[end]))) ++end;
  return end - position_;
}

// Everything that may belong to a number; the parser decides whether it is one. A sign belongs to
// it at its start and after an exponent letter.
size_t Lexer::number_size() const {
  size_t end = position_ + 1;
  const bool hex = text_.substr(position_, 3).find_first_of("xX") != std::string_view::npos;
  while (end < text_.size()) {
    const char c = text_[end];
    const char before = text_[end - 1];
    const bool exponent =
        before == 'p' || before == 'P' || (!hex && (before == 'e' || before == 'E'));
    const bool sign = (c == '-' || c == '+') && exponent;
    if (!is_digit(c) && !is_letter(c) && c != '.' && !sign) break;
    ++end;
  }
  return end - position_;
}

Token Lexer::read_string() {
  const SourceLocation start = location_;
  size_t end = position_ + 1;
  while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
  if (end >= text_.size()) fail_at(start, "expected a closing quote, got the end of the text");
  const std::string_view content = text_.substr(position_ + 1, end - position_ - 1);
  if (content.size() > max_string) {
    fail_at(start,
            concat("expected a string of at most ", max_string, " bytes, got ", content.size()));
  }
  advance(content.size() + 2);
  return {TokenKind::string, content, start};
}

std::string unescape(const Token& token) {
  std::string result;
  const std::string_view text = token.text;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      result += text[i];
      continue;
    }
    const char c = text[++i]; // the lexer ends no string on a backslash
    switch (c) {
    case '"':
    case '\\':
      result += c;
      break;
    case 'n':
      result += '\n';
      break;
    case 'r':
      result += '\r';
      break;
    case 't':
      result += '\t';
      break;
    case 'x': {
      const std::string_view digits = text.substr(i + 1, 2);
      unsigned value = 0;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      if (error != std::errc() || digits.size() != 2 || end != digits.data() + 2) {
        fail_at(token.location, "expected two hexadecimal digits after \\x in a string");
      }
      result += static_cast<char>(value);
      i += 2;
      break;
    }
    default:
      fail_at(token.location, concat("expected escape \\\", \\\\, \\n, \\r, \\t or \\xHH, got '\\",
                                     escape({&c, 1}), "'"));
    }
  }
  return result;
}

std::string escape(std::string_view text) {
  static constexpr std::string_view hex = "0123456789abcdef";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\r') {
      result += "\\r";
    } else if (c == '\t') {
      result += "\\t";
    } else if (is_printable(c) || byte >= 0x80) {
      result += c; // UTF-8 passes through
    } else {
      result += "\\x";
      result += hex[byte >> 4];
      result += hex[byte & 15];
    }
  }
  return result;
}

std::string describe(const Token& token) {
  if (token.kind == TokenKind::end) return "the end of the text";
  const std::string quoted =
      "'" + escape(token.text.substr(0, shown)) + (token.text.size() > shown ? "...'" : "'");
  return token.kind == TokenKind::string ? "string " + quoted : quoted;
}

} // namespace anet::mil
