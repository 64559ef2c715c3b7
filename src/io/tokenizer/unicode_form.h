// Unicode's normalization forms (UAX #15), with the source of every character.
#pragma once

#include "io/tokenizer/aligned_text.h"

#include <cstdint>

namespace anet::io::tokenization {

enum class UnicodeForm : int32_t { nfc, nfd, nfkc, nfkd };

// Writes the normalized text and returns true, or returns false: it is the same text.
bool normalize(UnicodeForm form, const Piece& input, AlignedText& output);

} // namespace anet::io::tokenization
