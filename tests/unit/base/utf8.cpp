#include "base/utf8.h"

#include <doctest/doctest.h>
#include <string>

using namespace anet;

namespace {

const std::string r(utf8_replacement);

// A character as the standard's table 3-6 spells it.
std::string encode(uint32_t code) {
  const auto byte = [](uint32_t value) { return static_cast<char>(value); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xC0 | code >> 6), byte(0x80 | (code & 63))};
  if (code < 0x10000)
    return {byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 63)), byte(0x80 | (code & 63))};
  return {byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 63)), byte(0x80 | (code >> 6 & 63)),
          byte(0x80 | (code & 63))};
}

} // namespace

TEST_CASE("exactly the characters of Unicode are valid") {
  int wrong = 0;
  for (uint32_t code = 0; code < 0x120000; ++code) {
    const std::string text = encode(code);
    const bool expected = code < 0x110000 && !(code >= 0xD800 && code < 0xE000);
    const Utf8Step step = utf8_step(text);
    wrong += (step.kind == Utf8Step::Kind::valid) != expected;
    if (!expected) continue;
    wrong += step.length != text.size();
    for (size_t size = 1; size < text.size(); ++size) {
      const Utf8Step part = utf8_step(std::string_view(text).substr(0, size));
      wrong += part.kind != Utf8Step::Kind::incomplete || part.length != size;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("invalid sequences become one mark each, as in bytes.decode('utf-8', 'replace')") {
  // Expected values from Python 3.11.
  CHECK(replace_invalid_utf8("a\x80z") == "a" + r + "z");
  CHECK(replace_invalid_utf8("\xC0\xAF") == r + r);
  CHECK(replace_invalid_utf8("\xE0\x80\xAF") == r + r + r);
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == r + r + r);
  CHECK(replace_invalid_utf8("\xF4\x90\x80\x80") == r + r + r + r);
  CHECK(replace_invalid_utf8("\xE2\x82") == r);
  CHECK(replace_invalid_utf8("\xE2\x82z") == r + "z");
  CHECK(replace_invalid_utf8("\xF0\x9F\x98") == r);
  CHECK(replace_invalid_utf8("\xF0\x9F\xF0\x9F\x98\x80") == r + "\xF0\x9F\x98\x80");
  CHECK(replace_invalid_utf8("\xFE\xFF") == r + r);
  CHECK(replace_invalid_utf8("\xC3\xA9") == "\xC3\xA9");
  CHECK(find_invalid_utf8("ab\xC3\xA9\xFF") == 4);
  CHECK(find_invalid_utf8("ab\xC3") == 2);
  CHECK(find_invalid_utf8("ab\xC3\xA9") == std::string_view::npos);
}
