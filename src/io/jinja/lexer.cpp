#include "io/jinja/lexer.h"

#include "base/utf8.h"
#include "io/jinja/characters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace anet::io::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

// Every line end becomes "\n", and one at the very end is dropped.
std::string normalize_lines(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      result += text[i];
      continue;
    }
    result += '\n';
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

class Lexer {
public:
  explicit Lexer(std::string_view text) : source_(normalize_lines(text)), text_(source_) {
    for (size_t i = 0; i < text_.size(); ++i)
      if (text_[i] == '\n') line_begins_.push_back(i + 1);
  }

  std::vector<Token> run();

private:
  // What opens a tag, and the sign behind it ('-', '+' or 0).
  struct Opening {
    size_t begin = 0;
    char kind = 0; // '{', '%' or '#'
    char sign = 0;
  };

  Position position_of(size_t offset) const;
  [[noreturn]] void fail_lexing(size_t offset, std::string_view message) const {
    fail_at(position_of(offset), Status::invalid_config, message);
  }
  void push(Token::Kind kind, size_t offset, std::string text = {}) {
    tokens_.push_back({.kind = kind, .text = std::move(text), .position = position_of(offset)});
  }

  std::optional<Opening> find_opening() const;
  void push_text(size_t end, const Opening& next);
  void skip_comment(const Opening& opening);
  bool lex_raw(const Opening& opening);
  void lex_tag(const Opening& opening);
  bool lex_tag_end(bool is_block, size_t begin);
  void lex_expression_token();
  void lex_number();
  void lex_string();
  void lex_symbol();
  char32_t read_escape(size_t& offset) const;
  char32_t read_hex(size_t& offset, size_t digits) const;
  void skip_spaces();
  void drop_newline() {
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
  }
  bool next_is(std::string_view expected) const {
    return text_.substr(std::min(at_, text_.size())).starts_with(expected);
  }
  bool skip(std::string_view expected) {
    if (!next_is(expected)) return false;
    at_ += expected.size();
    return true;
  }

  std::string source_;
  std::string_view text_;
  std::vector<size_t> line_begins_{0};
  size_t at_ = 0;
  bool line_starting_ = true; // the last thing before at_ was a line end
  std::string brackets_;      // open ones of the current tag: inside, "}}" is no end
  std::vector<Token> tokens_;
};

Position Lexer::position_of(size_t offset) const {
  const auto line = std::upper_bound(line_begins_.begin(), line_begins_.end(), offset) - 1;
  return {.line = static_cast<int32_t>(line - line_begins_.begin()) + 1,
          .column = static_cast<int32_t>(offset - *line) + 1};
}

void Lexer::skip_spaces() {
  while (at_ < text_.size() && is_space(character_at(text_, at_)))
    at_ += character_size(text_[at_]);
}

std::optional<Lexer::Opening> Lexer::find_opening() const {
  for (size_t i = text_.find('{', at_); i != std::string_view::npos; i = text_.find('{', i + 1)) {
    if (i + 1 >= text_.size()) break;
    const char kind = text_[i + 1];
    if (kind != '{' && kind != '%' && kind != '#') continue;
    const char sign = i + 2 < text_.size() ? text_[i + 2] : '\0';
    return Opening{i, kind, sign == '-' || sign == '+' ? sign : '\0'};
  }
  return std::nullopt;
}

// Text up to `end`, where `next` opens: what its sign or lstrip_blocks takes away is left out.
void Lexer::push_text(size_t end, const Opening& next) {
  std::string_view text = text_.substr(at_, end - at_);
  if (next.sign == '-') {
    text = strip_right(text);
  } else if (next.sign != '+' && next.kind != '{') {
    const size_t line = text.rfind('\n') + 1; // npos + 1 is 0
    if ((line > 0 || line_starting_) && strip_right(text.substr(line)).empty())
      text = text.substr(0, line);
  }
  if (!text.empty()) push(Token::Kind::text, at_, std::string(text));
}

void Lexer::skip_comment(const Opening& opening) {
  const size_t end = text_.find("#}", opening.begin + 2);
  if (end == std::string_view::npos) fail_lexing(opening.begin, "expected '#}', seen the end");
  at_ = end + 2;
  const char sign = end > opening.begin + 2 ? text_[end - 1] : '\0';
  if (sign == '-')
    skip_spaces();
  else if (sign != '+')
    drop_newline();
  line_starting_ = text_[at_ - 1] == '\n';
}

