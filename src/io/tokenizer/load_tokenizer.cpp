#include "io/tokenizer/load_tokenizer.h"

#include "base/file.h"
#include "base/status.h"
#include "io/tokenizer/hf_tokenizer.h"
#include "io/tokenizer/limits.h"
#include "io/tokenizer/llama2_tokenizer.h"
#include "io/tokenizer/special_tokens.h"

#include <string_view>

namespace anet::io {
namespace {

// JSON begins with a brace and has no NUL, which any score or length of a small file has.
bool is_json(std::string_view data) {
  const size_t begin = data.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && data[begin] == '{' &&
         data.substr(0, begin + 4).find('\0') == std::string_view::npos;
}

// The file, if `path` is the directory around it.
std::string find_file(const std::string& path) {
  for (const char* name : {"tokenizer.json", "tokenizer.bin"})
    if (std::string file = join_path(path, name); path_exists(file)) return file;
  return path;
}

} // namespace

std::unique_ptr<const Tokenizer> load_tokenizer(const std::string& path, int32_t vocab_size) {
  if (vocab_size < 0)
    fail(Status::invalid_argument, "expected a vocabulary size of 0 or more, seen ", vocab_size);
  const std::string file = find_file(path);
  const std::string data = read_file(file, static_cast<int64_t>(tokenization::max_tokenizer_size));
  if (is_json(data))
    return std::make_unique<HfTokenizer>(
        data, file, tokenization::read_special_tokens(parent_directory(file)), vocab_size);
  if (vocab_size == 0)
    fail(Status::invalid_argument, "expected the model's vocabulary size to read ", file,
         ", which does not tell its own");
  return std::make_unique<Llama2Tokenizer>(as_bytes(data), file, vocab_size);
}

} // namespace anet::io
