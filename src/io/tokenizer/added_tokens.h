// Added tokens: texts that are one token wherever they stand, found before the text is normalized
// or, if they say so, after.
#pragma once

#include "base/json.h"
#include "io/tokenizer/aligned_text.h"
#include "io/tokenizer/bpe.h"
#include "io/tokenizer/normalizer.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io::tokenization {

struct AddedToken {
  int32_t id = no_id;
  std::string content;
  bool single_word = false; // not inside a word
  bool lstrip = false;      // takes the white space before it
  bool rstrip = false;      // and behind it
  bool normalized = false;  // looked for in the normalized text, as its normalized content
  bool special = false;     // structure, not text
};

// "added_tokens" of tokenizer.json. Throws invalid_config for ids and contents that occur twice.
std::vector<AddedToken> read_added_tokens(const JsonView& view, int32_t max_vocab_size);

// Finds texts of a set in one pass: at each place the longest one. Immutable.
class TextFinder {
public:
  struct Found {
    size_t begin;
    size_t end;
    size_t index; // of the text
  };
  TextFinder() = default;
  // Texts are not empty. Of equal ones the first counts.
  explicit TextFinder(std::span<const std::string> texts);
  std::optional<Found> find(std::string_view text, size_t start) const;

private:
  struct Node {
    uint32_t first_child = 0;
    uint32_t sibling = 0; // 0: none
    uint32_t text = 0;    // its index + 1, 0 if none ends here
    unsigned char byte = 0;
  };
  uint32_t child(uint32_t node, unsigned char byte) const;
  std::vector<Node> nodes_;
  std::array<uint32_t, 256> roots_ = {}; // the nodes of first bytes
};

// What a text is cut into: text between added tokens, and those.
class AddedTokenSink {
public:
  virtual ~AddedTokenSink() = default;
  virtual void text(const Piece& piece) = 0; // not empty
  virtual void token(const AddedToken& token, const Piece& piece) = 0;
};

// Immutable; usable from any thread.
class AddedTokenSplitter {
public:
  AddedTokenSplitter() = default;
  explicit AddedTokenSplitter(std::vector<AddedToken> tokens, std::vector<std::string> texts);
  // Special tokens are text unless `parse_special`.
  void split(const Piece& piece, bool parse_special, AddedTokenSink& sink) const;

private:
  std::vector<AddedToken> tokens_;
  TextFinder finder_;
};

} // namespace anet::io::tokenization
