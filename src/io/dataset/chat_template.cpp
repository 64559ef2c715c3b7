#include "io/dataset/chat_template.h"

#include "base/status.h"

#include <algorithm>
#include <array>
#include <utility>

namespace anet::io {
namespace {

// All texts that the prompts of one conversation take; see encode().
constexpr size_t most_rendered_bytes = size_t{1} << 30;

std::string place(size_t index) { return concat("message ", index + 1); }

// The text of a content that is a list of parts.
Json joined_parts(const Json::Array& parts, size_t index) {
  std::string text;
  for (const Json& part : parts) {
    const Json* type = part.find("type");
    const std::string* type_name = type == nullptr ? nullptr : type->if_string();
    const Json* content = part.find("text");
    const std::string* content_text = content == nullptr ? nullptr : content->if_string();
    if (type_name != nullptr && *type_name != "text")
      fail(Status::invalid_data, "expected parts of type 'text' in ", place(index), ", seen '",
           type_name->substr(0, 40), "'");
    if (type_name == nullptr || content_text == nullptr)
      fail(Status::invalid_data, "expected parts with a type and a text in ", place(index));
    text += *content_text;
  }
  return Json(std::move(text));
}

// The object that a text holds; the text itself if it holds none.
Json parsed_arguments(const std::string& text) {
  try {
    Json parsed = Json::parse(text, "arguments", Status::invalid_data);
    if (parsed.kind() == Json::Kind::object) return parsed;
  } catch (const Error&) {
    // Some data has arguments in another language.
  }
  return Json(text);
}

Json normalized_call(const Json& call) {
  Json result = call;
  const Json* arguments = call.find("arguments");
  if (arguments != nullptr && arguments->if_string() != nullptr)
    result.set("arguments", parsed_arguments(*arguments->if_string()));
  const Json* function = call.find("function");
  if (function != nullptr && function->kind() == Json::Kind::object)
    result.set("function", normalized_call(*function));
  return result;
}

Json normalized_message(const Json& message, size_t index) {
  if (message.kind() != Json::Kind::object)
    fail(Status::invalid_data, "expected an object as ", place(index), ", seen ",
         json_kind_name(message.kind()));
  const Json* role = message.find("role");
  if (role == nullptr || role->if_string() == nullptr)
    fail(Status::invalid_data, "expected a text as 'role' of ", place(index), ", seen ",
         role == nullptr ? "none" : json_kind_name(role->kind()));
  Json result = message;
  const Json* content = message.find("content");
  if (content != nullptr && content->if_array() != nullptr)
    result.set("content", joined_parts(*content->if_array(), index));
  const Json* calls = message.find("tool_calls");
  if (calls != nullptr && calls->if_array() != nullptr) {
    Json normalized = Json::array();
    for (const Json& call : *calls->if_array())
      normalized.push_back(call.kind() == Json::Kind::object ? normalized_call(call) : call);
    result.set("tool_calls", std::move(normalized));
  }
  return result;
}

bool has_tools(const Json& tools) {
  return tools.if_array() != nullptr && !tools.if_array()->empty();
}

bool is_assistant(const Json& message) {
  const Json* role = message.find("role");
  return role != nullptr && role->if_string() != nullptr && *role->if_string() == "assistant";
}

size_t common_prefix(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first -
      a.begin());
}

} // namespace

// What a template is rendered with, and what that has cost so far.
struct ChatTemplate::Conversation {
  Json::Array messages;
  Json tools;
  Json context; // everything but the messages
  size_t rendered_bytes = 0;
};

struct ChatTemplate::Turn {
  size_t message = 0;
  size_t begin = 0; // of its text
  size_t limit = 0; // its stop token begins before
};

ChatTemplate::ChatTemplate(std::string_view text, std::string bos_token, std::string eos_token)
    : template_(text) {
  if (!bos_token.empty()) special_tokens_.set("bos_token", std::move(bos_token));
  if (!eos_token.empty()) special_tokens_.set("eos_token", std::move(eos_token));
}

