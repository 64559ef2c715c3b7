// tokenizer.bin from anywhere: two bytes with the vocabulary's size over 259, then the file, which
// is encoded with itself.
#include "base/status.h"
#include "io/tokenizer/llama2_tokenizer.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace anet;
  if (size < 2) return 0;
  const int32_t vocab_size = 259 + data[0] + 256 * (data[1] & 3);
  const auto* begin = reinterpret_cast<const char*>(data);
  const std::string_view text =
      std::string_view(begin, size).substr(std::max<size_t>(size, 64) - 64);
  try {
    const io::Llama2Tokenizer tokenizer(std::as_bytes(std::span(data + 2, size - 2)), "fuzz",
                                        vocab_size);
    const io::Encoding encoding = tokenizer.encode_with_ranges(text);
    if (tokenizer.encode(text) != encoding.ids) std::abort();
    io::StreamingDecoder decoder(tokenizer);
    std::string streamed;
    for (const int32_t id : encoding.ids) streamed += decoder.push(id);
    if (streamed + decoder.flush() != tokenizer.decode(encoding.ids)) std::abort();
  } catch (const Error&) {
    return 0; // a clear answer
  }
  return 0;
}
