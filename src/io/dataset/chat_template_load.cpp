// Where chat templates come from: a model's directory, or ours.
#include "base/file.h"
#include "base/status.h"
#include "io/dataset/chat_template.h"

#include <algorithm>
#include <array>

namespace anet::io {
namespace {

constexpr int64_t largest_template = int64_t{4} << 20;
constexpr int64_t largest_config = int64_t{64} << 20;

std::optional<std::string> read_if_there(const std::string& path, int64_t max_size) {
  try {
    return read_file(path, max_size);
  } catch (const Error& error) {
    if (error.status() == Status::file_not_found) return std::nullopt;
    throw;
  }
}

// A token is its text, or an object that holds it.
std::optional<std::string> token_text(const Json& value) {
  if (const std::string* text = value.if_string()) return *text;
  const Json* content = value.find("content");
  const std::string* text = content == nullptr ? nullptr : content->if_string();
  return text == nullptr ? std::nullopt : std::optional(*text);
}

void add_special_tokens(const Json& config, Json& tokens) {
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const Json* value = config.find(name);
    if (value == nullptr || tokens.find(name) != nullptr) continue;
    if (const auto text = token_text(*value)) tokens.set(name, *text);
  }
}

struct Sources {
  std::optional<std::string> plain;
  std::optional<std::string> tool_use;
};

// "chat_template" of tokenizer_config.json.
Sources configured_sources(const JsonView& config) {
  Sources sources;
  const auto value = config.find("chat_template");
  if (!value) return sources;
  if (value->value().kind() == Json::Kind::string) {
    sources.plain = value->string();
    return sources;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    const JsonView entry = value->at(i);
    const std::string& name = entry.at("name").string();
    const std::string& text = entry.at("template").string();
    if (name == "default") sources.plain = text;
    if (name == "tool_use") sources.tool_use = text;
  }
  if (!sources.plain)
    value->fail_here("expected a template of the name 'default', seen ", value->size(), " others");
  return sources;
}

struct BuiltIn {
  std::string_view name;
  std::string_view bos_token;
  std::string_view eos_token;
  std::string_view text;
};

// What all of ours begin with: nothing is left out silently.
constexpr std::string_view refusals = R"(
{%- if tools %}
    {{- raise_exception('this built-in chat template has no place for tools') }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('this built-in chat template has no role ' ~ message.role) }}
    {%- elif message.tool_calls or message.content is not string %}
        {{- raise_exception('this built-in chat template expects text as content') }}
    {%- endif %}
{%- endfor %})";

constexpr std::string_view chatml = R"(
{%- for message in messages %}
    {{- '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %})";

constexpr std::string_view llama3 = R"(
{{- bos_token }}
{%- macro header(role) %}
    {{- '<|start_header_id|>' ~ role ~ '<|end_header_id|>\n\n' }}
{%- endmacro %}
{%- for message in messages %}
    {{- header(message.role) ~ message.content | trim ~ '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- header('assistant') }}
{%- endif %})";

constexpr std::string_view llama2 = R"(
{%- set turns = messages %}
{%- set system = none %}
{%- if messages and messages[0].role == 'system' %}
    {%- set system = messages[0].content %}
    {%- set turns = messages[1:] %}
{%- endif %}
{%- for turn in turns %}
    {%- if turn.role != ('user' if loop.index is odd else 'assistant') %}
        {{- raise_exception('user and assistant must take turns, and the user begins') }}
    {%- endif %}
    {%- if turn.role == 'user' %}
        {{- bos_token ~ '[INST] ' }}
        {%- if loop.first and system is not none %}
            {{- '<<SYS>>\n' ~ system ~ '\n<</SYS>>\n\n' ~ turn.content.strip() }}
        {%- else %}
            {{- turn.content.strip() }}
        {%- endif %}
        {{- ' [/INST]' }}
    {%- else %}
        {{- ' ' ~ turn.content.strip() ~ ' ' ~ eos_token }}
    {%- endif %}
{%- endfor %})";

constexpr std::string_view zephyr = R"(
{%- for message in messages %}
    {{- '<|' ~ message.role ~ '|>\n' ~ message.content ~ eos_token ~ '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %})";

constexpr std::array<BuiltIn, 4> built_ins = {{
    {"chatml", "", "<|im_end|>", chatml},
    {"llama2", "<s>", "</s>", llama2},
    {"llama3", "<|begin_of_text|>", "<|eot_id|>", llama3},
    {"zephyr", "<s>", "</s>", zephyr},
}};

} // namespace

ChatTemplate ChatTemplate::built_in(std::string_view name) {
  const auto found = std::find_if(built_ins.begin(), built_ins.end(),
                                  [&](const BuiltIn& known) { return known.name == name; });
  if (found == built_ins.end())
    fail(Status::not_found,
         "expected chatml, llama2, llama3 or zephyr as a built-in chat template, "
         "seen '",
         name.substr(0, 40), "'");
  return {concat(refusals, found->text), std::string(found->bos_token),
          std::string(found->eos_token)};
}

ChatTemplate ChatTemplate::load(const std::string& directory) {
  const std::string config_path = directory + "/tokenizer_config.json";
  const std::string template_path = directory + "/chat_template.jinja";
  Json config = Json::object();
  if (const auto text = read_if_there(config_path, largest_config))
    config = Json::parse(*text, config_path);
  Sources sources;
  sources.plain = read_if_there(template_path, largest_template);
  if (sources.plain)
    sources.tool_use =
        read_if_there(directory + "/additional_chat_templates/tool_use.jinja", largest_template);
  else
    sources = configured_sources(JsonView(config));
  if (!sources.plain)
    fail(Status::not_found, "expected a chat template in '", template_path,
         "' or as 'chat_template' in '", config_path, "', seen none");
  ChatTemplate result(*sources.plain, {}, {});
  if (sources.tool_use) result.tool_template_.emplace(*sources.tool_use);
  add_special_tokens(config, result.special_tokens_);
  if (const auto text = read_if_there(directory + "/special_tokens_map.json", largest_config))
    add_special_tokens(Json::parse(*text, "special_tokens_map.json"), result.special_tokens_);
  return result;
}

} // namespace anet::io
