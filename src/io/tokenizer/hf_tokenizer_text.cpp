// Encoding and decoding with a tokenizer.json.
#include "base/status.h"
#include "base/utf8.h"
#include "io/tokenizer/hf_tokenizer.h"
#include "io/tokenizer/unicode.h"

#include <algorithm>

namespace anet::io {

using namespace tokenization;

namespace {

// The text with U+FFFD for what is not UTF-8, and where each of its bytes comes from.
AlignedText valid_text(std::string_view text, bool tracked) {
  AlignedText result;
  result.text.reserve(text.size());
  if (tracked) result.sources.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.substr(at));
    result.text +=
        step.kind == Utf8Step::Kind::valid ? text.substr(at, step.length) : utf8_replacement;
    if (tracked)
      result.sources.resize(result.text.size(),
                            {static_cast<uint32_t>(at), static_cast<uint32_t>(at + step.length)});
    at += step.length;
  }
  return result;
}

// Offset of the character `count` characters behind `at`, at most `end`.
size_t skip_characters(std::string_view text, size_t at, size_t end, size_t count) {
  for (; count > 0 && at < end; --count) at += utf8_step(text.substr(at)).length;
  return std::min(at, end);
}

size_t skip_characters_back(std::string_view text, size_t begin, size_t at, size_t count) {
  for (; count > 0 && at > begin; --count) at = previous_character(text, at);
  return std::max(at, begin);
}

// White space at the ends of a token as the model writes it, in characters.
struct Spaces {
  size_t leading = 0;
  size_t trailing = 0;
};

Spaces count_spaces(std::string_view token) {
  constexpr char32_t byte_level_space = 0x120;
  const auto is_space = [&](size_t at) {
    const char32_t character = character_at(token, at);
    return character == byte_level_space || is_white_space(character);
  };
  Spaces spaces;
  for (size_t at = 0; at < token.size() && is_space(at); at += character_size(token[at]))
    ++spaces.leading;
  for (size_t end = token.size(); end > 0; ++spaces.trailing) {
    end = previous_character(token, end);
    if (!is_space(end)) break;
  }
  return spaces;
}

} // namespace

// One call: the text goes from the added tokens of the raw text to the normalizer, the added tokens
// of the normalized text, the pre-tokenizers and the model, part by part.
class HfTokenizer::Run final {
public:
  Run(const HfTokenizer& tokenizer, std::string_view original, bool parse_special, TokenList tokens)
      : tokenizer_(tokenizer), original_(original), parse_special_(parse_special), tokens_(tokens),
        begin_(tokens.ids.size()) {}

  void encode(const Piece& text) {
    RawSink sink(*this);
    tokenizer_.raw_added_.split(text, parse_special_, sink);
  }

private:
  class WordSink final : public PieceSink {
  public:
    explicit WordSink(Run& run) : run_(run) {}
    void take(const Piece& word) override { run_.word(word); }

  private:
    Run& run_;
  };
  class NormalizedSink final : public AddedTokenSink {
  public:
    explicit NormalizedSink(Run& run) : run_(run) {}
    void text(const Piece& piece) override { run_.normalized(piece); }
    void token(const AddedToken& token, const Piece& piece) override { run_.added(token, piece); }

  private:
    Run& run_;
  };
  class RawSink final : public AddedTokenSink {
  public:
    explicit RawSink(Run& run) : run_(run) {}
    void text(const Piece& piece) override { run_.raw(piece); }
    void token(const AddedToken& token, const Piece& piece) override { run_.added(token, piece); }

  private:
    Run& run_;
  };

  void raw(const Piece& piece) {
    AlignedText changed;
    const Normalizer* normalizer = tokenizer_.normalizer_.get();
    const bool is_changed =
        normalizer != nullptr && normalizer->apply(piece, changed, regex_scratch_);
    NormalizedSink sink(*this);
    tokenizer_.normalized_added_.split(is_changed ? changed.piece() : piece, parse_special_, sink);
  }

  void normalized(const Piece& piece) {
    WordSink sink(*this);
    tokenizer_.pre_tokenizers_.apply(piece, regex_scratch_, sink);
  }

  void word(const Piece& piece) {
    const size_t first = tokens_.ids.size();
    // Pre-tokenizers may have needed to know where they are when nobody else does.
    tokenizer_.model_->encode(piece, bpe_scratch_, tokens_);
    if (tokens_.ranges == nullptr || !tokenizer_.post_processor_.trim_ranges) return;
    for (size_t i = first; i < tokens_.ids.size(); ++i)
      trim(i, tokenizer_.tokens_[static_cast<size_t>(tokens_.ids[i])].piece);
  }

  void added(const AddedToken& token, const Piece& piece) {
    tokens_.ids.push_back(token.id);
    if (tokens_.ranges == nullptr) return;
    tokens_.ranges->push_back(piece.text.empty() ? TextRange{} : piece.range(0, piece.text.size()));
    if (tokenizer_.post_processor_.trim_ranges) trim(tokens_.ids.size() - 1, piece.text);
  }

  // Takes the white space at the ends of a token out of its range.
  void trim(size_t index, std::string_view token) {
    TextRange& range = (*tokens_.ranges)[tokens_.ranges->size() - (tokens_.ids.size() - index)];
    Spaces spaces = count_spaces(token);
    const bool first = index == begin_ || range.begin == 0;
    if (first && tokenizer_.post_processor_.prefix_space && spaces.leading > 0) --spaces.leading;
    const auto begin = static_cast<size_t>(range.begin);
    const auto end = static_cast<size_t>(range.end);
    const size_t new_begin = skip_characters(original_, begin, end, spaces.leading);
    range.begin = static_cast<int64_t>(new_begin);
    range.end =
        static_cast<int64_t>(skip_characters_back(original_, new_begin, end, spaces.trailing));
  }

  const HfTokenizer& tokenizer_;
  std::string_view original_;
  bool parse_special_;
  TokenList tokens_;
  size_t begin_; // ids before ours
  RegexScratch regex_scratch_;
  BpeScratch bpe_scratch_;
};

void HfTokenizer::encode_text(std::string_view text, bool parse_special, std::vector<int32_t>& ids,
                              std::vector<TextRange>* ranges) const {
  const bool tracked = ranges != nullptr || pre_tokenizers_.needs_sources;
  if (tracked && text.size() >= UINT32_MAX)
    fail(Status::out_of_range, "expected a text of less than 4 GiB, seen ", text.size(), " bytes");
  Run run(*this, text, parse_special, {ids, ranges});
  if (!tracked && find_invalid_utf8(text) == std::string_view::npos) return run.encode({text});
  const AlignedText valid = valid_text(text, tracked);
  run.encode(valid.piece());
}

class HfTokenizer::State final : public DecodeState {
public:
  explicit State(const HfTokenizer& tokenizer) : tokenizer_(&tokenizer), run_(tokenizer.decoder_) {}

  void push(int32_t id, std::string& bytes) override {
    if (tokenizer_->is_special(id)) return;
    const Token& token = tokenizer_->tokens_[static_cast<size_t>(id)];
    if (run_.at_start() && tokenizer_->decoder_.first_differs())
      run_.push(tokenizer_->decoder_.decode_piece(token.piece, true), bytes);
    else
      run_.push(token.decoded, bytes);
  }
  void finish(std::string& bytes) override { run_.finish(bytes); }

private:
  const HfTokenizer* tokenizer_;
  Decoder::Run run_;
};

std::unique_ptr<DecodeState> HfTokenizer::start_decoding() const {
  return std::make_unique<State>(*this);
}

} // namespace anet::io