bool ChatTemplate::uses_date() const {
  return template_.uses_date() || (tool_template_ && tool_template_->uses_date());
}

const jinja::Template& ChatTemplate::template_for(const Json& tools) const {
  return has_tools(tools) && tool_template_ ? *tool_template_ : template_;
}

ChatTemplate::Conversation ChatTemplate::prepare(const Json& messages, const Json& tools,
                                                 const Json& variables) const {
  const Json::Array* given = messages.if_array();
  if (given == nullptr)
    fail(Status::invalid_data, "expected an array of messages, seen ",
         json_kind_name(messages.kind()));
  if (!tools.is_null() && tools.if_array() == nullptr)
    fail(Status::invalid_data, "expected an array of tools, seen ", json_kind_name(tools.kind()));
  if (has_tools(tools) && !template_for(tools).mentions("tools"))
    fail(Status::invalid_data, "the chat template has no place for tools, seen ",
         tools.if_array()->size());
  if (!variables.is_null() && variables.if_object() == nullptr)
    fail(Status::invalid_argument, "expected an object of variables, seen ",
         json_kind_name(variables.kind()));
  Conversation conversation;
  conversation.messages.reserve(given->size());
  for (size_t i = 0; i < given->size(); ++i)
    conversation.messages.push_back(normalized_message((*given)[i], i));
  conversation.tools = tools;
  conversation.context = special_tokens_;
  conversation.context.set("tools", tools);
  conversation.context.set("documents", nullptr);
  if (!variables.is_null())
    for (const JsonMember& member : *variables.if_object())
      conversation.context.set(member.key, member.value);
  return conversation;
}

// The first `count` messages.
std::string ChatTemplate::render_prefix(Conversation& conversation, size_t count,
                                        bool add_generation_prompt,
                                        std::vector<jinja::RenderedSpan>* generations) const {
  const auto begin = conversation.messages.begin();
  conversation.context.set("messages",
                           Json(Json::Array(begin, begin + static_cast<std::ptrdiff_t>(count))));
  conversation.context.set("add_generation_prompt", add_generation_prompt);
  std::string text = template_for(conversation.tools)
                         .render(conversation.context, {.limits = {}, .now = date_}, generations);
  conversation.rendered_bytes += text.size();
  if (conversation.rendered_bytes > most_rendered_bytes)
    fail(Status::invalid_data, "expected a conversation whose prompts take at most ",
         most_rendered_bytes, " bytes, seen ", conversation.messages.size(), " messages of more");
  return text;
}

std::string ChatTemplate::render(const Json& messages, const Json& tools,
                                 bool add_generation_prompt, const Json& variables) const {
  Conversation conversation = prepare(messages, tools, variables);
  return render_prefix(conversation, conversation.messages.size(), add_generation_prompt);
}

// Where the text of the message at `index` is over for certain: before the next one's content.
size_t ChatTemplate::find_limit(Conversation& conversation, const std::string& text,
                                size_t index) const {
  if (index + 1 == conversation.messages.size()) return text.size();
  const std::string alone = render_prefix(conversation, index + 1, false);
  if (text.starts_with(alone)) return alone.size();
  // The template treats the last message in its own way. With another text in the next message the
  // two renderings part where that text begins.
  Json& next = conversation.messages[index + 1];
  const Json kept = next;
  const Json* content = kept.find("content");
  const std::string* known = content == nullptr ? nullptr : content->if_string();
  next.set("content", known != nullptr && known->starts_with('\x01') ? "\x02" : "\x01");
  try {
    const std::string changed = render_prefix(conversation, index + 2, false);
    next = kept;
    return common_prefix(text, changed);
  } catch (const Error& error) {
    next = kept;
    fail(Status::invalid_data, "cannot tell where ", place(index), " ends: ", error.message());
  }
}

