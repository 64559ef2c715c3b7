#include "capi/tokenizer.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "io/tokenizer/byte_tokenizer.h"
#include "io/tokenizer/load_tokenizer.h"

#include <algorithm>

namespace anet::capi {

namespace {

constexpr int32_t no_token = -1;

io::EncodeOptions read_flags(const io::Tokenizer& tokenizer, uint32_t flags) {
  constexpr uint32_t added = ANET_TOKENIZE_ADD_BOS | ANET_TOKENIZE_ADD_EOS;
  constexpr uint32_t known = added | ANET_TOKENIZE_PARSE_SPECIAL | ANET_TOKENIZE_AS_TRAINED;
  if ((flags & ~known) != 0)
    fail(Status::unsupported_option, "expected flags among ", known, ", seen ", flags);
  const bool as_trained = (flags & ANET_TOKENIZE_AS_TRAINED) != 0;
  if (as_trained && (flags & added) != 0)
    fail(Status::unsupported_option,
         "expected ANET_TOKENIZE_AS_TRAINED without the flags that add "
         "bos or eos, seen ",
         flags);
  return {.add_bos = as_trained ? tokenizer.adds_bos() : (flags & ANET_TOKENIZE_ADD_BOS) != 0,
          .add_eos = as_trained ? tokenizer.adds_eos() : (flags & ANET_TOKENIZE_ADD_EOS) != 0,
          .parse_special = (flags & ANET_TOKENIZE_PARSE_SPECIAL) != 0};
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_tokenizer_create_bytes(anet_tokenizer** tokenizer, anet_error** error) {
  return guard_create(tokenizer, "tokenizer", error, [] {
    return std::make_unique<anet_tokenizer>(std::make_unique<const anet::io::ByteTokenizer>());
  });
}

anet_status anet_tokenizer_load(const char* path, int32_t vocab_size, anet_tokenizer** tokenizer,
                                anet_error** error) {
  return guard_create(tokenizer, "tokenizer", error, [&] {
    return std::make_unique<anet_tokenizer>(
        anet::io::load_tokenizer(read_path(path, "path"), vocab_size));
  });
}

const char* anet_tokenizer_fingerprint(const anet_tokenizer* tokenizer) {
  return is_valid(tokenizer) ? tokenizer->fingerprint.c_str() : "";
}

anet_status anet_tokenizer_find_special(const anet_tokenizer* tokenizer, const char* name,
                                        int32_t* id, anet_error** error) {
  return guard(error, [&] {
    const anet_tokenizer& handle = check_handle(tokenizer, "tokenizer");
    int32_t& target = require(id, "id");
    const std::string wanted = read_string(name, "name");
    const auto found = handle.tokenizer->special_id(wanted);
    if (!found)
      anet::fail(anet::Status::not_found, "expected the name of a special token, seen '", wanted,
                 "'");
    target = *found;
  });
}

int32_t anet_tokenizer_vocab_size(const anet_tokenizer* tokenizer) {
  return is_valid(tokenizer) ? tokenizer->tokenizer->vocab_size() : 0;
}

int32_t anet_tokenizer_bos_id(const anet_tokenizer* tokenizer) {
  return is_valid(tokenizer) ? tokenizer->tokenizer->bos_id().value_or(no_token) : no_token;
}

int32_t anet_tokenizer_eos_id(const anet_tokenizer* tokenizer) {
  return is_valid(tokenizer) ? tokenizer->tokenizer->eos_id().value_or(no_token) : no_token;
}

anet_status anet_tokenizer_encode(const anet_tokenizer* tokenizer, const char* text, size_t length,
                                  uint32_t flags, int32_t* ids, size_t capacity, size_t* count,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_tokenizer& handle = check_handle(tokenizer, "tokenizer");
    require(count, "count");
    const auto result = handle.tokenizer->encode(read_text(text, length, "text"),
                                                 read_flags(*handle.tokenizer, flags));
    if (check_capacity(result.size(), ids, capacity, count, "ids"))
      std::copy(result.begin(), result.end(), ids);
  });
}

anet_status anet_tokenizer_encode_ranges(const anet_tokenizer* tokenizer, const char* text,
                                         size_t length, uint32_t flags, int32_t* ids,
                                         anet_text_range* ranges, size_t capacity, size_t* count,
                                         anet_error** error) {
  return guard(error, [&] {
    const anet_tokenizer& handle = check_handle(tokenizer, "tokenizer");
    require(count, "count");
    const auto result = handle.tokenizer->encode_with_ranges(read_text(text, length, "text"),
                                                             read_flags(*handle.tokenizer, flags));
    if (!check_capacity(result.ids.size(), ids, capacity, count, "ids")) return;
    const auto targets = read_array(ranges, result.ids.size(), "ranges");
    std::copy(result.ids.begin(), result.ids.end(), ids);
    std::transform(result.ranges.begin(), result.ranges.end(), targets.begin(),
                   [](const auto& range) {
                     return anet_text_range{range.begin, range.end};
                   });
  });
}

anet_status anet_tokenizer_decode(const anet_tokenizer* tokenizer, const int32_t* ids,
                                  size_t id_count, char* text, size_t capacity, size_t* length,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_tokenizer& handle = check_handle(tokenizer, "tokenizer");
    require(length, "length");
    const std::string result = handle.tokenizer->decode(read_array(ids, id_count, "ids"));
    if (check_capacity(result.size(), text, capacity, length, "text"))
      std::copy(result.begin(), result.end(), text);
  });
}

void anet_tokenizer_retain(anet_tokenizer* tokenizer) { retain_handle(tokenizer); }

void anet_tokenizer_release(anet_tokenizer* tokenizer) { release_handle(tokenizer); }
