// What tokenizer.json may ask for, and what is refused. Expected values are written by hand.
#include "io/tokenizer/hf_tokenizer.h"
#include "io/tokenizer/load_tokenizer.h"
#include "test_files.h"

#include <cstdlib>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::io;
using namespace anet::test;
using Ids = std::vector<int32_t>;

namespace {

// Sections of a file; `vocab` and `merges` are of the model.
struct Parts {
  std::string vocab = R"({"a":0,"b":1,"c":2,"ab":3,"abc":4})";
  std::string merges = R"(["a b",["ab","c"]])";
  std::string model = {};  // further members
  std::string others = {}; // further sections
};

std::string json_of(const Parts& parts) {
  return R"({"version":"1.0","model":{"type":"BPE","vocab":)" + parts.vocab + R"(,"merges":)" +
         parts.merges + (parts.model.empty() ? "" : "," + parts.model) + "}" +
         (parts.others.empty() ? "" : "," + parts.others) + "}";
}

HfTokenizer make(const Parts& parts, int32_t vocab_size = 0) {
  return HfTokenizer(json_of(parts), "test.json", {}, vocab_size);
}

Error refused(const Parts& parts) {
  const std::optional<Error> error = error_of([&] { make(parts); });
  REQUIRE(error);
  return *error;
}

} // namespace

TEST_CASE("pairs merge by rank, from the left") {
  CHECK(make({}).encode("abcab") == Ids{4, 3});
  CHECK(make({}).encode("cba") == Ids{2, 1, 0});
  // "b c" first leaves no "a b"; of equal pairs the left one goes first.
  const Parts parts = {.vocab = R"({"a":0,"b":1,"c":2,"bc":3,"ab":4,"aa":5})",
                       .merges = R"(["b c","a b","a a"])"};
  CHECK(make(parts).encode("abc") == Ids{0, 3});
  CHECK(make(parts).encode("aaa") == Ids{5, 0});
  CHECK(make(parts).encode("aaab") == Ids{5, 4});
}

TEST_CASE("long words merge as short ones do") {
  const Parts parts = {.vocab = R"({"a":0,"b":1,"aa":2,"aaaa":3,"ab":4})",
                       .merges = R"(["a a","aa aa","a b"])"};
  const HfTokenizer tokenizer = make(parts);
  // 4k letters in a row are k tokens; so are rows of other lengths, with the rest behind them.
  for (const size_t length : {3, 39, 40, 41, 42, 43, 4000, 4001, 4002, 4003}) {
    Ids expected(length / 4, 3);
    if (length % 4 >= 2) expected.push_back(2);
    if (length % 2 == 1) expected.push_back(0);
    CHECK(tokenizer.encode(std::string(length, 'a')) == expected);
  }
}

TEST_CASE("characters without a piece") {
  CHECK(make({}).encode("axb") == Ids{3}); // nothing is left of x: a and b meet
  CHECK(make({.model = R"("unk_token":"c")"}).encode("axyb") == Ids{0, 2, 2, 1});
  CHECK(make({.model = R"("unk_token":"c","fuse_unk":true)"}).encode("axyb") == Ids{0, 2, 1});
  const Parts bytes = {.vocab = R"({"a":0,"<0xC3>":1,"<0xA9>":2,"?":3})",
                       .merges = "[]",
                       .model = R"("byte_fallback":true,"unk_token":"?")",
                       .others = R"("decoder":{"type":"ByteFallback"})"};
  const HfTokenizer tokenizer = make(bytes);
  CHECK(tokenizer.encode("a\xC3\xA9z") == Ids{0, 1, 2, 3});
  CHECK(tokenizer.decode(Ids{0, 1, 2}) == "a\xC3\xA9");
  // Bytes that are no character as a whole are all lost, as in the reference.
  CHECK(tokenizer.decode(Ids{1, 2, 1, 0}) == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                                             "a");
  CHECK(tokenizer.token_bytes(1) == "\xC3");
}

TEST_CASE("ranges are bytes of the original text") {
  const Parts parts = {.others = R"("normalizer":{"type":"Sequence","normalizers":[
      {"type":"Replace","pattern":{"String":"xx"},"content":"b"},{"type":"Lowercase"}]})"};
  const Encoding encoding = make(parts).encode_with_ranges("AxxCa");
  CHECK(encoding.ids == Ids{4, 0});
  CHECK((encoding.ranges == std::vector<TextRange>{{0, 4}, {4, 5}}));
  // An invalid byte is U+FFFD to the tokenizer and itself in the text.
  const Parts unknown = {.model = R"("unk_token":"c")"};
  const Encoding broken = make(unknown).encode_with_ranges("a\x80\xE2\x82"
                                                           "b");
  CHECK(broken.ids == Ids{0, 2, 2, 1});
  CHECK((broken.ranges == std::vector<TextRange>{{0, 1}, {1, 2}, {2, 4}, {4, 5}}));
  CHECK(make(unknown).encode("a\xEF\xBF\xBD\xEF\xBF\xBD"
                             "b") == broken.ids);
}

