// How a model writes down a conversation, and which of its tokens are the assistant's.
#pragma once

#include "base/json.h"
#include "io/jinja/template.h"
#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <ctime>
#include <optional>
#include <span>
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

// Messages are as in JSONL chat records: objects with a "role", and most with a "content".
// Before a template sees them
//   - a content that is a list of {"type": "text", "text": ...} becomes their text, one after the
//     other, because many templates know text alone; other types of parts are refused;
//   - "arguments" of a tool call that are text become the JSON object that the text holds, if it
//     does, because templates print them with tojson.
// A template gets the names messages, tools, documents (None), add_generation_prompt, the special
// tokens by their names (bos_token, ...) and the variables.
//
// Immutable; usable from any thread.
class ChatTemplate {
public:
  // `text` is Jinja. bos_token and eos_token are what the template's names of these stand for; the
  // name of an empty one is undefined.
  ChatTemplate(std::string_view text, std::string bos_token, std::string eos_token);

  // The model's own: chat_template.jinja in `directory` (and additional_chat_templates/
  // tool_use.jinja), else "chat_template" of tokenizer_config.json there: a text, or several with
  // names, of which "default" and, for conversations with tools, "tool_use" serve. Throws
  // not_found, saying where was looked, when it has none; invalid_config for files that do not
  // fit; what jinja::Template throws.
  static ChatTemplate load(const std::string& directory);
  // "chatml", "llama2", "llama3", "zephyr": for models that come without one. They have no place
  // for tools and say so. Throws not_found with the names there are.
  static ChatTemplate built_in(std::string_view name);

  // `messages` and `tools` (null or an array) as in JSONL chat records; `variables` (null or an
  // object) are further names of the template ("enable_thinking"). Throws invalid_data for
  // messages that do not fit, tools for a template that has no place for them, and what the
  // template refuses.
  std::string render(const Json& messages, const Json& tools, bool add_generation_prompt,
                     const Json& variables = {}) const;

  // Renders and encodes; special tokens of the template are parsed, and none is added.
  //
  // A supervised turn begins behind its generation prompt and ends with its first stop token, which
  // is supervised too. A token that is part of both sides of the beginning belongs to the turn. If
  // the template marks the assistant's text with {% generation %}, that is where turns begin, and
  // each must hold or be followed by its stop token.
  //
  // Throws invalid_data when that is not to be had: no assistant turn, a prompt that is no prefix
  // of the whole (the template rewrites earlier turns), a turn that no stop token ends. Work grows
  // with the square of the number of turns, and 1 GiB of text in all is an error.
  MaskedTokens encode(const Tokenizer& tokenizer, std::span<const int32_t> stop_ids,
                      const Json& messages, const Json& tools, Supervision supervision,
                      const Json& variables = {}) const;

  // Whether the text depends on the day (strftime_now), so that two runs may train on different
  // tokens unless the date is set.
  bool uses_date() const;
  // What strftime_now prints from here on; nullopt: the local time of each call.
  void set_date(std::optional<std::tm> date) { date_ = date; }

private:
  struct Conversation;

  const jinja::Template& template_for(const Json& tools) const;
  std::string render_prefix(Conversation& conversation, size_t count, bool add_generation_prompt,
                            std::vector<jinja::RenderedSpan>* generations = nullptr) const;
  Conversation prepare(const Json& messages, const Json& tools, const Json& variables) const;

  struct Turn;
  std::vector<Turn> find_turns(Conversation& conversation, const std::string& text,
                               Supervision supervision) const;
  Turn find_turn(Conversation& conversation, const std::string& text, size_t index) const;
  size_t find_limit(Conversation& conversation, const std::string& text, size_t index) const;

  jinja::Template template_;
  std::optional<jinja::Template> tool_template_;
  Json special_tokens_ = Json::object(); // by the names that templates use
  std::optional<std::tm> date_;
};

} // namespace anet::io
