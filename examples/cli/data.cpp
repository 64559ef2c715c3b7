#include "data.h"

#include "text.h"

#include <filesystem>

namespace cli {

bool is_token_file(const std::string& path) {
  return std::filesystem::path(path).extension() == ".bin";
}

Tokenizer open_tokenizer() { return create<Tokenizer>(anet_tokenizer_create_bytes); }

Dataset open_dataset(const std::string& path, const Tokenizer& tokenizer, int32_t sequence_length,
                     int32_t vocab_size, uint64_t seed, bool sequential) {
  auto options = initialised<anet_dataset_options>();
  options.sequence_length = sequence_length;
  options.seed = seed;
  options.sequential = sequential ? 1 : 0;
  if (is_token_file(path)) {
    options.vocab_size = vocab_size;
    return create<Dataset>(anet_dataset_open_tokens, path.c_str(), &options);
  }
  const int32_t needed = anet_tokenizer_vocab_size(tokenizer.get());
  if (vocab_size < needed) {
    throw Failure("text needs a vocabulary of " + std::to_string(needed) + ", the model has " +
                  std::to_string(vocab_size));
  }
  return create<Dataset>(anet_dataset_open_text, path.c_str(), tokenizer.get(), &options);
}

std::string resolve_checkpoint(const std::string& path, anet_checkpoint_choice choice) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(path) || fs::exists(fs::path(path) / "state.json")) return path;
  std::string found(4096, '\0');
  size_t length = 0;
  call(anet_checkpoint_find, path.c_str(), choice, found.data(), found.size(), &length);
  found.resize(length);
  return found;
}

// A vocabulary that the JSON names stays. Throws UsageError for unknown names and keys.
static anet_model_config read_model_config(const std::string& model, const Tokenizer& tokenizer,
                                           bool text) {
  auto config = initialised<anet_model_config>();
  const int32_t text_vocabulary = anet_tokenizer_vocab_size(tokenizer.get());
  try {
    if (!model.empty() && model.front() == '{') {
      if (text) config.vocab_size = text_vocabulary;
      call(anet_model_config_from_json, model.c_str(), &config);
    } else {
      call(anet_model_config_get, model.c_str(), &config);
      if (text) config.vocab_size = text_vocabulary;
    }
  } catch (const Failure& failure) {
    throw UsageError(failure.what());
  }
  return config;
}

// Built-in names win over files of the same name, which can be written ./name.
static bool is_path(const std::string& model) {
  if (!model.empty() && model.front() == '{') return false;
  for (size_t i = 0; i < anet_model_config_count(); ++i) {
    if (model == anet_model_config_name(i)) return false;
  }
  return model.find('/') != std::string::npos || std::filesystem::exists(model);
}

std::optional<anet_model_config> new_model_config(const std::string& model,
                                                  const Tokenizer& tokenizer, bool text) {
  if (is_path(model)) return std::nullopt;
  return read_model_config(model, tokenizer, text);
}

Model load_model(const std::string& path, anet_checkpoint_choice choice) {
  const std::string found = resolve_checkpoint(path, choice);
  return create<Model>(anet_model_load, found.c_str());
}

anet_model_config model_config(const Model& model) {
  auto config = initialised<anet_model_config>();
  call(anet_model_get_config, model.get(), &config);
  return config;
}

} // namespace cli
