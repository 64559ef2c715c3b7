// `generate --chat`: a conversation, one turn a line.
#include "commands.h"
#include "json.h"
#include "text.h"
#include "writer.h"

#include <cstdio>
#include <iostream>
#include <string>
#include <unistd.h>
#include <utility>

namespace cli {
namespace {

class Conversation {
public:
  explicit Conversation(std::string system) : system_(std::move(system)) { reset(); }

  void reset() {
    messages_ = json_array();
    if (!system_.empty()) add("system", system_);
  }
  void add(const char* role, const std::string& content) {
    Json message = json_object();
    json_set(message, "role", role);
    json_set(message, "content", content);
    json_append(messages_, std::move(message));
  }
  void forget_last() {
    cJSON_DeleteItemFromArray(messages_.get(), cJSON_GetArraySize(messages_.get()) - 1);
  }
  std::string text() const { return json_text(messages_.get()); }

private:
  std::string system_;
  Json messages_;
};

int32_t keep_and_show(int32_t, const char* text, size_t length, void* user_data) {
  static_cast<std::string*>(user_data)->append(text, length);
  return write_out({text, length}) ? 0 : 1;
}

// The reply, written as it comes. What was said before Ctrl-C counts as the reply.
std::string reply_to(const Writer& writer, const GenerateConfig& config,
                     const Conversation& conversation) {
  const std::vector<int32_t> prompt =
      encode_chat(writer.text, conversation.text(), config.template_variables);
  const anet_sampling_options sampling = sampling_options(config, writer.text.stop_ids);
  std::string reply;
  const InterruptGuard guard(writer.generator.get());
  auto result = initialised<anet_generation_result>();
  try {
    call(anet_generator_generate, writer.generator.get(), prompt.data(), prompt.size(), &sampling,
         keep_and_show, static_cast<void*>(&reply), nullptr, size_t{0}, &result);
  } catch (const Failure& failure) {
    if (failure.status != ANET_E_CANCELLED) throw;
  }
  std::printf("\n");
  if (config.statistics)
    std::fprintf(stderr, "prompt %llu tokens, %llu written (%s)\n",
                 static_cast<unsigned long long>(result.prompt_tokens),
                 static_cast<unsigned long long>(result.generated_tokens),
                 finish_name(result.finish_reason));
  return reply;
}

void answer(const Writer& writer, const GenerateConfig& config, Conversation& conversation,
            const std::string& message) {
  if (!config.parse_special && spells_special(writer.text.require_tokenizer(), message))
    throw Failure("the message spells a special token, which would forge the conversation's "
                  "structure; --parse-special sends it all the same");
  conversation.add("user", message);
  try {
    conversation.add("assistant", reply_to(writer, config, conversation));
  } catch (const Failure&) {
    conversation.forget_last();
    throw;
  }
}

} // namespace

int run_chat(const GenerateConfig& config) {
  const Writer writer = open_writer(config);
  writer.text.require_chat();
  const bool terminal = isatty(STDIN_FILENO) != 0;
  Conversation conversation(config.system);
  if (terminal) std::printf("/reset forgets the conversation, /quit or Ctrl-D ends it.\n");
  std::string line;
  for (;;) {
    if (terminal) write_out("> ");
    if (!std::getline(std::cin, line) || line == "/quit") break;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    if (line == "/reset") {
      conversation.reset();
      continue;
    }
    try {
      answer(writer, config, conversation, line);
    } catch (const Failure& failure) {
      // At a keyboard one can say something else, or /reset when the context is full.
      if (!terminal) throw;
      std::fprintf(stderr, "%s\n", failure.what());
    }
  }
  return exit_ok;
}

} // namespace cli
