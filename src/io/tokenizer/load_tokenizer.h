// Tokenizers from files.
#pragma once

#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <memory>
#include <string>

namespace anet::io {

// tokenizer.json or llama2.c's tokenizer.bin, told apart by their content; `path` may be the
// directory that holds one. Which tokens begin, end and pad a text comes from
// tokenizer_config.json and special_tokens_map.json beside a tokenizer.json. `vocab_size` is the
// model's: ids behind the last token are padding. 0 where there is no model, which tokenizer.bin
// needs. Throws file_not_found, io, invalid_config, unsupported.
std::unique_ptr<const Tokenizer> load_tokenizer(const std::string& path, int32_t vocab_size = 0);

} // namespace anet::io
