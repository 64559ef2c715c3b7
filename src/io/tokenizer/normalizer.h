// Normalizers of tokenizer.json: what happens to the text before it is cut.
#pragma once

#include "base/json.h"
#include "io/tokenizer/aligned_text.h"
#include "io/tokenizer/regex.h"

#include <memory>

namespace anet::io::tokenization {

// Immutable; usable from any thread.
class Normalizer {
public:
  virtual ~Normalizer() = default;
  // Writes to `output` and returns true, or returns false: the text stays as it is.
  virtual bool apply(const Piece& input, AlignedText& output, RegexScratch& scratch) const = 0;
};

// nullptr for null. Throws unsupported for a kind that is not known, naming it.
std::unique_ptr<const Normalizer> read_normalizer(const JsonView& view);

} // namespace anet::io::tokenization
