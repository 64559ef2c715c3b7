#include "io/tokenizer/byte_tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

namespace anet::io {
namespace {

constexpr std::string_view special_names[] = {"<|bos|>", "<|eos|>"};

} // namespace

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
  if (name == special_names[0]) return bos;
  if (name == special_names[1]) return eos;
  return std::nullopt;
}

std::string ByteTokenizer::special_name(int32_t id) const {
  return std::string(id == bos ? special_names[0] : id == eos ? special_names[1] : "");
}

std::string ByteTokenizer::token_bytes(int32_t id) const {
  if (is_special(id)) return {};
  return std::string(1, static_cast<char>(id));
}

void ByteTokenizer::encode_text(std::string_view text, bool parse_special,
                                std::vector<int32_t>& ids, std::vector<TextRange>* ranges) const {
  ids.reserve(ids.size() + text.size());
  for (size_t i = 0; i < text.size();) {
    int32_t id = static_cast<unsigned char>(text[i]);
    size_t size = 1;
    if (parse_special && text[i] == '<') {
      for (const std::string_view name : special_names) {
        if (!text.substr(i).starts_with(name)) continue;
        id = special_id(name).value();
        size = name.size();
      }
    }
    ids.push_back(id);
    if (ranges != nullptr)
      ranges->push_back({static_cast<int64_t>(i), static_cast<int64_t>(i + size)});
    i += size;
  }
}

std::string ByteTokenizer::fingerprint() const {
  // The padding changes which ids are valid, nothing else that we could leave out.
  return sha256_hex(as_bytes(concat("byte tokenizer, version 1, vocabulary ", vocab_size_)));
}

} // namespace anet::io
