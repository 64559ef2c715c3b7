// What every tokenizer offers. Objects are immutable: any number of threads may use one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

struct EncodeOptions {
  bool add_bos = false; // invalid_argument if the tokenizer has no such token
  bool add_eos = false;
  // Spell out special tokens in the text ("<|eos|>") as their ids. Off for text from outside, which
  // could otherwise forge the structure of a prompt.
  bool parse_special = false;
};

// Where a token comes from: bytes [begin, end) of the text. Tokens that are no part of it (added
// ones) are empty.
struct TextRange {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const TextRange&) const = default;
};

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<TextRange> ranges; // one an id
};

class Tokenizer {
public:
  virtual ~Tokenizer() = default;

  // Ids are [0, vocab_size), padding ids included.
  virtual int32_t vocab_size() const = 0;
  virtual std::optional<int32_t> bos_id() const = 0;
  virtual std::optional<int32_t> eos_id() const = 0;
  // Control tokens: they stand for no text.
  virtual bool is_special(int32_t id) const = 0;
  // "<|eos|>", or nullopt for a text that is no special token.
  virtual std::optional<int32_t> special_id(std::string_view name) const = 0;
  // Names of special tokens to look for in a text, longest first. Some may have none.
  virtual std::span<const std::string> special_names() const = 0;

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // What the token adds to the text, perhaps part of a character; empty for special tokens. Throws
  // out_of_range for an id that is not in the vocabulary.
  virtual std::string token_bytes(int32_t id) const = 0;
  // Text of a whole sequence, valid UTF-8: what is not becomes U+FFFD. Special tokens are left out.
  std::string decode(std::span<const int32_t> ids) const;

  // Equal if and only if encode and decode agree for every input: SHA-256 in hexadecimal. Stored
  // with models, token files and checkpoints.
  virtual std::string fingerprint() const = 0;

protected:
  // Appends the ids of text in which special tokens have no meaning.
  virtual void encode_text(std::string_view text, std::vector<int32_t>& ids) const = 0;
  // Bytes of a whole sequence. Formats whose first token differs (a leading space that is not part
  // of the text) override this.
  virtual std::string decode_bytes(std::span<const int32_t> ids) const;
  void check_id(int32_t id) const;
};

// Text of a sequence as it grows: whole characters only, so that a screen never shows half of one.
// The pieces, concatenated, are what decode() gives.
class StreamingDecoder {
public:
  explicit StreamingDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  // Characters that became complete; a sequence that can no longer become one is U+FFFD.
  std::string push(int32_t id);
  // What was held back, as U+FFFD; the decoder is then as new.
  std::string flush();

private:
  const Tokenizer* tokenizer_;
  std::string pending_; // an incomplete character: at most 3 bytes
};

} // namespace anet::io
