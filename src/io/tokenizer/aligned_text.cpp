#include "io/tokenizer/aligned_text.h"

#include "io/tokenizer/unicode.h"

namespace anet::io::tokenization {

TextWriter::TextWriter(const Piece& input, AlignedText& output) : input_(input), output_(output) {
  output_.text.clear();
  output_.sources.clear();
  output_.text.reserve(input.text.size() + input.text.size() / 8);
  if (input.sources != nullptr) output_.sources.reserve(output_.text.capacity());
}

void TextWriter::copy(size_t size) {
  output_.text.append(input_.text, offset_, size);
  if (input_.sources != nullptr)
    output_.sources.insert(output_.sources.end(), input_.sources + offset_,
                           input_.sources + offset_ + size);
  offset_ += size;
}

void TextWriter::skip_character() {
  if (!at_end()) offset_ += character_size(input_.text[offset_]);
}

void TextWriter::append(char32_t character, Source source) {
  append_character(output_.text, character);
  if (input_.sources != nullptr) output_.sources.resize(output_.text.size(), source);
}

Source TextWriter::source_before() const {
  if (input_.sources == nullptr || input_.text.empty()) return {};
  if (offset_ > 0) return input_.sources[offset_ - 1];
  return {input_.sources[0].begin, input_.sources[0].begin};
}

void TextWriter::replace(char32_t character, size_t swallowed) {
  const Source source =
      input_.sources == nullptr || at_end() ? source_before() : input_.sources[offset_];
  append(character, source);
  skip_character();
  for (size_t i = 0; i < swallowed; ++i) skip_character();
}

void TextWriter::insert(char32_t character) { append(character, source_before()); }

void TextWriter::insert(std::string_view text) {
  output_.text += text;
  if (input_.sources != nullptr) output_.sources.resize(output_.text.size(), source_before());
}

AlignedText prepend(const Piece& input, std::string_view prefix) {
  AlignedText output;
  output.text.reserve(prefix.size() + input.text.size());
  if (input.text.empty()) return output;
  output.text = prefix;
  output.text += input.text;
  if (input.sources != nullptr) {
    output.sources.assign(prefix.size(), input.sources[0]);
    output.sources.insert(output.sources.end(), input.sources, input.sources + input.text.size());
  }
  return output;
}

} // namespace anet::io::tokenization
