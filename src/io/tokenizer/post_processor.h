// Post-processors of tokenizer.json: what surrounds a text, and how ranges are trimmed.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <optional>

namespace anet::io::tokenization {

struct PostProcessor {
  std::optional<int32_t> prefix; // the token that begins each text
  std::optional<int32_t> suffix; // and that ends it
  // Ranges leave out the white space at the ends of tokens, except, if a space was put before the
  // text, the one that begins it.
  bool trim_ranges = false;
  bool prefix_space = false;
};

// Throws unsupported for a kind that is not known and for more than one token at an end.
PostProcessor read_post_processor(const JsonView& view, int32_t max_vocab_size);

} // namespace anet::io::tokenization