TEST_CASE("what is not supported is refused by name") {
  const auto message = [](const Parts& parts) { return refused(parts).message(); };
  const auto section = [](const std::string& json) { return Parts{.others = json}; };
  CHECK(refused(section(R"("normalizer":{"type":"BertNormalizer"})")).status() ==
        Status::unsupported);
  CHECK(message(section(R"("normalizer":{"type":"Nmt"})"))
            .starts_with("the normalizer 'Nmt' at 'normalizer' is not supported"));
  CHECK(message(section(R"("pre_tokenizer":{"type":"UnicodeScripts"})"))
            .starts_with("the pre-tokenizer 'UnicodeScripts'"));
  CHECK(
      message(section(R"("decoder":{"type":"WordPiece"})")).starts_with("the decoder 'WordPiece'"));
  CHECK(message(section(R"("post_processor":{"type":"BertProcessing"})"))
            .starts_with("the post-processor 'BertProcessing'"));
  CHECK(message({.model = R"("dropout":0.1)"}) ==
        "a dropout at 'model.dropout' is not supported, seen 0.1");
  CHECK(message({.model = R"("continuing_subword_prefix":"##")"}).starts_with("a continuing_sub"));
  CHECK(message({.model = R"("end_of_word_suffix":"</w>")"}).starts_with("a end_of_word_suffix"));
  CHECK(make({.model = R"("dropout":null,"end_of_word_suffix":"")"}).encode("ab") == Ids{3});
  const std::optional<Error> unigram =
      error_of([] { HfTokenizer tokenizer(R"({"model":{"type":"Unigram","vocab":[]}})", "x"); });
  REQUIRE(unigram);
  CHECK(unigram->message() == "the model 'Unigram' at 'model' is not supported: expected BPE");
}

TEST_CASE("files that contradict themselves") {
  const auto message = [](const Parts& parts) { return refused(parts).message(); };
  CHECK(message({.merges = R"(["a x"])"}) ==
        "expected a token of the vocabulary in a merge, seen 'x' at 'model.merges[0]'");
  CHECK(message({.merges = R"(["b c"])"}) ==
        "expected a token of the vocabulary in a merge, seen 'bc' at 'model.merges[0]'");
  CHECK(message({.merges = R"(["a"])"}).starts_with("expected a merge"));
  CHECK(message({.merges = R"([["a"]])"}).starts_with("expected a merge"));
  CHECK(message({.vocab = R"({"a":0,"b":0})", .merges = "[]"}) ==
        "expected an id of its own, seen that of 'a' at 'model.vocab.b'");
  CHECK(message({.vocab = R"({"a":-1})", .merges = "[]"}).starts_with("expected an id from 0"));
  CHECK(
      message({.vocab = R"({"a":4194304})", .merges = "[]"}).starts_with("expected an id from 0"));
  CHECK(message({.vocab = "{}", .merges = "[]"}).starts_with("expected tokens, seen none"));
  CHECK(
      message({.model = R"("unk_token":"zz")"}).starts_with("expected a token of the vocabulary"));
  CHECK(message({.others = R"("added_tokens":[{"id":9,"content":"X"}])"}) ==
        "expected the id 5 for the added token 'X', the next one, seen 9");
  CHECK(message({.others = R"("added_tokens":[{"id":1,"content":"a"}])"}) ==
        "expected the id 0 for the added token 'a', as in the vocabulary, seen 1");
  CHECK(message({.others = R"("added_tokens":[{"id":5,"content":"X"},{"id":5,"content":"Y"}])"})
            .find("seen 5 twice") != std::string::npos);
  CHECK_THROWS_AS(make({}, 4), Error);
}

TEST_CASE("a tokenizer beside its configuration") {
  char folder[] = "/tmp/anet-tokenizer-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = folder;
  const Parts parts = {.others = R"("added_tokens":[{"id":5,"content":"<e>","special":true},
      {"id":6,"content":"<p>","special":true}])"};
  put(path + "/tokenizer.json", json_of(parts));
  CHECK_FALSE(load_tokenizer(path)->eos_id());
  put(path + "/special_tokens_map.json", R"({"eos_token":"<e>","pad_token":"<p>"})");
  CHECK(load_tokenizer(path)->eos_id() == 5);
  put(path + "/tokenizer_config.json", R"({"eos_token":{"content":"<p>"},"bos_token":null})");
  const auto tokenizer = load_tokenizer(path + "/tokenizer.json", 10);
  CHECK(tokenizer->eos_id() == 6);
  CHECK(tokenizer->pad_id() == 6);
  CHECK(tokenizer->vocab_size() == 10);
  put(path + "/tokenizer_config.json", R"({"eos_token":"<x>"})");
  CHECK(message_of([&] { load_tokenizer(path); }) ==
        "expected the eos_token '<x>' in the vocabulary or the added tokens, seen neither");
  CHECK(error_of([&] { load_tokenizer(path + "/none"); })->status() == Status::file_not_found);
  for (const char* name : {"/tokenizer.json", "/special_tokens_map.json", "/tokenizer_config.json"})
    std::remove((path + name).c_str());
  ::rmdir(folder);
}
