// Bytes as tokens: ids 0-255 are the bytes, 256 is <|bos|>, 257 is <|eos|>. Needs no file and can
// encode anything; small models learn with it.
#pragma once

#include "io/tokenizer/tokenizer.h"

#include <cstdint>

namespace anet::io {

class ByteTokenizer final : public Tokenizer {
public:
  static constexpr int32_t bos = 256;
  static constexpr int32_t eos = 257;
  static constexpr int32_t unpadded_vocab_size = 258;

  // Ids from 258 up to vocab_size are padding, which makes a matrix dimension round; they are
  // special tokens without a name.
  explicit ByteTokenizer(int32_t vocab_size = unpadded_vocab_size);

  int32_t vocab_size() const override { return vocab_size_; }
  std::optional<int32_t> bos_id() const override { return bos; }
  std::optional<int32_t> eos_id() const override { return eos; }
  bool is_special(int32_t id) const override;
  std::optional<int32_t> special_id(std::string_view name) const override;
  std::string special_name(int32_t id) const override;
  std::string token_bytes(int32_t id) const override;
  std::string fingerprint() const override;

protected:
  void encode_text(std::string_view text, bool parse_special, std::vector<int32_t>& ids,
                   std::vector<TextRange>* ranges) const override;

private:
  int32_t vocab_size_;
};

} // namespace anet::io
