// The part of the parser below statements: token matching, types, literals, attribute lists.
#pragma once

#include "mil/lexer.h"
#include "mil/program.h"

#include <string>
#include <string_view>
#include <vector>

namespace anet::mil {

class LiteralParser {
public:
  LiteralParser(std::string_view text, const BlobFiles& blobs)
      : lexer_(text), blobs_(blobs), token_(lexer_.next()), after_(lexer_.next()) {}

  const Token& peek() const { return token_; }
  bool accept(std::string_view symbol); // consumes the symbol when it is next
  void expect(std::string_view symbol);
  void expect_word(std::string_view word);
  std::string expect_identifier(std::string_view what);
  void expect_end();

  // Items separated by commas up to `close`, which it consumes; possibly none.
  template <typename Item>
  void list(std::string_view close, const Item& item) {
    if (accept(close)) return;
    do {
      item();
    } while (accept(","));
    expect(close);
  }

  std::string version();
  Type type();
  bool at_literal() const;             // whether a value follows, rather than a name
  Literal value();                     // type(literal)
  std::vector<Attribute> attributes(); // empty when there is no list

private:
  Token take();
  [[noreturn]] void fail_expected(std::string_view what) const;

  DataType data_type();
  DataType scalar_type(); // fp16, or tensor<fp16, []>
  int64_t integer(std::string_view what, int64_t low, int64_t high);
  std::vector<int64_t> integer_list(std::string_view what, int64_t low, int64_t high);
  std::vector<int64_t> named_list(std::string_view name, int64_t low, int64_t high);
  void type_end(const Type& type, SourceLocation location);

  Literal dictionary();
  std::string dictionary_text();
  Literal blob(const Type& type, SourceLocation location);
  Literal scalar_argument(std::string_view name, DataType dtype);
  Literal elements(const Type& type);
  void element_list(const Type& type, size_t depth, Literal& strings, std::vector<uint64_t>& bits);
  void element(const Type& type, Literal& strings, std::vector<uint64_t>& bits);
  uint64_t number(DataType dtype);
  uint64_t nan(DataType dtype);

  Lexer lexer_;
  const BlobFiles& blobs_;
  Token token_;
  Token after_;
};

} // namespace anet::mil
