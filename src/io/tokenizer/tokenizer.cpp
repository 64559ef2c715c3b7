#include "io/tokenizer/tokenizer.h"

#include "base/status.h"
#include "base/utf8.h"

#include <algorithm>

namespace anet::io {
namespace {

int32_t required_id(std::optional<int32_t> id, std::string_view name) {
  if (!id) fail(Status::invalid_argument, "this tokenizer has no ", name, " token to add");
  return *id;
}

} // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  if (options.add_bos) ids.push_back(required_id(bos_id(), "beginning-of-sequence"));
  const std::span<const std::string> names =
      options.parse_special ? special_names() : std::span<const std::string>();
  size_t begin = 0; // of the text that is not encoded yet
  for (size_t i = 0; !names.empty() && i < text.size();) {
    const auto name = std::find_if(names.begin(), names.end(), [&](const std::string& candidate) {
      return text.substr(i).starts_with(candidate);
    });
    if (name == names.end()) {
      ++i;
      continue;
    }
    if (i > begin) encode_text(text.substr(begin, i - begin), ids);
    ids.push_back(special_id(*name).value());
    i += name->size();
    begin = i;
  }
  if (begin < text.size()) encode_text(text.substr(begin), ids);
  if (options.add_eos) ids.push_back(required_id(eos_id(), "end-of-sequence"));
  return ids;
}

std::string Tokenizer::decode_bytes(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) bytes += token_bytes(id);
  return bytes;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  return replace_invalid_utf8(decode_bytes(ids));
}

void Tokenizer::check_id(int32_t id) const {
  if (id < 0 || id >= vocab_size())
    fail(Status::out_of_range, "expected a token id from 0 to ", vocab_size() - 1, ", seen ", id);
}

std::string StreamingDecoder::push(int32_t id) {
  pending_ += tokenizer_->token_bytes(id);
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

std::string StreamingDecoder::flush() {
  std::string text = replace_invalid_utf8(pending_);
  pending_.clear();
  return text;
}

} // namespace anet::io
