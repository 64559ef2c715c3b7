#include "lexer.h"

#include "refusal.h"

#include <cctype>

namespace emulator {

namespace {

bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool continues_name(char c) {
  return starts_name(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
}

} // namespace

Lexer::Lexer(std::string_view text) : text_(text) { advance(); }

Token Lexer::next() {
  Token token = token_;
  advance();
  return token;
}

void Lexer::expect(std::string_view symbol) {
  if (!accept(symbol)) {
    invalid(token_.line, "expected '", symbol, "', got '", token_.text, "'");
  }
}

bool Lexer::accept(std::string_view symbol) {
  if (token_.kind != TokenKind::symbol || token_.text != symbol) return false;
  advance();
  return true;
}

std::string Lexer::identifier(const char* what) {
  if (token_.kind != TokenKind::identifier) {
    invalid(token_.line, "expected ", what, ", got '", token_.text, "'");
  }
  return next().text;
}

void Lexer::keyword(const char* word) {
  if (token_.kind != TokenKind::identifier || token_.text != word) {
    invalid(token_.line, "expected '", word, "', got '", token_.text, "'");
  }
  advance();
}

void Lexer::advance() {
  while (position_ < text_.size() &&
         std::isspace(static_cast<unsigned char>(text_[position_])) != 0) {
    if (text_[position_] == '\n') ++line_;
    ++position_;
  }
  token_ = {.line = line_};
  if (position_ == text_.size()) return;
  const char c = text_[position_];
  const char following = position_ + 1 < text_.size() ? text_[position_ + 1] : '\0';
  if (starts_name(c)) {
    const size_t start = position_;
    while (position_ < text_.size() && continues_name(text_[position_])) ++position_;
    token_.kind = TokenKind::identifier;
    token_.text = text_.substr(start, position_ - start);
  } else if (c == '"') {
    read_string();
  } else if (c == '-' && following == '>') {
    token_.kind = TokenKind::symbol;
    token_.text = "->";
    position_ += 2;
  } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.') {
    read_number();
  } else {
    token_.kind = TokenKind::symbol;
    token_.text = c;
    ++position_;
  }
}

void Lexer::read_string() {
  token_.kind = TokenKind::string;
  for (++position_; position_ < text_.size(); ++position_) {
    const char c = text_[position_];
    if (c == '"') {
      ++position_;
      return;
    }
    if (c == '\n') break;
    if (c == '\\' && position_ + 1 < text_.size()) ++position_;
    token_.text += text_[position_];
  }
  invalid(line_, "a string does not end on its line");
}

void Lexer::read_number() {
  const size_t start = position_;
  if (text_[position_] == '-' || text_[position_] == '+') ++position_;
  while (position_ < text_.size()) {
    const char c = text_[position_];
    const char before = text_[position_ - 1];
    const bool exponent_sign = (c == '-' || c == '+') && position_ > start &&
                               (before == 'e' || before == 'E' || before == 'p' || before == 'P');
    if (!exponent_sign && c != '.' && std::isalnum(static_cast<unsigned char>(c)) == 0) break;
    ++position_;
  }
  token_.kind = TokenKind::number;
  token_.text = text_.substr(start, position_ - start);
}

} // namespace emulator
