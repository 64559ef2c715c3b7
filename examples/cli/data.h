// Files of text or token ids as datasets, and names or paths as models and checkpoints.
#pragma once

#include "handles.h"

#include <optional>
#include <string>

namespace cli {

bool is_token_file(const std::string& path); // by its name: .bin

Tokenizer open_tokenizer();

// Text goes through `tokenizer`; ids of a token file must be below `vocab_size`.
Dataset open_dataset(const std::string& path, const Tokenizer& tokenizer, int32_t sequence_length,
                     int32_t vocab_size, uint64_t seed, bool sequential);

// A checkpoint itself, the best or latest one below a root, or a weights file: as a path that
// anet_model_load reads.
std::string resolve_checkpoint(const std::string& path, anet_checkpoint_choice choice);

// The configuration of a built-in name or of a JSON object of anet_model_config's fields; nullopt
// for the path of a model. With text, a built-in configuration gets the tokenizer's vocabulary.
std::optional<anet_model_config> new_model_config(const std::string& model,
                                                  const Tokenizer& tokenizer, bool text);
// From a path as above.
Model load_model(const std::string& path, anet_checkpoint_choice choice);

anet_model_config model_config(const Model& model);

} // namespace cli
