#include "io/tokenizer/byte_tokenizer.h"

#include "base/random.h"
#include "test_files.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::io;
using namespace anet::test;
using Ids = std::vector<int32_t>;

namespace {

const std::string mark = "\xEF\xBF\xBD";

std::vector<std::string> stream(const Ids& ids) {
  const ByteTokenizer tokenizer;
  StreamingDecoder decoder(tokenizer);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(decoder.push(id));
  pieces.push_back(decoder.flush());
  return pieces;
}

} // namespace

TEST_CASE("bytes are their own ids") {
  const ByteTokenizer tokenizer;
  CHECK(tokenizer.encode("A\xC3\xA9") == Ids{65, 0xC3, 0xA9});
  CHECK(tokenizer.encode("") == Ids{});
  CHECK(tokenizer.encode("a", {.add_bos = true, .add_eos = true}) == Ids{256, 97, 257});
  CHECK(tokenizer.encode("", {.add_bos = true}) == Ids{256});
  CHECK(tokenizer.vocab_size() == 258);
  CHECK(tokenizer.bos_id() == 256);
  CHECK(tokenizer.eos_id() == 257);
  CHECK(tokenizer.decode(Ids{256, 65, 0xC3, 0xA9, 257}) == "A\xC3\xA9");
  CHECK(tokenizer.decode(Ids{65, 0xC3}) == "A" + mark);
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  std::string back;
  for (const int32_t id : tokenizer.encode(every)) back += tokenizer.token_bytes(id);
  CHECK(back == every);
}

TEST_CASE("special tokens are text unless asked for") {
  const ByteTokenizer tokenizer;
  CHECK(tokenizer.encode("<|eos|>").size() == 7);
  CHECK(tokenizer.encode("a<|bos|><|eos|>b<|e", {.parse_special = true}) ==
        Ids{97, 256, 257, 98, '<', '|', 'e'});
  CHECK(tokenizer.is_special(256));
  CHECK_FALSE(tokenizer.is_special(255));
  CHECK(tokenizer.token_bytes(257).empty());
  CHECK(tokenizer.special_id("<|eos|>") == 257);
  CHECK_FALSE(tokenizer.special_id("eos"));
}

TEST_CASE("ids out of the vocabulary are errors, padding is not") {
  const ByteTokenizer tokenizer;
  CHECK(message_of([&] { tokenizer.token_bytes(258); }) ==
        "expected a token id from 0 to 257, seen 258");
  CHECK(error_of([&] { tokenizer.decode(Ids{-1}); })->status() == Status::out_of_range);
  const ByteTokenizer padded(320);
  CHECK(padded.vocab_size() == 320);
  CHECK(padded.is_special(319));
  CHECK(padded.decode(Ids{319, 65}) == "A");
  CHECK(error_of([] { ByteTokenizer small(257); })->status() == Status::invalid_argument);
  CHECK(padded.fingerprint() != tokenizer.fingerprint());
  CHECK(ByteTokenizer(258).fingerprint() == tokenizer.fingerprint());
  CHECK(tokenizer.fingerprint().size() == 64);
}

TEST_CASE("streamed text comes in whole characters") {
  CHECK(stream({0xF0, 0x9F, 0x98, 0x80, 'x'}) ==
        std::vector<std::string>{"", "", "", "\xF0\x9F\x98\x80", "x", ""});
  CHECK(stream({0xE2, 0x82}) == std::vector<std::string>{"", "", mark});
  CHECK(stream({0xE2, 'x'}) == std::vector<std::string>{"", mark + "x", ""});
  CHECK(stream({0x80}) == std::vector<std::string>{mark, ""});
  CHECK(stream({0xE2, 257, 0x82, 0xAC}) ==
        std::vector<std::string>{"", "", "", "\xE2\x82\xAC", ""});
}

TEST_CASE("streamed pieces add up to the decoded whole") {
  const ByteTokenizer tokenizer;
  // Bytes that begin, continue and break characters.
  const int32_t bytes[] = {'a', 0x80, 0xBF, 0xC3, 0xE0, 0xA0, 0xED, 0xF0, 0x90, 0xF4, 0xFF, 257};
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    Ids ids(random.below(12));
    for (int32_t& id : ids) id = bytes[random.below(std::size(bytes))];
    std::string text;
    for (const std::string& piece : stream(ids)) text += piece;
    if (text != tokenizer.decode(ids)) FAIL(round);
  }
}
