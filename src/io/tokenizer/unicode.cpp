#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <iterator>
#include <utf8proc.h>

namespace anet::io::tokenization {
namespace {

// Characters of Unicode 10 to 18 that normalization could change. `tokenizers` normalizes by
// Unicode 9, to which they are unassigned, so that models never saw them normalized: here they stay
// as they are whatever utf8proc's version. tests/golden/tokenizer/unicode_ranges.py lists them.
struct Range {
  char32_t first, last;
};
constexpr Range unnormalized[] = {
    {0x558, 0x558},     {0x58B, 0x58C},     {0x5C8, 0x5C9},     {0x7FD, 0x7FD},
    {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1AF0},
    {0x1DF6, 0x1DFA},   {0x209D, 0x209F},   {0x32FF, 0x32FF},   {0xA7F1, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x105C9, 0x105C9}, {0x105E4, 0x105E4},
    {0x10781, 0x107BF}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC},
    {0x10ECB, 0x10ECF}, {0x10EF0, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11383, 0x11391}, {0x113C5, 0x113D0},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11938, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16121, 0x1612F}, {0x16D68, 0x16D6A},
    {0x16FF0, 0x16FF1}, {0x1B123, 0x1B126}, {0x1CCD6, 0x1CCF9}, {0x1D127, 0x1D128},
    {0x1D250, 0x1D25F}, {0x1D280, 0x1D281}, {0x1D6A6, 0x1D6A6}, {0x1DF95, 0x1DF95},
    {0x1DFCD, 0x1DFFF}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF},
    {0x1E6E3, 0x1E6F5}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

bool is_unnormalized(char32_t character) {
  if (character < unnormalized[0].first) return false;
  const auto* range =
      std::lower_bound(std::begin(unnormalized), std::end(unnormalized), character,
                       [](const Range& item, char32_t value) { return item.last < value; });
  return range != std::end(unnormalized) && range->first <= character;
}

} // namespace

bool is_white_space(char32_t character) {
  if (character < 0x80) return character == ' ' || (character >= 9 && character <= 13);
  return character == 0x85 || character == 0xA0 || character == 0x1680 ||
         (character >= 0x2000 && character <= 0x200A) || character == 0x2028 ||
         character == 0x2029 || character == 0x202F || character == 0x205F || character == 0x3000;
}

bool is_numeric(char32_t character) {
  if (character < 0x80) return character >= '0' && character <= '9';
  const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(character));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t character) {
  if (character < 0x80)
    return (character >= 33 && character <= 47) || (character >= 58 && character <= 64) ||
           (character >= 91 && character <= 96) || (character >= 123 && character <= 126);
  const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(character));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_word_character(char32_t character) {
  const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(character));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) return true;
  // Joiners, and the symbols that are alphabetic.
  return category == UTF8PROC_CATEGORY_PC || character == 0x200C || character == 0x200D ||
         (character >= 0x24B6 && character <= 0x24E9) ||
         (character >= 0x1F130 && character <= 0x1F149) ||
         (character >= 0x1F150 && character <= 0x1F169) ||
         (character >= 0x1F170 && character <= 0x1F189);
}

std::array<char32_t, 2> to_lower(char32_t character) {
  if (character < 0x80) {
    const bool upper = character >= 'A' && character <= 'Z';
    return {upper ? character + 32 : character, 0};
  }
  // The only lower-case mapping to more than one character (SpecialCasing.txt).
  if (character == 0x130) return {U'i', 0x307};
  return {static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(character))), 0};
}

uint8_t combining_class(char32_t character) {
  if (character < 0x300 || is_unnormalized(character)) return 0;
  return static_cast<uint8_t>(
      utf8proc_get_property(static_cast<int32_t>(character))->combining_class);
}

size_t decompose(char32_t character, bool compatible,
                 std::span<char32_t, max_decomposition> result) {
  if (is_unnormalized(character)) {
    result[0] = character;
    return 1;
  }
  std::array<utf8proc_int32_t, max_decomposition> buffer;
  int boundary_class = 0;
  const int options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0);
  const auto count = utf8proc_decompose_char(
      static_cast<int32_t>(character), buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()),
      static_cast<utf8proc_option_t>(options), &boundary_class);
  if (count < 1 || count > static_cast<utf8proc_ssize_t>(buffer.size())) {
    result[0] = character;
    return 1;
  }
  for (size_t i = 0; i < static_cast<size_t>(count); ++i)
    result[i] = static_cast<char32_t>(buffer[i]);
  return static_cast<size_t>(count);
}

std::optional<char32_t> compose(char32_t first, char32_t second) {
  std::array<utf8proc_int32_t, 2> pair = {static_cast<int32_t>(first),
                                          static_cast<int32_t>(second)};
  const auto count = utf8proc_normalize_utf32(
      pair.data(), 2, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  const auto composite = static_cast<char32_t>(pair[0]);
  if (count != 1 || is_unnormalized(composite)) return std::nullopt;
  return composite;
}

bool is_plain_nfc(char32_t character) {
  if (character < 0x300) return true;
  // Blocks of much text: Cyrillic, punctuation, kana, ideographs, Hangul syllables, emoji.
  constexpr Range ranges[] = {{0x400, 0x482},   {0x2010, 0x203E}, {0x3001, 0x3029},
                              {0x3041, 0x3096}, {0x30A1, 0x30FF}, {0x3400, 0x9FFF},
                              {0xAC00, 0xD7A3}, {0xFF01, 0xFFEF}, {0x1F300, 0x1FAFF}};
  for (const Range& range : ranges) {
    if (character < range.first) return false;
    if (character <= range.last) return true;
  }
  return false;
}

} // namespace anet::io::tokenization
