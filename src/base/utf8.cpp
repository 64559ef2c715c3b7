#include "base/utf8.h"

#include <cstdint>

namespace anet {
namespace {

// Length of the character that a lead byte announces (0: not a lead byte), and the range of its
// second byte, which is where overlong forms, surrogates and U+110000 and up show
// (Unicode 15, table 3-7).
struct Lead {
  size_t length;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

Lead classify(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

} // namespace

Utf8Step utf8_step(std::string_view bytes) {
  const Lead lead = classify(static_cast<uint8_t>(bytes[0]));
  if (lead.length == 0) return {Utf8Step::Kind::invalid, 1};
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Utf8Step::Kind::incomplete, i};
    const auto byte = static_cast<uint8_t>(bytes[i]);
    const bool fits = i == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
    if (!fits) return {Utf8Step::Kind::invalid, i};
  }
  return {Utf8Step::Kind::valid, lead.length};
}

size_t find_invalid_utf8(std::string_view bytes) {
  size_t offset = 0;
  while (offset < bytes.size()) {
    if (static_cast<uint8_t>(bytes[offset]) < 0x80) {
      ++offset;
      continue;
    }
    const Utf8Step step = utf8_step(bytes.substr(offset));
    if (step.kind != Utf8Step::Kind::valid) return offset;
    offset += step.length;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Step step = utf8_step(bytes);
    text += step.kind == Utf8Step::Kind::valid ? bytes.substr(0, step.length) : utf8_replacement;
    bytes.remove_prefix(step.length);
  }
  return text;
}

char32_t character_at(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[offset + i]));
  };
  const auto tail = [&](size_t i) { return byte(i) & 0x3F; };
  switch (character_size(text[offset])) {
  case 1:
    return byte(0);
  case 2:
    return (byte(0) & 0x1F) << 6 | tail(1);
  case 3:
    return (byte(0) & 0x0F) << 12 | tail(1) << 6 | tail(2);
  default:
    return (byte(0) & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
  }
}

size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

void append_character(std::string& text, char32_t character) {
  const auto tail = [&](int shift) {
    text += static_cast<char>(0x80 | ((character >> shift) & 0x3F));
  };
  if (character < 0x80) {
    text += static_cast<char>(character);
  } else if (character < 0x800) {
    text += static_cast<char>(0xC0 | character >> 6);
    tail(0);
  } else if (character < 0x10000) {
    text += static_cast<char>(0xE0 | character >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | character >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

} // namespace anet
