// Tokens of MIL text, one at a time: a text of any size is read in constant memory.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace anet::mil {

enum class TokenKind : uint8_t { identifier, number, string, symbol, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text; // as written; of a string, what is between the quotes
  SourceLocation location;
};

class Lexer {
public:
  explicit Lexer(std::string_view text) : text_(text) {}

  // Throws Error(invalid_program) for a character that no token starts with, an open string, or a
  // token that is too long.
  Token next();

private:
  void skip_space();
  void advance(size_t count);
  Token make(TokenKind kind, size_t size);
  Token read_string();
  size_t identifier_size() const;
  size_t number_size() const;

  std::string_view text_;
  size_t position_ = 0;
  SourceLocation location_{1, 1};
};

[[noreturn]] void fail_at(SourceLocation location, const std::string& message);

// The text of a string token with its escapes resolved: \" \\ \n \r \t and \xHH.
std::string unescape(const Token& token);
std::string escape(std::string_view text);

// How an error message shows a token.
std::string describe(const Token& token);

} // namespace anet::mil
