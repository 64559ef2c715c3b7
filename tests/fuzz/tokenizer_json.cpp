// tokenizer.json from anywhere: a first line with the text to encode, then the file.
#include "base/status.h"
#include "base/utf8.h"
#include "io/tokenizer/hf_tokenizer.h"

#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace anet;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  const std::string_view text = input.substr(0, line);
  const std::string_view json =
      line == std::string_view::npos ? std::string_view() : input.substr(line + 1);
  try {
    const io::HfTokenizer tokenizer(json, "fuzz");
    const io::Encoding encoding = tokenizer.encode_with_ranges(text, {.parse_special = true});
    if (tokenizer.encode(text, {.parse_special = true}) != encoding.ids) std::abort();
    if (encoding.ranges.size() != encoding.ids.size()) std::abort();
    for (const io::TextRange& range : encoding.ranges)
      if (range.begin < 0 || range.begin > range.end ||
          range.end > static_cast<int64_t>(text.size()))
        std::abort();
    io::StreamingDecoder decoder(tokenizer);
    std::string streamed;
    for (const int32_t id : encoding.ids) streamed += decoder.push(id);
    streamed += decoder.flush();
    if (streamed != tokenizer.decode(encoding.ids)) std::abort();
    if (find_invalid_utf8(streamed) != std::string_view::npos) std::abort();
  } catch (const Error&) {
    return 0; // a clear answer
  }
  return 0;
}
