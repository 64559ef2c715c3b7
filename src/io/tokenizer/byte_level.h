// The byte-level alphabet: a printable character for each byte, in which GPT-2 and its successors
// write their pieces.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace anet::io::tokenization {

// Bytes '!' to '~', 0xA1 to 0xAC and 0xAE to 0xFF are the characters of these numbers; the other
// 68 are U+0100 and up, in their order.
char32_t byte_level_character(unsigned char byte);
// The bytes that the characters stand for; nullopt if one of them is no letter of the alphabet.
std::optional<std::string> from_byte_level(std::string_view text);

} // namespace anet::io::tokenization
