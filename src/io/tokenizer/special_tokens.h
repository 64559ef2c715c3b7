// Which tokens begin, end and pad: the files that lie beside a tokenizer.
#pragma once

#include "base/json.h"

#include <optional>
#include <string>

namespace anet::io::tokenization {

struct SpecialTokens {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<std::string> pad;
  // What the configuration says about adding them; Llama's and Gemma's classes obey it.
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
};

// From "tokenizer_config.json" in `directory`, and where that names none "special_tokens_map.json".
// Files that are not there name none.
SpecialTokens read_special_tokens(const std::string& directory);
SpecialTokens read_tokenizer_config(const JsonView& config);

} // namespace anet::io::tokenization
