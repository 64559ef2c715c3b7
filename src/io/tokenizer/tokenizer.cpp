#include "io/tokenizer/tokenizer.h"

#include "base/status.h"
#include "base/utf8.h"

namespace anet::io {
namespace {

int32_t required_id(std::optional<int32_t> id, std::string_view name) {
  if (!id) fail(Status::invalid_argument, "this tokenizer has no ", name, " token to add");
  return *id;
}

// Each token's bytes as they are.
class PlainDecodeState final : public DecodeState {
public:
  explicit PlainDecodeState(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  void push(int32_t id, std::string& bytes) override { bytes += tokenizer_->token_bytes(id); }
  void finish(std::string&) override {}

private:
  const Tokenizer* tokenizer_;
};

} // namespace

void Tokenizer::encode_whole(std::string_view text, const EncodeOptions& options,
                             std::vector<int32_t>& ids, std::vector<TextRange>* ranges) const {
  const auto add = [&](std::optional<int32_t> id, std::string_view name, size_t place) {
    ids.push_back(required_id(id, name));
    const auto offset = static_cast<int64_t>(place);
    if (ranges != nullptr) ranges->push_back({offset, offset});
  };
  if (options.add_bos) add(bos_id(), "beginning-of-sequence", 0);
  if (!text.empty()) encode_text(text, options.parse_special, ids, ranges);
  if (options.add_eos) add(eos_id(), "end-of-sequence", text.size());
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  encode_whole(text, options, ids, nullptr);
  return ids;
}

Encoding Tokenizer::encode_with_ranges(std::string_view text, const EncodeOptions& options) const {
  Encoding encoding;
  encode_whole(text, options, encoding.ids, &encoding.ranges);
  return encoding;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  const std::unique_ptr<DecodeState> state = start_decoding();
  for (const int32_t id : ids) state->push(id, bytes);
  state->finish(bytes);
  return replace_invalid_utf8(bytes);
}

std::unique_ptr<DecodeState> Tokenizer::start_decoding() const {
  return std::make_unique<PlainDecodeState>(*this);
}

void Tokenizer::check_id(int32_t id) const {
  if (id < 0 || id >= vocab_size())
    fail(Status::out_of_range, "expected a token id from 0 to ", vocab_size() - 1, ", seen ", id);
}

std::string StreamingDecoder::push(int32_t id) {
  if (!state_) state_ = tokenizer_->start_decoding();
  state_->push(id, pending_);
  std::string text;
  std::string_view left = pending_;
  while (!left.empty()) {
    const Utf8Step step = utf8_step(left);
    if (step.kind == Utf8Step::Kind::incomplete) break;
    text += step.kind == Utf8Step::Kind::valid ? left.substr(0, step.length) : utf8_replacement;
    left.remove_prefix(step.length);
  }
  pending_.erase(0, pending_.size() - left.size());
  return text;
}

void StreamingDecoder::prime(std::span<const int32_t> ids) {
  for (const int32_t id : ids) push(id);
}

std::string StreamingDecoder::flush() {
  if (state_) state_->finish(pending_);
  std::string text = replace_invalid_utf8(pending_);
  state_.reset();
  pending_.clear();
  return text;
}

} // namespace anet::io
