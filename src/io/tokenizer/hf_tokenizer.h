// tokenizer.json of Hugging Face's `tokenizers`: byte-pair models with everything around them that
// language models use. What it asks for beyond that is refused by name.
#pragma once

#include "io/tokenizer/added_tokens.h"
#include "io/tokenizer/bpe.h"
#include "io/tokenizer/decoder.h"
#include "io/tokenizer/normalizer.h"
#include "io/tokenizer/post_processor.h"
#include "io/tokenizer/pre_tokenizer.h"
#include "io/tokenizer/special_tokens.h"
#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace anet::io {

// "truncation" and "padding" are ignored: they are about batches, which others make here.
class HfTokenizer final : public Tokenizer {
public:
  // `json` is the text of tokenizer.json and `source` its name for messages. Ids behind the last
  // token up to `vocab_size` are padding; 0 for none. Throws invalid_config, or unsupported.
  HfTokenizer(std::string_view json, std::string_view source,
              const tokenization::SpecialTokens& names = {}, int32_t vocab_size = 0);
  ~HfTokenizer() override;

  int32_t vocab_size() const override { return vocab_size_; }
  std::optional<int32_t> bos_id() const override { return bos_; }
  std::optional<int32_t> eos_id() const override { return eos_; }
  std::optional<int32_t> pad_id() const override { return pad_; }
  bool adds_bos() const override { return adds_bos_; }
  bool adds_eos() const override { return adds_eos_; }
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
  class Run; // one call of encode_text
  class State;
  struct Token {
    std::string piece; // as the file has it
    tokenization::DecodedPiece decoded;
    bool special = true; // ids without a token are
  };
  using Ids = std::unordered_map<std::string_view, int32_t>;

  void read_tokens(const JsonView& root);
  void read_model(const JsonView& model, const Ids& ids);
  tokenization::BpeOptions read_bpe_options(const JsonView& model, const Ids& ids) const;
  std::vector<tokenization::MergeTable::Entry> read_merges(const JsonView& model, const Ids& ids,
                                                           tokenization::BpeOptions& options) const;
  void place_added_tokens(const Ids& ids);
  void build_added_tokens();
  void choose_special_tokens(const JsonView& root, const tokenization::SpecialTokens& names);
  std::string make_fingerprint(const JsonView& root) const;

  int32_t vocab_size_ = 0;
  std::vector<Token> tokens_; // by id
  std::vector<tokenization::AddedToken> added_;
  std::unordered_map<std::string, int32_t> special_ids_;
  tokenization::AddedTokenSplitter raw_added_;        // found in the text as it is
  tokenization::AddedTokenSplitter normalized_added_; // and in the normalized text
  std::unique_ptr<const tokenization::Normalizer> normalizer_;
  tokenization::PreTokenizers pre_tokenizers_;
  std::unique_ptr<const tokenization::Bpe> model_;
  tokenization::Decoder decoder_;
  tokenization::PostProcessor post_processor_;
  std::optional<int32_t> bos_;
  std::optional<int32_t> eos_;
  std::optional<int32_t> pad_;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
  std::string fingerprint_;
};

} // namespace anet::io
