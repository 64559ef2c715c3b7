// tokenizer.bin of llama2.c: SentencePiece pieces with their scores. The file does not say how many
// there are; the model does.
#pragma once

#include "io/tokenizer/bpe.h"
#include "io/tokenizer/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

// Ids 0, 1 and 2 are <unk>, <s> and </s>, 3 to 258 the bytes. Text is encoded as if a space stood
// before it, which decoding takes away again. Bytes that are not UTF-8 are kept, as byte tokens.
class Llama2Tokenizer final : public Tokenizer {
public:
  static constexpr int32_t unknown = 0;
  static constexpr int32_t bos = 1;
  static constexpr int32_t eos = 2;
  static constexpr int32_t first_byte = 3;

  // Throws invalid_config unless `data` holds exactly `vocab_size` pieces, at least 259.
  Llama2Tokenizer(std::span<const std::byte> data, std::string_view source, int32_t vocab_size);

  int32_t vocab_size() const override { return static_cast<int32_t>(pieces_.size()); }
  std::optional<int32_t> bos_id() const override { return bos; }
  std::optional<int32_t> eos_id() const override { return eos; }
  bool adds_bos() const override { return true; }
  bool is_special(int32_t id) const override;
  std::optional<int32_t> special_id(std::string_view name) const override;
  std::string special_name(int32_t id) const override;
  std::string token_bytes(int32_t id) const override;
  std::unique_ptr<DecodeState> start_decoding() const override;
  std::string fingerprint() const override { return fingerprint_; }

protected:
  void encode_text(std::string_view text, bool parse_special, std::vector<int32_t>& ids,
                   std::vector<TextRange>* ranges) const override;

private:
  class State;
  void read_pieces(std::span<const std::byte> data, std::string_view source, int32_t vocab_size);
  void build_model();

  std::vector<std::string> pieces_; // as in the file
  std::vector<float> scores_;
  std::vector<std::string> bytes_; // what each adds to a text
  std::unique_ptr<const tokenization::Bpe> model_;
  std::string fingerprint_;
};

} // namespace anet::io
