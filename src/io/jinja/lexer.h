// Template text to tokens, with Jinja's rules for white space around tags.
#pragma once

#include "base/status.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io::jinja {

// Counted from 1; columns in bytes.
struct Position {
  int32_t line = 1;
  int32_t column = 1;
};

[[noreturn]] void fail_at(Position position, Status status, std::string_view message);

struct Token {
  enum class Kind {
    text, // output as it is
    block_begin,
    block_end,
    variable_begin,
    variable_end,
    name,
    string, // `text` is its value, escapes resolved
    integer,
    floating,
    symbol, // operators and brackets; `text` is the spelling
    end,
  };
  Kind kind = Kind::end;
  std::string text;
  Position position;
  int64_t integer = 0;
  double floating = 0;

  bool is_symbol(std::string_view spelling) const {
    return kind == Kind::symbol && text == spelling;
  }
  bool is_name(std::string_view name) const { return kind == Kind::name && text == name; }
};

// The last token is `end`. Throws invalid_config with line and column.
std::vector<Token> tokenize(std::string_view text);

} // namespace anet::io::jinja
