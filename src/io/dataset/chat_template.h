// How a model writes down a conversation, and which of its tokens are the assistant's.
#pragma once

#include "base/json.h"
#include "io/jinja/template.h"
#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

// Which tokens a model learns from.
enum class Supervision : int32_t {
  assistant = 0, // every assistant turn, or the completion
  last = 1,      // the last assistant turn alone
  everything = 2,
};

// Token ids and, for each, whether the model learns to predict it.
struct MaskedTokens {
  std::vector<int32_t> ids;
  std::vector<uint8_t> supervised; // 0 or 1
};

// Immutable; usable from any thread.
class ChatTemplate {
public:
  // `text` is Jinja. bos_token and eos_token are what the template's names of these stand for.
  ChatTemplate(std::string_view text, std::string bos_token, std::string eos_token);

  // The model's own: chat_template.jinja in `directory`, else "chat_template" of
  // tokenizer_config.json there. Throws not_found, saying where was looked, when it has none.
  static ChatTemplate load(const std::string& directory);
  // "chatml", "llama2", "llama3", "zephyr": for models that come without one. Throws not_found with
  // the names there are.
  static ChatTemplate built_in(std::string_view name);

  // `messages` and `tools` (null or an array) as in JSONL chat records; `variables` (null or an
  // object) are further names of the template ("enable_thinking").
  std::string render(const Json& messages, const Json& tools, bool add_generation_prompt,
                     const Json& variables = {}) const;

  // Renders and encodes. A supervised turn begins behind its generation prompt and ends with its
  // first stop token, which is supervised too. Throws invalid_data when that is not to be had: no
  // assistant turn, a prompt that is no prefix of the whole (the template rewrites earlier
  // turns), a turn that no stop token ends.
  MaskedTokens encode(const Tokenizer& tokenizer, std::span<const int32_t> stop_ids,
                      const Json& messages, const Json& tools, Supervision supervision,
                      const Json& variables = {}) const;

private:
  jinja::Template template_;
  std::string bos_token_;
  std::string eos_token_;
};

} // namespace anet::io
