// What a GGUF file tells about the tokenizer, taken from a Hugging Face directory.
#pragma once

#include "base/file.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace anet::io {

enum class GgufTokenType : int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

struct GgufTokenizer {
  std::string model; // "gpt2": byte-level BPE, "llama": SentencePiece's
  std::string pre;   // which regular expression splits the text
  std::vector<std::string> tokens;
  std::vector<GgufTokenType> types;
  std::vector<float> scores;       // "llama" alone
  std::vector<std::string> merges; // "gpt2" alone
  std::optional<int32_t> bos, eos, unknown, padding;
  bool add_bos = false;
  std::string chat_template;
};

// Reads tokenizer.json, tokenizer_config.json and chat_template.jinja. `vocab_size` is the model's:
// ids that the tokenizer lacks become unused tokens. Throws unsupported naming what has no name in
// GGUF, invalid_data for what makes no sense.
GgufTokenizer read_gguf_tokenizer(const std::string& directory, int32_t vocab_size,
                                  FileSystem& files);

} // namespace anet::io