ChatTemplate::Turn ChatTemplate::find_turn(Conversation& conversation, const std::string& text,
                                           size_t index) const {
  std::string prompt;
  try {
    prompt = render_prefix(conversation, index, true);
  } catch (const Error& error) {
    fail(error.status(), "cannot render the prompt of ", place(index), ": ", error.message());
  }
  if (!text.starts_with(prompt)) {
    const size_t same = common_prefix(text, prompt);
    fail(Status::invalid_data, "expected the prompt of ", place(index),
         " to be the beginning of the whole conversation, which differs from byte ", same, " of ",
         prompt.size(),
         " on: the chat template writes earlier turns in another way; supervise the last turn "
         "alone");
  }
  return {index, prompt.size(), find_limit(conversation, text, index)};
}

std::vector<ChatTemplate::Turn> ChatTemplate::find_turns(Conversation& conversation,
                                                         const std::string& text,
                                                         Supervision supervision) const {
  std::vector<size_t> indices;
  for (size_t i = 0; i < conversation.messages.size(); ++i)
    if (is_assistant(conversation.messages[i])) indices.push_back(i);
  if (indices.empty())
    fail(Status::invalid_data, "expected an assistant turn, seen none in ",
         conversation.messages.size(), " messages");
  if (supervision == Supervision::last) indices.assign(1, indices.back());
  std::vector<Turn> turns;
  for (const size_t index : indices) {
    turns.push_back(find_turn(conversation, text, index));
    if (turns.size() > 1 && turns.back().begin < turns[turns.size() - 2].begin)
      fail(Status::invalid_data, "expected ", place(index), " behind the turn before it");
  }
  return turns;
}

namespace {

// Marks the tokens from byte `begin` to the first stop token before `limit`; false if there is
// none.
bool supervise(const Encoding& encoding, std::span<const int32_t> stop_ids, size_t begin,
               size_t limit, std::vector<uint8_t>& supervised) {
  const auto first_byte = static_cast<int64_t>(begin), last_byte = static_cast<int64_t>(limit);
  const auto first =
      std::partition_point(encoding.ranges.begin(), encoding.ranges.end(),
                           [&](const TextRange& range) { return range.end <= first_byte; });
  const auto from = static_cast<size_t>(first - encoding.ranges.begin());
  for (size_t i = from; i < encoding.ids.size() && encoding.ranges[i].begin < last_byte; ++i) {
    if (std::find(stop_ids.begin(), stop_ids.end(), encoding.ids[i]) == stop_ids.end()) continue;
    std::fill(supervised.begin() + static_cast<std::ptrdiff_t>(from),
              supervised.begin() + static_cast<std::ptrdiff_t>(i) + 1, uint8_t{1});
    return true;
  }
  return false;
}

} // namespace

MaskedTokens ChatTemplate::encode(const Tokenizer& tokenizer, std::span<const int32_t> stop_ids,
                                  const Json& messages, const Json& tools, Supervision supervision,
                                  const Json& variables) const {
  Conversation conversation = prepare(messages, tools, variables);
  std::vector<jinja::RenderedSpan> generations;
  const std::string text =
      render_prefix(conversation, conversation.messages.size(), false, &generations);
  // The template writes the special tokens, the first one too.
  Encoding encoding = tokenizer.encode_with_ranges(text, {.parse_special = true});
  MaskedTokens result;
  result.supervised.assign(encoding.ids.size(), supervision == Supervision::everything ? 1 : 0);
  std::vector<Turn> turns;
  if (supervision != Supervision::everything && !generations.empty()) {
    if (supervision == Supervision::last)
      generations.erase(generations.begin(), generations.end() - 1);
    for (size_t i = 0; i < generations.size(); ++i)
      turns.push_back({i, generations[i].begin, generations[i].end + 1});
  } else if (supervision != Supervision::everything) {
    turns = find_turns(conversation, text, supervision);
  }
  for (const Turn& turn : turns)
    if (!supervise(encoding, stop_ids, turn.begin, turn.limit, result.supervised))
      fail(Status::invalid_data, "expected one of ", stop_ids.size(),
           " stop tokens at the end of the assistant's turn at byte ", turn.begin,
           " of the conversation, seen none");
  result.ids = std::move(encoding.ids);
  return result;
}

} // namespace anet::io
