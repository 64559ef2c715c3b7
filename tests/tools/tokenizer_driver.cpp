// Encodes and decodes for the checks against other tokenizers, which are written in Python.
//   tokenizer_driver TOKENIZER [VOCAB_SIZE] < requests > answers
//   tokenizer_driver --time ROUNDS TOKENIZER < requests   prints the fastest round as JSON
// A request is a u32 of flags, a u32 size and the bytes of a text; an answer a u32 count, the i32
// ids, with flag 4 the ranges as pairs of i64, and the decoded text as a u32 size and its bytes.
// With flag 8 the bytes are i32 ids to decode: the answer is the text, and the text as streamed.
// Flags: 1 adds what the tokenizer itself would, 2 parses special tokens, 4 gives ranges.
// An error is the count UINT32_MAX and the message. Numbers are little-endian.
#include "base/status.h"
#include "io/tokenizer/load_tokenizer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace anet;

enum Flags : uint32_t { add_special = 1, parse_special = 2, want_ranges = 4, decode_ids = 8 };

bool read_exactly(void* data, size_t size) { return std::fread(data, 1, size, stdin) == size; }

template <typename T>
void write_values(const T* data, size_t count) {
  std::fwrite(data, sizeof(T), count, stdout);
}

void write_text(const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  write_values(&size, 1);
  write_values(text.data(), text.size());
}

void answer_text(const io::Tokenizer& tokenizer, uint32_t flags, const std::string& text) {
  const bool add = (flags & add_special) != 0;
  const io::EncodeOptions options = {.add_bos = add && tokenizer.adds_bos(),
                                     .add_eos = add && tokenizer.adds_eos(),
                                     .parse_special = (flags & parse_special) != 0};
  io::Encoding encoding;
  encoding.ids = tokenizer.encode(text, options);
  if ((flags & want_ranges) != 0) {
    const std::vector<int32_t> ids = encoding.ids;
    encoding = tokenizer.encode_with_ranges(text, options);
    if (encoding.ids != ids || encoding.ranges.size() != ids.size())
      fail(Status::internal, "ids with and without ranges differ");
  }
  const std::string decoded = tokenizer.decode(encoding.ids);
  const auto count = static_cast<uint32_t>(encoding.ids.size());
  write_values(&count, 1);
  write_values(encoding.ids.data(), count);
  write_values(encoding.ranges.data(), encoding.ranges.size());
  write_text(decoded);
}

void answer_ids(const io::Tokenizer& tokenizer, const std::string& bytes) {
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  const std::string whole = tokenizer.decode(ids);
  io::StreamingDecoder decoder(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += decoder.push(id);
  streamed += decoder.flush();
  write_text(whole);
  write_text(streamed);
}

void answer_error(const std::string& message) {
  const uint32_t mark = UINT32_MAX;
  write_values(&mark, 1);
  write_text(message);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Encodes all texts in each round.
void time_encoding(int rounds, const char* path) {
  const auto load_start = std::chrono::steady_clock::now();
  const auto tokenizer = io::load_tokenizer(path);
  const double load = seconds_since(load_start);
  std::vector<std::string> texts;
  uint32_t head[2];
  while (read_exactly(head, sizeof(head))) {
    texts.emplace_back(head[1], '\0');
    if (!read_exactly(texts.back().data(), head[1])) fail(Status::io, "expected a whole request");
  }
  double best = 1e30;
  size_t tokens = 0;
  for (int round = 0; round < rounds; ++round) {
    tokens = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const std::string& text : texts) tokens += tokenizer->encode(text).size();
    best = std::min(best, seconds_since(start));
  }
  std::printf("{\"seconds\": %.6f, \"tokens\": %zu, \"load\": %.4f}\n", best, tokens, load);
}

} // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::strcmp(argv[1], "--time") == 0) {
      time_encoding(std::atoi(argv[2]), argv[3]); // NOLINT
      return 0;
    }
    if (argc < 2) fail(Status::invalid_argument, "expected a tokenizer");
    const auto tokenizer = io::load_tokenizer(argv[1], argc > 2 ? std::atoi(argv[2]) : 0); // NOLINT
    uint32_t head[2]; // flags, size
    while (read_exactly(head, sizeof(head))) {
      std::string text(head[1], '\0');
      if (!read_exactly(text.data(), text.size())) fail(Status::io, "expected a whole request");
      try {
        if ((head[0] & decode_ids) != 0)
          answer_ids(*tokenizer, text);
        else
          answer_text(*tokenizer, head[0], text);
      } catch (const Error& error) {
        answer_error(error.message());
      }
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
    return 1;
  }
  return 0;
}