// {% raw %} ... {% endraw %}; false if the tag is another one.
bool Lexer::lex_raw(const Opening& opening) {
  const size_t before = at_;
  at_ = opening.begin + (opening.sign != 0 ? 3 : 2);
  skip_spaces();
  bool is_raw = skip("raw");
  if (is_raw) {
    skip_spaces();
    const bool strips = skip("-%}");
    is_raw = strips || skip("%}");
    if (strips) skip_spaces();
  }
  if (!is_raw) {
    at_ = before;
    return false;
  }
  line_starting_ = text_[at_ - 1] == '\n';
  for (size_t i = text_.find("{%", at_); i != std::string_view::npos; i = text_.find("{%", i + 1)) {
    const size_t body = at_;
    at_ = i + 2;
    const char sign = at_ < text_.size() ? text_[at_] : '\0';
    if (sign == '-' || sign == '+') ++at_;
    skip_spaces();
    bool closed = skip("endraw");
    if (closed) skip_spaces();
    const size_t end = at_;
    closed = closed && (skip("%}") || skip("-%}") || skip("+%}"));
    const char end_sign = closed ? text_[end] : '\0';
    const size_t after = at_;
    at_ = body;
    if (!closed) continue;
    push_text(i, {i, '%', sign == '-' || sign == '+' ? sign : '\0'});
    at_ = after;
    if (end_sign == '-')
      skip_spaces();
    else if (end_sign != '+')
      drop_newline();
    line_starting_ = text_[at_ - 1] == '\n';
    return true;
  }
  fail_lexing(opening.begin, "expected '{% endraw %}', seen the end");
}

// The end of a tag, with the white space that it takes away.
bool Lexer::lex_tag_end(bool is_block, size_t begin) {
  const size_t offset = at_;
  const std::string_view end = is_block ? "%}" : "}}";
  bool plus = false;
  if (skip(is_block ? "-%}" : "-}}")) {
    skip_spaces();
  } else {
    plus = is_block && skip("+%}");
    if (!plus && !skip(end)) {
      if (at_ >= text_.size())
        fail_lexing(begin, concat("expected '", end, "', seen the end of the template"));
      return false;
    }
    if (is_block && !plus) drop_newline();
  }
  push(is_block ? Token::Kind::block_end : Token::Kind::variable_end, offset);
  line_starting_ = text_[at_ - 1] == '\n';
  return true;
}

void Lexer::lex_tag(const Opening& opening) {
  const bool is_block = opening.kind == '%';
  push(is_block ? Token::Kind::block_begin : Token::Kind::variable_begin, opening.begin);
  at_ = opening.begin + (opening.sign != 0 ? 3 : 2);
  brackets_.clear();
  for (;;) {
    // White space before the end belongs to the tag.
    skip_spaces();
    if (brackets_.empty() && lex_tag_end(is_block, opening.begin)) return;
    if (at_ >= text_.size())
      fail_lexing(opening.begin, concat("expected '", brackets_.back(), "', seen the end"));
    lex_expression_token();
  }
}

void Lexer::lex_expression_token() {
  const char c = text_[at_];
  if (is_digit(c)) return lex_number();
  if (c == '\'' || c == '"') return lex_string();
  if (!is_name_start(c)) return lex_symbol();
  const size_t begin = at_;
  while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
  push(Token::Kind::name, begin, std::string(text_.substr(begin, at_ - begin)));
}

void Lexer::lex_number() {
  const size_t begin = at_;
  const auto digits = [&](auto accepts) {
    std::string text;
    while (at_ < text_.size() &&
           (accepts(text_[at_]) || (text_[at_] == '_' && at_ + 1 < text_.size() &&
                                    accepts(text_[at_ + 1]) && !text.empty()))) {
      if (text_[at_] != '_') text += text_[at_];
      ++at_;
    }
    return text;
  };
  int base = 10;
  if (text_[begin] == '0' && begin + 1 < text_.size()) {
    const char prefix = static_cast<char>(text_[begin + 1] | 0x20);
    base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    if (base != 10) at_ += 2;
  }
  const auto is_hex = [](char c) {
    return is_digit(c) ||
           (static_cast<char>(c | 0x20) >= 'a' && static_cast<char>(c | 0x20) <= 'f');
  };
  std::string text = base == 16 ? digits(is_hex) : digits(is_digit);
  bool floating = false;
  // The digits of `x.0.1` are two integers.
  const bool after_dot = begin > 0 && text_[begin - 1] == '.';
  if (base == 10 && !after_dot) {
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit(text_[at_ + 1])) {
      ++at_;
      text += '.' + digits(is_digit);
      floating = true;
    }
    const size_t mark = at_;
    if (at_ < text_.size() && static_cast<char>(text_[at_] | 0x20) == 'e') {
      ++at_;
      std::string exponent = "e";
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) exponent += text_[at_++];
      const std::string power = digits(is_digit);
      if (power.empty())
        at_ = mark;
      else
        text += exponent + power;
      floating = floating || !power.empty();
    }
  }
  push(floating ? Token::Kind::floating : Token::Kind::integer, begin, text);
  Token& token = tokens_.back();
  const char* end = text.data() + text.size();
  if (floating) {
    token.floating = parse_double(text).value_or(0);
    return;
  }
  if (base == 10 && text.size() > 1 && text[0] == '0' &&
      text.find_first_not_of('0') != std::string::npos)
    fail_lexing(begin, concat("expected a number without leading zeros, seen ", text));
  const auto result = std::from_chars(text.data(), end, token.integer, base);
  if (result.ec != std::errc() || result.ptr != end)
    fail_lexing(begin,
                concat("expected a 64-bit integer, seen ", text_.substr(begin, at_ - begin)));
}

