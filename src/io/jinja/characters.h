// Strings as Python sees them: characters (code points) of UTF-8 text, and their properties.
// Every text here is valid UTF-8.
#pragma once

#include "base/utf8.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace anet::io::jinja {

size_t count_characters(std::string_view text);
// Where the index-th character begins; text.size() from the number of characters on.
size_t offset_of(std::string_view text, size_t index);
bool is_ascii(std::string_view text);

// As Python's str.isspace and its like have it. Properties and case follow Unicode, characters map
// to single characters ("ß" has no upper case).
bool is_space(char32_t character);
bool is_letter(char32_t character);
bool is_decimal_digit(char32_t character);
bool is_upper(char32_t character);
bool is_lower(char32_t character);
bool is_printable(char32_t character);
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);       // every word's first letter is a capital
std::string to_capitalized(std::string_view text); // the first letter alone

std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);
inline std::string_view strip(std::string_view text) { return strip_left(strip_right(text)); }
// Without any of the characters at its ends.
std::string_view strip_left(std::string_view text, std::string_view characters);
std::string_view strip_right(std::string_view text, std::string_view characters);

// Where `part` begins at or after `from`, npos if nowhere. Linear in the text whatever it holds.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);

// The whole text as a number, whatever the locale; nullopt if it is none. "inf" and "nan" are.
std::optional<double> parse_double(std::string_view text);
// As Python's repr: the shortest digits that read back equal.
std::string float_text(double value);

} // namespace anet::io::jinja
