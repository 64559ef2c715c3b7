// Names and paths as models and checkpoints.
#pragma once

#include "handles.h"

#include <optional>
#include <string>

namespace cli {

bool is_token_file(const std::string& path); // by its name: .bin or .tokens

bool has_checkpoints(const std::string& path); // a folder of them

// The best or latest checkpoint of a folder of checkpoints; any other path as it is.
std::string resolve_checkpoint(const std::string& path, anet_checkpoint_choice choice);

// The configuration of a built-in name or of a JSON object of anet_model_config's fields; nullopt
// for the path of a model. Unless the JSON names a vocabulary it is `vocab_size`, if that is not 0.
std::optional<anet_model_config> new_model_config(const std::string& model, int32_t vocab_size);
// Shows the progress, and warnings of the file, on the standard error. `path` as above.
// With `quantize` its matrices are compressed as they are read.
Model load_model(const std::string& path, anet_checkpoint_choice choice, bool warn = true,
                 const anet_quantize_options* quantize = nullptr);

anet_model_config model_config(const Model& model);

} // namespace cli
