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

} // namespace anet
