// UTF-8 as the Unicode standard defines it: no overlong forms, no surrogates, nothing past
// U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace anet {

// What stands at the start of a byte sequence.
struct Utf8Step {
  enum class Kind {
    valid,      // one whole character of `length` bytes
    invalid,    // `length` bytes that no continuation can make valid: one U+FFFD
    incomplete, // all `length` bytes could begin a character that goes on after them
  };
  Kind kind = Kind::invalid;
  size_t length = 0; // at least 1
};

// `bytes` is not empty. Invalid sequences are cut by the "maximal subpart" practice (Unicode 3.9),
// the one Python and web browsers follow.
Utf8Step utf8_step(std::string_view bytes);

// Offset of the first byte that is not part of a valid character; npos if all are.
size_t find_invalid_utf8(std::string_view bytes);

inline constexpr std::string_view utf8_replacement = "\xEF\xBF\xBD"; // U+FFFD

// Every invalid sequence, and an incomplete one at the end, becomes one U+FFFD.
std::string replace_invalid_utf8(std::string_view bytes);

// Characters of text that is known to be valid.

// Bytes of the character that begins with `lead`.
inline size_t character_size(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
// The character at `offset`, of character_size(text[offset]) bytes.
char32_t character_at(std::string_view text, size_t offset);
// Begin of the character that ends at `end` > 0.
size_t previous_character(std::string_view text, size_t end);
void append_character(std::string& text, char32_t character);

} // namespace anet
