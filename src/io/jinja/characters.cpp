#include "io/jinja/characters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <utf8proc.h>
#include <vector>

namespace anet::io::jinja {
namespace {

bool contains_character(std::string_view characters, std::string_view character) {
  // In valid UTF-8 no character is part of another.
  return characters.find(character) != std::string_view::npos;
}

utf8proc_category_t category_of(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

// One character for one.
template <typename Convert>
std::string map_characters(std::string_view text, Convert convert) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); i += character_size(text[i]))
    append_character(result, convert(character_at(text, i)));
  return result;
}

char32_t upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t lower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
char32_t title(char32_t c) {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

} // namespace

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

size_t offset_of(std::string_view text, size_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += character_size(text[offset]);
  return offset;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_letter(char32_t c) {
  const utf8proc_category_t category = category_of(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal_digit(char32_t c) { return category_of(c) == UTF8PROC_CATEGORY_ND; }
bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_lower(char32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }

bool is_printable(char32_t c) {
  switch (category_of(c)) {
  case UTF8PROC_CATEGORY_CC:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_CS:
  case UTF8PROC_CATEGORY_CO:
  case UTF8PROC_CATEGORY_CN:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP:
    return false;
  case UTF8PROC_CATEGORY_ZS:
    return c == ' ';
  default:
    return true;
  }
}

std::string to_upper(std::string_view text) { return map_characters(text, upper); }
std::string to_lower(std::string_view text) { return map_characters(text, lower); }

std::string to_title(std::string_view text) {
  bool in_word = false;
  return map_characters(text, [&](char32_t c) {
    const char32_t mapped = in_word ? lower(c) : title(c);
    in_word = is_upper(c) || is_lower(c) || category_of(c) == UTF8PROC_CATEGORY_LT;
    return mapped;
  });
}

std::string to_capitalized(std::string_view text) {
  bool first = true;
  return map_characters(text, [&](char32_t c) {
    const char32_t mapped = first ? title(c) : lower(c);
    first = false;
    return mapped;
  });
}

std::string_view strip_left(std::string_view text) {
  while (!text.empty() && is_space(character_at(text, 0)))
    text.remove_prefix(character_size(text[0]));
  return text;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    const size_t last = previous_character(text, text.size());
    if (!is_space(character_at(text, last))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view strip_left(std::string_view text, std::string_view characters) {
  while (!text.empty()) {
    const size_t length = character_size(text[0]);
    if (!contains_character(characters, text.substr(0, length))) break;
    text.remove_prefix(length);
  }
  return text;
}

std::string_view strip_right(std::string_view text, std::string_view characters) {
  while (!text.empty()) {
    const size_t last = previous_character(text, text.size());
    if (!contains_character(characters, text.substr(last))) break;
    text = text.substr(0, last);
  }
  return text;
}

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  constexpr size_t short_part = 16; // the plain search's worst case is this factor
  if (from > text.size() || part.size() <= short_part) return text.find(part, from);
  // Knuth, Morris, Pratt: borders[i] is the longest proper border of the first i + 1 bytes.
  std::vector<size_t> borders(part.size());
  for (size_t i = 1, border = 0; i < part.size(); ++i) {
    while (border > 0 && part[i] != part[border]) border = borders[border - 1];
    if (part[i] == part[border]) ++border;
    borders[i] = border;
  }
  for (size_t i = from, matched = 0; i < text.size(); ++i) {
    while (matched > 0 && text[i] != part[matched]) matched = borders[matched - 1];
    if (text[i] == part[matched]) ++matched;
    if (matched == part.size()) return i + 1 - matched;
  }
  return std::string_view::npos;
}

std::optional<double> parse_double(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto is_digit = [&](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '9';
    };
    if (c == '_' && i > 0 && is_digit(i - 1) && is_digit(i + 1)) continue;
    plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  std::string_view unsigned_text = plain;
  const bool negative = unsigned_text.starts_with('-');
  if (negative || unsigned_text.starts_with('+')) unsigned_text.remove_prefix(1);
  const double sign = negative ? -1.0 : 1.0;
  if (unsigned_text == "inf" || unsigned_text == "infinity") return sign * HUGE_VAL;
  if (unsigned_text == "nan") return std::nan("");
  if (unsigned_text.empty() ||
      unsigned_text.find_first_not_of("0123456789.e+-") != std::string_view::npos ||
      unsigned_text.find_first_of("0123456789") == std::string_view::npos)
    return std::nullopt;
  // libc++ of the macOS toolchain has no from_chars for doubles.
  std::istringstream stream{std::string(unsigned_text)};
  stream.imbue(std::locale::classic());
  double value = 0;
  stream >> value;
  if (stream.fail() && value != HUGE_VAL && std::abs(value) != std::numeric_limits<double>::max())
    return std::nullopt;
  if (stream.fail() && value != 0) value = HUGE_VAL; // out of range
  stream.clear();
  return stream.peek() == std::istringstream::traits_type::eof()
             ? std::optional<double>(sign * value)
             : std::nullopt;
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto result =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  const size_t mark = text.find('e');
  int exponent = 0;
  std::string_view power = text.substr(mark + 1);
  if (power.starts_with('+')) power.remove_prefix(1);
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string plain(buffer, fixed.ptr);
  if (plain.find('.') == std::string::npos) plain += ".0";
  return plain;
}

} // namespace anet::io::jinja
