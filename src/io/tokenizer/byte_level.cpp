#include "io/tokenizer/byte_level.h"

#include "io/tokenizer/unicode.h"

#include <array>
#include <cstdint>

namespace anet::io::tokenization {
namespace {

constexpr bool stands_for_itself(unsigned int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr size_t alphabet_end = 0x100 + 68;

struct Alphabet {
  std::array<uint16_t, 256> character = {};
  std::array<int16_t, alphabet_end> byte = {}; // -1: none
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (int16_t& byte : alphabet.byte) byte = -1;
  uint16_t next = 0x100;
  for (unsigned int byte = 0; byte < 256; ++byte) {
    const auto character = static_cast<uint16_t>(stands_for_itself(byte) ? byte : next++);
    alphabet.character[byte] = character;
    alphabet.byte[character] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet alphabet = make_alphabet();

} // namespace

char32_t byte_level_character(unsigned char byte) { return alphabet.character[byte]; }

std::optional<std::string> from_byte_level(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += character_size(text[i])) {
    const char32_t character = character_at(text, i);
    if (character >= alphabet_end || alphabet.byte[character] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet.byte[character]);
  }
  return bytes;
}

} // namespace anet::io::tokenization
