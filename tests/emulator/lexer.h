// Tokens of MIL text.
#pragma once

#include <string>
#include <string_view>

namespace emulator {

enum class TokenKind { end, identifier, number, string, symbol };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text = {}; // of a string: its contents
  int line = 1;
};

class Lexer {
public:
  explicit Lexer(std::string_view text);

  const Token& peek() const { return token_; }
  Token next();
  // The next token must be this symbol.
  void expect(std::string_view symbol);
  // Takes the next token when it is this symbol.
  bool accept(std::string_view symbol);
  std::string identifier(const char* what);
  void keyword(const char* word);

private:
  void advance();
  void read_string();
  void read_number();

  std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  Token token_;
};

} // namespace emulator
