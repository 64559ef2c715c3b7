#include "support.h"

using namespace test;

namespace {

Tokenizer create() {
  anet_tokenizer* tokenizer = nullptr;
  must(anet_tokenizer_create_bytes, &tokenizer);
  return Tokenizer(tokenizer);
}

} // namespace

TEST_CASE("byte tokens are the bytes") {
  const Tokenizer tokenizer = create();
  CHECK(anet_tokenizer_vocab_size(tokenizer.get()) == 258);
  CHECK(anet_tokenizer_bos_id(tokenizer.get()) == 256);
  CHECK(anet_tokenizer_eos_id(tokenizer.get()) == 257);
  int32_t ids[8] = {};
  size_t count = 0;
  must(anet_tokenizer_encode, tokenizer.get(), "Zo\xc3\xab", SIZE_MAX,
       uint32_t{ANET_TOKENIZE_ADD_BOS | ANET_TOKENIZE_ADD_EOS}, ids, size_t{8}, &count);
  REQUIRE(count == 6);
  const int32_t expected[] = {256, 'Z', 'o', 0xc3, 0xab, 257};
  CHECK(std::equal(std::begin(expected), std::end(expected), ids));
  // A length counts; a NUL inside is a byte like any other.
  must(anet_tokenizer_encode, tokenizer.get(), "a\0bc", size_t{3}, uint32_t{0}, ids, size_t{8},
       &count);
  REQUIRE(count == 3);
  CHECK(ids[1] == 0);
  CHECK(ids[2] == 'b');
}

TEST_CASE("encode tells the count and writes nothing that does not fit") {
  const Tokenizer tokenizer = create();
  size_t count = 0;
  must(anet_tokenizer_encode, tokenizer.get(), "hello", SIZE_MAX, uint32_t{0}, nullptr, size_t{0},
       &count);
  CHECK(count == 5);
  int32_t ids[5] = {-1, -1, -1, -1, -1};
  count = 0;
  CHECK(attempt(anet_tokenizer_encode, tokenizer.get(), "hello", SIZE_MAX, uint32_t{0}, ids,
                size_t{4}, &count)
            .status == ANET_E_OUT_OF_RANGE);
  CHECK(count == 5);
  for (int32_t id : ids) CHECK(id == -1);
  must(anet_tokenizer_encode, tokenizer.get(), "hello", SIZE_MAX, uint32_t{0}, ids, size_t{5},
       &count);
  CHECK(ids[4] == 'o');
  CHECK(attempt(anet_tokenizer_encode, tokenizer.get(), "hello", SIZE_MAX, uint32_t{0}, nullptr,
                size_t{5}, &count)
            .status == ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_tokenizer_encode, tokenizer.get(), nullptr, SIZE_MAX, uint32_t{0}, ids,
                size_t{5}, &count)
            .status == ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_tokenizer_encode, tokenizer.get(), "hello", SIZE_MAX, uint32_t{64}, ids,
                size_t{5}, &count)
            .status == ANET_E_UNSUPPORTED_OPTION);
  must(anet_tokenizer_encode, tokenizer.get(), nullptr, size_t{0}, uint32_t{0}, nullptr, size_t{0},
       &count);
  CHECK(count == 0);
}

TEST_CASE("decode gives valid UTF-8") {
  const Tokenizer tokenizer = create();
  const int32_t ids[] = {256, 'h', 0xc3, 0xab, 0xff, 0xe2, 0x82, 257};
  char text[32] = {};
  size_t length = 0;
  must(anet_tokenizer_decode, tokenizer.get(), ids, std::size(ids), text, sizeof(text), &length);
  // The lone 0xff and the unfinished euro sign become U+FFFD each.
  const std::string expected = "h\xc3\xab\xef\xbf\xbd\xef\xbf\xbd";
  CHECK(std::string(text, length) == expected);
  size_t asked = 0;
  must(anet_tokenizer_decode, tokenizer.get(), ids, std::size(ids), nullptr, size_t{0}, &asked);
  CHECK(asked == expected.size());
  std::memset(text, '!', sizeof(text));
  CHECK(attempt(anet_tokenizer_decode, tokenizer.get(), ids, std::size(ids), text,
                expected.size() - 1, &length)
            .status == ANET_E_OUT_OF_RANGE);
  CHECK(text[0] == '!');
}

TEST_CASE("ids outside the vocabulary cannot be decoded") {
  const Tokenizer tokenizer = create();
  char text[8] = {};
  size_t length = 0;
  for (int32_t id : {-1, 258}) {
    const Outcome outcome = attempt(anet_tokenizer_decode, tokenizer.get(), &id, size_t{1}, text,
                                    sizeof(text), &length);
    CHECK(outcome.status == ANET_E_OUT_OF_RANGE);
    CHECK(outcome.says(std::to_string(id)));
  }
}