char32_t Lexer::read_hex(size_t& offset, size_t digits) const {
  const std::string_view text = text_.substr(offset, digits);
  uint32_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != digits || result.ptr != text.data() + digits || value > 0x10FFFF ||
      (value >= 0xD800 && value < 0xE000))
    fail_lexing(offset, concat("expected ", digits, " hexadecimal digits of a character, seen '",
                               text, "'"));
  offset += digits;
  return value;
}

// `offset` is behind a backslash whose meaning is not itself.
char32_t Lexer::read_escape(size_t& offset) const {
  const char c = text_[offset++];
  switch (c) {
  case 'n':
    return '\n';
  case 't':
    return '\t';
  case 'r':
    return '\r';
  case 'a':
    return '\a';
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'v':
    return '\v';
  case 'x':
    return read_hex(offset, 2);
  case 'u':
    return read_hex(offset, 4);
  case 'U':
    return read_hex(offset, 8);
  default:
    break;
  }
  char32_t value = static_cast<char32_t>(c - '0'); // up to three octal digits
  for (int i = 0; i < 2 && offset < text_.size() && text_[offset] >= '0' && text_[offset] <= '7';
       ++i)
    value = value * 8 + static_cast<char32_t>(text_[offset++] - '0');
  return value;
}

void Lexer::lex_string() {
  const size_t begin = at_;
  const char quote = text_[at_++];
  std::string value;
  for (;;) {
    if (at_ >= text_.size()) fail_lexing(begin, concat("expected ", quote, ", seen the end"));
    const char c = text_[at_++];
    if (c == quote) break;
    if (c != '\\') {
      value += c;
      continue;
    }
    if (at_ >= text_.size()) fail_lexing(begin, concat("expected ", quote, ", seen the end"));
    const char next = text_[at_];
    if (next == '\\' || next == '\'' || next == '"') {
      value += next;
      ++at_;
    } else if (next == '\n') {
      ++at_; // the line goes on
    } else if (next == 'N') {
      fail_at(position_of(at_ - 1), Status::unsupported,
              "characters by name (\\N) are not offered");
    } else if (std::string_view("ntrabfvxuU01234567").find(next) != std::string_view::npos) {
      append_character(value, read_escape(at_));
    } else {
      value += '\\';
    }
  }
  push(Token::Kind::string, begin, std::move(value));
}

void Lexer::lex_symbol() {
  constexpr std::array<std::string_view, 26> symbols = {
      "**", "//", "==", "!=", "<=", ">=", "+", "-", "/", "*", "%", "~", "[",
      "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"};
  const auto found = std::find_if(symbols.begin(), symbols.end(),
                                  [&](std::string_view symbol) { return next_is(symbol); });
  if (found == symbols.end())
    fail_lexing(at_, concat("expected an expression, seen '",
                            text_.substr(at_, character_size(text_[at_])), "'"));
  const char c = (*found)[0];
  if (found->size() == 1 && std::string_view("([{").find(c) != std::string_view::npos) {
    brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
  } else if (found->size() == 1 && std::string_view(")]}").find(c) != std::string_view::npos) {
    if (brackets_.empty() || brackets_.back() != c)
      fail_lexing(at_, brackets_.empty()
                           ? concat("seen '", c, "' without its opening bracket")
                           : concat("expected '", brackets_.back(), "', seen '", c, "'"));
    brackets_.pop_back();
  }
  push(Token::Kind::symbol, at_, std::string(*found));
  at_ += found->size();
}

std::vector<Token> Lexer::run() {
  while (at_ < text_.size()) {
    const std::optional<Opening> opening = find_opening();
    if (!opening) {
      push(Token::Kind::text, at_, std::string(text_.substr(at_)));
      break;
    }
    push_text(opening->begin, *opening);
    at_ = opening->begin;
    if (opening->kind == '#')
      skip_comment(*opening);
    else if (opening->kind != '%' || !lex_raw(*opening))
      lex_tag(*opening);
  }
  push(Token::Kind::end, text_.size());
  return std::move(tokens_);
}

} // namespace

void fail_at(Position position, Status status, std::string_view message) {
  throw Error(status,
              concat("template line ", position.line, ", column ", position.column, ": ", message),
              ErrorDetail{.domain = "jinja", .line = position.line, .column = position.column});
}

std::vector<Token> tokenize(std::string_view text) {
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    fail(Status::invalid_config, "expected a template in UTF-8, seen an invalid byte at offset ",
         bad);
  return Lexer(text).run();
}

} // namespace anet::io::jinja
