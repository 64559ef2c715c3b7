// The text side of a model: its tokenizer, its chat template and the tokens that end a text.
#pragma once

#include "args.h"
#include "handles.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

struct TextFlags {
  std::string tokenizer;     // a path, "bytes", or empty for the model's own
  std::string chat_template; // a built-in name, a path, "none", or empty for the model's own
};
std::vector<Option> text_options(TextFlags& flags);

// What is known of a model's text. Checkpoints keep it as properties, because their folders have
// only weights.
struct TextFacts {
  std::string tokenizer;         // a path, "bytes", or empty
  std::string companion;         // the model folder; empty when there is none
  std::string chat_template;     // as in TextFlags
  std::vector<int32_t> stop_ids; // as the model's files say
  int32_t vocab_size = 0;        // 0: not known
};
// From a loaded model and the path that it was loaded from ("" for a new one).
TextFacts facts_of_model(const Model& model, const std::string& path);
// From a model folder or a checkpoint without loading the weights; from any other file by loading.
TextFacts facts_of_path(const std::string& path);

// What a run keeps in its checkpoints for later ones.
std::map<std::string, std::string> checkpoint_properties(const std::string& path);

struct TextSource {
  Tokenizer tokenizer;           // null when there is none
  std::string tokenizer_path;    // absolute, or "bytes"
  std::string companion;         // absolute, or empty
  ChatTemplate chat;             // null when there is none
  std::string chat_name;         // for TextFlags::chat_template of a later run
  std::string chat_problem;      // why the model's own template cannot be used
  std::vector<int32_t> stop_ids; // that end a text or a turn

  // Throws Failure that tells how to name one.
  const Tokenizer& require_tokenizer() const;
  const ChatTemplate& require_chat() const;
};
// Throws Failure when files are bad or do not fit the model, UsageError for unknown names.
TextSource open_text(const TextFlags& flags, const TextFacts& facts);

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text, uint32_t flags);
// A text to be continued: what the tokenizer puts before texts, but not what it puts behind them.
std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, std::string_view text,
                                   bool parse_special = false);
std::string decode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids);
// Whether special tokens are spelled in a text.
bool spells_special(const Tokenizer& tokenizer, std::string_view text);

// A conversation as tokens that the assistant is to continue. `messages` is a JSON array;
// `variables` a JSON object or empty.
std::vector<int32_t> encode_chat(const TextSource& text, const std::string& messages,
                                 const std::string& variables);
// One user's message, behind a system's if that is not empty.
std::string single_turn(const std::string& system, const std::string& message);

// As "1,2", and back.
std::string join_ids(const std::vector<int32_t>& ids);
std::vector<int32_t> split_ids(const std::string& text);

} // namespace cli
