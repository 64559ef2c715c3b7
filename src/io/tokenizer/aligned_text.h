// Text on its way through normalizers, with the bytes of the original that each byte comes from.
#pragma once

#include "io/tokenizer/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io::tokenization {

// Bytes [begin, end) of the original text.
struct Source {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// A view of UTF-8 text. `sources` has one element a byte, or is nullptr when nobody asks for
// ranges.
struct Piece {
  std::string_view text;
  const Source* sources = nullptr;

  Piece part(size_t begin, size_t end) const {
    return {text.substr(begin, end - begin), sources == nullptr ? nullptr : sources + begin};
  }
  // Where bytes [begin, end) come from; they are not empty.
  TextRange range(size_t begin, size_t end) const {
    return {sources[begin].begin, sources[end - 1].end};
  }
};

// What a step made of a piece.
struct AlignedText {
  std::string text;
  std::vector<Source> sources; // empty when ranges are not tracked

  Piece piece() const { return {text, sources.empty() ? nullptr : sources.data()}; }
};

// Writes a new text while walking along an old one. Characters either stand for the next ones of
// the old text or are inserted; an inserted one comes from where the one before it does.
class TextWriter {
public:
  TextWriter(const Piece& input, AlignedText& output);

  bool at_end() const { return offset_ == input_.text.size(); }
  size_t offset() const { return offset_; } // in the old text
  // Copies the next `size` bytes.
  void copy(size_t size);
  // Leaves out the next `size` bytes.
  void skip(size_t size) { offset_ += size; }
  // `character` instead of the next 1 + `swallowed` characters, as many as there are.
  void replace(char32_t character, size_t swallowed = 0);
  void insert(char32_t character);
  void insert(std::string_view text);

private:
  void skip_character();
  void append(char32_t character, Source source);
  Source source_before() const;

  Piece input_;
  AlignedText& output_;
  size_t offset_ = 0;
};

// `prefix` before a text that is not empty; it comes from where the first character does.
AlignedText prepend(const Piece& input, std::string_view prefix);

} // namespace anet::io::tokenization
