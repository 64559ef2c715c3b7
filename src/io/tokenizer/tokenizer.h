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

// Bytes of a sequence, token by token.
class DecodeState {
public:
  virtual ~DecodeState() = default;
  // Appends what is certain with this token. Throws out_of_range for an id outside the vocabulary.
  virtual void push(int32_t id, std::string& bytes) = 0;
  // Appends what was held back; the sequence is over.
  virtual void finish(std::string& bytes) = 0;
};

class Tokenizer {
public:
  virtual ~Tokenizer() = default;

  // Ids are [0, vocab_size), padding ids included.
  virtual int32_t vocab_size() const = 0;
  virtual std::optional<int32_t> bos_id() const = 0;
  virtual std::optional<int32_t> eos_id() const = 0;
  virtual std::optional<int32_t> pad_id() const { return std::nullopt; }
  // Whether the tokenizer's own configuration puts these around a text. encode() does so only if
  // asked to: `{.add_bos = tokenizer.adds_bos(), .add_eos = tokenizer.adds_eos()}`.
  virtual bool adds_bos() const { return false; }
  virtual bool adds_eos() const { return false; }
  // Control tokens and padding: they stand for no text.
  virtual bool is_special(int32_t id) const = 0;
  // "<|eos|>", or nullopt for a text that is no special token.
  virtual std::optional<int32_t> special_id(std::string_view name) const = 0;
  // The inverse; "" for ids that are not special, and for padding.
  virtual std::string special_name(int32_t id) const = 0;

  // Bytes that are not UTF-8 are encoded as if U+FFFD stood there, one for each sequence that
  // replace_invalid_utf8 replaces, unless the format has tokens for raw bytes (byte tokenizer,
  // tokenizer.bin).
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Ids as encode() gives them and the bytes of `text` each stands for. A token that is part of a
  // character has the range of that character.
  Encoding encode_with_ranges(std::string_view text, const EncodeOptions& options = {}) const;

  // What the token adds to a text that has begun, perhaps part of a character; empty for special
  // tokens. Throws out_of_range for an id that is not in the vocabulary.
  virtual std::string token_bytes(int32_t id) const = 0;
  // Text of a whole sequence, valid UTF-8: what is not becomes U+FFFD. Special tokens are left out.
  std::string decode(std::span<const int32_t> ids) const;
  // Of a sequence from its beginning. The tokenizer must outlive it.
  virtual std::unique_ptr<DecodeState> start_decoding() const;

  // Equal if and only if encode and decode agree for every input: SHA-256 in hexadecimal. Stored
  // with models, token files and checkpoints.
  virtual std::string fingerprint() const = 0;

protected:
  // Appends the ids of the text, and if `ranges` is not nullptr the range of each.
  virtual void encode_text(std::string_view text, bool parse_special, std::vector<int32_t>& ids,
                           std::vector<TextRange>* ranges) const = 0;
  void check_id(int32_t id) const;

private:
  void encode_whole(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids,
                    std::vector<TextRange>* ranges) const;
};

// Text of a sequence as it grows: whole characters only, so that a screen never shows half of one.
// The pieces, concatenated, are what decode() gives.
class StreamingDecoder {
public:
  explicit StreamingDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  // Characters that became complete; a sequence that can no longer become one is U+FFFD.
  std::string push(int32_t id);
  // Tokens whose text is known already, such as a prompt's: some formats leave out the space that
  // begins a text, and a continuation is not its beginning.
  void prime(std::span<const int32_t> ids);
  // What was held back, as U+FFFD; the decoder is then as new.
  std::string flush();

private:
  const Tokenizer* tokenizer_;
  std::unique_ptr<DecodeState> state_; // nullptr until the first token
  std::string pending_;                // an incomplete character: at most 3 bytes
};

} // namespace anet::io
