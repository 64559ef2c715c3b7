// What Unicode says about characters: categories, case, decomposition. From utf8proc; U+XXXX
// that its version does not know yet is unassigned.
#pragma once

#include "base/utf8.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace anet::io::tokenization {

bool is_white_space(char32_t character); // White_Space
bool is_numeric(char32_t character);     // general category N*
bool is_punctuation(char32_t character); // ASCII punctuation or general category P*
// Letters, marks, digits, connectors and joiners: \w of UTS #18.
bool is_word_character(char32_t character);
// Case mapping without context, of one or two characters; the second is 0 for one.
std::array<char32_t, 2> to_lower(char32_t character);

uint8_t combining_class(char32_t character);
inline constexpr size_t max_decomposition = 32; // U+FDFA has 18
// Whole decomposition, canonical or also compatible. Returns the number of characters.
size_t decompose(char32_t character, bool compatible,
                 std::span<char32_t, max_decomposition> result);
// The primary composite of two characters.
std::optional<char32_t> compose(char32_t first, char32_t second);
// Whether the character is its own NFC and no neighbour before or after it can change that, except
// that a mark or jamo behind it may compose with it. False when that is not known quickly.
bool is_plain_nfc(char32_t character);

} // namespace anet::io::tokenization
