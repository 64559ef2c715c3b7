// Pre-tokenizers of tokenizer.json: how a text is cut into words, which the model then sees one by
// one.
#pragma once

#include "base/json.h"
#include "io/tokenizer/aligned_text.h"
#include "io/tokenizer/regex.h"

#include <memory>
#include <vector>

namespace anet::io::tokenization {

// Takes the words in their order. A word is valid during the call only.
class PieceSink {
public:
  virtual ~PieceSink() = default;
  virtual void take(const Piece& word) = 0;
};

// Immutable; usable from any thread.
class PreTokenizer {
public:
  virtual ~PreTokenizer() = default;
  // Words that are empty are left out. `input` is not empty.
  virtual void apply(const Piece& input, RegexScratch& scratch, PieceSink& sink) const = 0;
};

// The steps of a tokenizer, each of which gets the words of the one before.
struct PreTokenizers {
  std::vector<std::unique_ptr<const PreTokenizer>> steps; // none: the text is one word
  bool byte_level = false;    // the model's pieces are written in the byte-level alphabet
  bool needs_sources = false; // a step asks where in the original text it is

  void apply(const Piece& input, RegexScratch& scratch, PieceSink& sink) const;
};

// null gives no steps. Throws unsupported for a kind that is not known, naming it.
PreTokenizers read_pre_tokenizers(const JsonView& view);

} // namespace anet::io::tokenization
