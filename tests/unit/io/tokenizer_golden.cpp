// Small tokenizers of each family against what `tokenizers` and SentencePiece made of some hundred
// texts: tests/golden/tokenizer/make_golden.py wrote the files.
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "io/tokenizer/hf_tokenizer.h"
#include "io/tokenizer/llama2_tokenizer.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::io;

namespace {

const std::string folder = "tests/golden/tokenizer/";

struct GoldenText {
  std::string bytes;
  Encoding encoding;
  std::string decoded;
};

// Bytes are written as the characters of their numbers.
std::string from_latin1(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
    } else {
      ++i;
      bytes += static_cast<char>((lead & 3) << 6 | (static_cast<unsigned char>(text[i]) & 0x3F));
    }
  }
  return bytes;
}

std::vector<GoldenText> read_texts(const std::string& name) {
  const Json json = Json::parse(read_file(folder + name + ".texts.json"));
  const JsonView list(json);
  std::vector<GoldenText> texts;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonView item = list.at(i);
    GoldenText text;
    text.bytes = from_latin1(item.at("text").string());
    text.decoded = item.at("decoded").string();
    for (const int64_t id : item.at("ids").integers())
      text.encoding.ids.push_back(static_cast<int32_t>(id));
    if (const auto ranges = item.find("ranges"))
      for (size_t k = 0; k < ranges->size(); ++k) {
        const std::vector<int64_t> pair = ranges->at(k).integers();
        text.encoding.ranges.push_back({pair.at(0), pair.at(1)});
      }
    texts.push_back(std::move(text));
  }
  return texts;
}

std::unique_ptr<const Tokenizer> load(const std::string& name, int32_t vocab_size = 0) {
  const Json config = Json::parse(read_file(folder + name + ".config.json"));
  return std::make_unique<HfTokenizer>(read_file(folder + name + ".tokenizer.json"), name,
                                       tokenization::read_tokenizer_config(JsonView(config)),
                                       vocab_size);
}

std::string stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  StreamingDecoder decoder(tokenizer);
  std::string text;
  for (const int32_t id : ids) {
    const std::string piece = decoder.push(id);
    CHECK(find_invalid_utf8(piece) == std::string::npos);
    text += piece;
  }
  return text + decoder.flush();
}

// Tokens around the text are empty: where is a matter of taste.
std::vector<TextRange> without_empty(std::vector<TextRange> ranges) {
  for (TextRange& range : ranges)
    if (range.begin == range.end) range = {};
  return ranges;
}

void check_family(const std::string& name, size_t least) {
  const auto tokenizer = load(name);
  const std::vector<GoldenText> texts = read_texts(name);
  REQUIRE(texts.size() >= least);
  const EncodeOptions options = {
      .add_bos = tokenizer->adds_bos(), .add_eos = tokenizer->adds_eos(), .parse_special = true};
  for (const GoldenText& text : texts) {
    CAPTURE(text.bytes);
    CHECK(tokenizer->encode(text.bytes, options) == text.encoding.ids);
    const Encoding encoding = tokenizer->encode_with_ranges(text.bytes, options);
    CHECK(encoding.ids == text.encoding.ids);
    CHECK((without_empty(encoding.ranges) == text.encoding.ranges));
    CHECK(tokenizer->decode(encoding.ids) == text.decoded);
    CHECK(stream(*tokenizer, encoding.ids) == text.decoded);
  }
}

} // namespace

TEST_CASE("Qwen's tokenizer agrees with the reference") { check_family("qwen", 150); }
TEST_CASE("SmolLM2's tokenizer agrees with the reference") { check_family("smollm2", 150); }
TEST_CASE("Llama 3's tokenizer agrees with the reference") { check_family("llama3", 150); }
TEST_CASE("Llama 2's tokenizer agrees with the reference") { check_family("llama2", 150); }
TEST_CASE("every other option agrees with the reference") { check_family("variant", 150); }

TEST_CASE("tokenizer.bin agrees with SentencePiece") {
  const std::string data = read_file(folder + "llama2c.tokenizer.bin");
  const Llama2Tokenizer tokenizer(as_bytes(data), "tokenizer.bin", 1100);
  const std::vector<GoldenText> texts = read_texts("llama2c");
  REQUIRE(texts.size() >= 100);
  for (const GoldenText& text : texts) {
    CAPTURE(text.bytes);
    CHECK(tokenizer.encode(text.bytes) == text.encoding.ids);
    CHECK(tokenizer.decode(text.encoding.ids) == text.decoded);
    CHECK(stream(tokenizer, text.encoding.ids) == text.decoded);
  }
}

TEST_CASE("special tokens of the families") {
  const auto llama3 = load("llama3");
  CHECK(llama3->adds_bos());
  CHECK_FALSE(llama3->adds_eos());
  CHECK(llama3->bos_id() == llama3->special_id("<|begin_of_text|>"));
  CHECK(llama3->eos_id() == llama3->special_id("<|eot_id|>"));
  CHECK_FALSE(llama3->pad_id());
  const auto qwen = load("qwen");
  CHECK_FALSE(qwen->bos_id());
  CHECK_FALSE(qwen->adds_bos());
  CHECK(qwen->pad_id() == qwen->special_id("<|endoftext|>"));
  // Not special: recognised without being asked for, and part of the text.
  const std::vector<int32_t> call = qwen->encode("<tool_call>");
  REQUIRE(call.size() == 1);
  CHECK_FALSE(qwen->is_special(call[0]));
  CHECK_FALSE(qwen->special_id("<tool_call>"));
  CHECK(qwen->decode(call) == "<tool_call>");
  CHECK(qwen->encode("<|im_end|>").size() > 1);
  CHECK(qwen->encode("<|im_end|>", {.parse_special = true}) ==
        std::vector<int32_t>{qwen->eos_id().value()});
  const auto llama2 = load("llama2");
  CHECK(llama2->bos_id() == 1);
  CHECK(llama2->eos_id() == 2);
  CHECK(llama2->adds_bos());
}

TEST_CASE("ids behind the last token are padding") {
  const auto qwen = load("qwen");
  const auto padded = load("qwen", 1024);
  CHECK(padded->vocab_size() == 1024);
  CHECK(padded->is_special(1023));
  CHECK(padded->decode(std::vector<int32_t>{1023, 0}) == qwen->decode(std::vector<int32_t>{0}));
  CHECK(padded->fingerprint() != qwen->fingerprint());
  CHECK(load("qwen")->fingerprint() == qwen->fingerprint());
  CHECK(load("smollm2")->fingerprint() != qwen->fingerprint());
  CHECK_THROWS_AS(load("qwen", 500), Error);
}

TEST_CASE("a continuation keeps the space that a text's beginning loses") {
  const auto llama2 = load("llama2");
  const std::vector<int32_t> prompt = llama2->encode("the");
  const std::vector<int32_t> rest = llama2->encode("next");
  StreamingDecoder fresh(*llama2);
  StreamingDecoder primed(*llama2);
  primed.prime(prompt);
  std::string first;
  std::string continued;
  for (const int32_t id : rest) {
    first += fresh.push(id);
    continued += primed.push(id);
  }
  CHECK(first + fresh.flush() == "next");
  CHECK(continued + primed.flush() == " next");
}
