#include "io/tokenizer/byte_tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

#include <array>

namespace anet::io {

ByteTokenizer::ByteTokenizer(int32_t vocab_size) : vocab_size_(vocab_size) {
  if (vocab_size < unpadded_vocab_size)
    fail(Status::invalid_argument, "expected a vocabulary of at least ", unpadded_vocab_size,
         " tokens for bytes, seen ", vocab_size);
}

bool ByteTokenizer::is_special(int32_t id) const {
  check_id(id);
  return id >= 256;
}

std::optional<int32_t> ByteTokenizer::special_id(std::string_view name) const {
  if (name == "<|bos|>") return bos;
  if (name == "<|eos|>") return eos;
  return std::nullopt;
}

std::span<const std::string> ByteTokenizer::special_names() const {
  static const std::array<std::string, 2> names = {"<|bos|>", "<|eos|>"};
  return names;
}

std::string ByteTokenizer::token_bytes(int32_t id) const {
  if (is_special(id)) return {};
  return std::string(1, static_cast<char>(id));
}

void ByteTokenizer::encode_text(std::string_view text, std::vector<int32_t>& ids) const {
  ids.reserve(ids.size() + text.size());
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
}

std::string ByteTokenizer::fingerprint() const {
  // The padding changes which ids are valid, nothing else that we could leave out.
  return sha256_hex(as_bytes(concat("byte tokenizer, version 1, vocabulary ", vocab_size_)));
}

} // namespace anet::io
