#include "data_flags.h"

#include "data.h"
#include "json.h"
#include "text.h"

#include <algorithm>
#include <array>
#include <filesystem>

namespace cli {
namespace fs = std::filesystem;
namespace {

enum class Kind { word, choice, flag, integer, bytes };

struct DataKey {
  const char* key;
  Kind kind;
  const char* value; // of a choice: the names
  const char* help;
};

constexpr DataKey data_keys[] = {
    {"layout", Kind::choice, "packed|padded|bucketed|windows",
     "of rows (packed; windows for one text or token file)"},
    {"long", Kind::choice, "truncate|skip|split",
     "examples longer than a row (truncate; split for texts)"},
    {"supervise", Kind::choice, "assistant|last|everything",
     "what is learned of a conversation (assistant: every turn)"},
    {"template_variables", Kind::word, "JSON",
     "for the chat template, {\"enable_thinking\":false}"},
    {"strict", Kind::flag, "", "stop at the first row that cannot be used"},
    {"format", Kind::choice, "jsonl|text|tokens", "of the files (by their names)"},
    {"text_key", Kind::word, "NAME", "(text)"},
    {"prompt_key", Kind::word, "NAME", "(prompt)"},
    {"completion_key", Kind::word, "NAME", "(completion)"},
    {"messages_key", Kind::word, "NAME", "(messages)"},
    {"tools_key", Kind::word, "NAME", "(tools)"},
    {"document_separator", Kind::word, "TEXT",
     "between the documents of a text file, \\n is a line break (none)"},
    {"add_bos", Kind::choice, "on|off",
     "begin texts with the token for it (as the tokenizer does)"},
    {"add_eos", Kind::choice, "on|off", "end texts with the token for it (on)"},
    {"parse_special", Kind::flag, "", "special tokens spelled in texts become their ids"},
    {"length_buckets", Kind::integer, "N", "bucketed: up to 2^N examples side by side (3)"},
    {"max_line", Kind::bytes, "SIZE", "longer lines cannot be used (16M)"},
    {"data_memory", Kind::bytes, "SIZE", "above it examples go to a temporary file (256M)"},
};

// Shells make it hard to write a line break.
std::string with_line_breaks(std::string text) {
  for (size_t at = text.find("\\n"); at != std::string::npos; at = text.find("\\n", at + 1))
    text.replace(at, 2, "\n");
  return text;
}

std::string checked(const DataKey& key, const std::string& text) {
  const std::string flag = flag_of(key.key);
  switch (key.kind) {
  case Kind::choice:
    return parse_choice(flag, key.value, text);
  case Kind::integer:
    return std::to_string(parse_count(key.key, text));
  case Kind::bytes:
    return std::to_string(parse_bytes(flag, text));
  case Kind::word:
    if (std::string(key.key) == "template_variables" &&
        !cJSON_IsObject(json_parse(text, flag).get()))
      throw UsageError(flag + " expects a JSON object, got '" + text + "'");
    if (std::string(key.key) == "document_separator") return with_line_breaks(text);
    break;
  case Kind::flag:
    break;
  }
  return text;
}

bool is_jsonl_file(const fs::path& path) {
  const std::string suffix = path.extension().string();
  return suffix == ".jsonl" || suffix == ".ndjson" || suffix == ".json";
}

// "train.jsonl" and "train-00001.txt" belong to "train", as the library has it.
bool belongs_to(const fs::path& path, const std::string& part) {
  static constexpr std::array<const char*, 6> suffixes = {".jsonl", ".ndjson", ".json",
                                                          ".txt",   ".bin",    ".tokens"};
  const std::string suffix = path.extension().string();
  if (std::find(suffixes.begin(), suffixes.end(), suffix) == suffixes.end()) return false;
  const std::string stem = path.stem().string();
  return stem == part || stem.rfind(part + "-", 0) == 0;
}

std::vector<fs::path> files_of(const std::string& path, const std::string& part) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const bool other_name = part == "valid" && belongs_to(entry.path(), "validation");
    if (belongs_to(entry.path(), part) || other_name) files.push_back(entry.path());
  }
  return files;
}

bool holds_jsonl(const std::string& path, const std::string& format) {
  if (!format.empty()) return format == "jsonl";
  if (!fs::is_directory(path)) return is_jsonl_file(path);
  const std::vector<fs::path> files = files_of(path, "train");
  return std::any_of(files.begin(), files.end(), is_jsonl_file);
}

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

template <size_t count>
int32_t index_of(const std::array<const char*, count>& names, const std::string& name) {
  for (size_t i = 0; i < count; ++i)
    if (name == names[i]) return static_cast<int32_t>(i);
  return 0;
}

constexpr std::array<const char*, 4> layout_names = {"windows", "padded", "packed", "bucketed"};
constexpr std::array<const char*, 3> long_names = {"truncate", "skip", "split"};
constexpr std::array<const char*, 3> supervision_names = {"assistant", "last", "everything"};
constexpr std::array<const char*, 4> format_names = {"", "jsonl", "text", "tokens"};
constexpr std::array<const char*, 3> switch_names = {"", "on", "off"};

} // namespace

const char* layout_name(Layout layout) { return layout_names[static_cast<size_t>(layout)]; }

std::vector<Option> DataFlags::options() {
  std::vector<Option> result;
  for (const DataKey& key : data_keys) {
    result.push_back({key.key, key.value, key.help, [this, &key](const std::string& text) {
                        given_[key.key] = checked(key, text);
                      }});
  }
  return result;
}

const std::string& DataFlags::operator[](const std::string& key) const {
  static const std::string none;
  const auto found = given_.find(key);
  return found == given_.end() ? none : found->second;
}

void DataFlags::set(const std::string& key, const std::string& value) { given_[key] = value; }

std::string DataFlags::to_json() const {
  const Json object = json_object();
  for (const auto& [key, value] : given_)
    if (!value.empty()) json_set(object, key.c_str(), value);
  return json_text(object.get());
}

void DataFlags::merge(const std::string& json) {
  if (json.empty()) return;
  const Json object = json_parse(json, "data_options");
  for (const cJSON* item = object->child; item != nullptr; item = item->next)
    if (cJSON_IsString(item)) given_.try_emplace(item->string, item->valuestring);
}

std::string DataFlags::single_file(const std::string& path, const std::string& part) {
  if (!fs::is_directory(path)) return path;
  const std::vector<fs::path> files = files_of(path, part);
  return files.size() == 1 ? files.front().string() : "";
}

Layout DataFlags::layout(const std::string& path) const {
  const std::string& name = (*this)["layout"];
  if (!name.empty()) return static_cast<Layout>(index_of(layout_names, name));
  const bool rows = holds_jsonl(path, (*this)["format"]) || single_file(path, "train").empty() ||
                    !(*this)["document_separator"].empty();
  return rows ? Layout::packed : Layout::windows;
}

anet_long_examples DataFlags::long_examples(const std::string& path) const {
  const std::string& name = (*this)["long"];
  if (!name.empty()) return index_of(long_names, name);
  return holds_jsonl(path, (*this)["format"]) ? ANET_LONG_TRUNCATE : ANET_LONG_SPLIT;
}

int32_t DataFlags::length_buckets(int32_t sequence_length) const {
  const std::string& given = (*this)["length_buckets"];
  if (!given.empty()) return parse_count("length_buckets", given);
  int32_t count = 0;
  while (count < 3 && sequence_length % (2 << count) == 0) ++count;
  return count;
}

anet_examples_options DataFlags::examples_options() const {
  const DataFlags& self = *this;
  auto options = initialised<anet_examples_options>();
  options.format = index_of(format_names, self["format"]);
  options.supervision = index_of(supervision_names, self["supervise"]);
  options.template_variables = or_null(self["template_variables"]);
  options.strict = is_on("strict") ? 1 : 0;
  options.add_bos = index_of(switch_names, self["add_bos"]);
  options.add_eos = index_of(switch_names, self["add_eos"]);
  options.parse_special = is_on("parse_special") ? 1 : 0;
  options.text_key = or_null(self["text_key"]);
  options.prompt_key = or_null(self["prompt_key"]);
  options.completion_key = or_null(self["completion_key"]);
  options.messages_key = or_null(self["messages_key"]);
  options.tools_key = or_null(self["tools_key"]);
  options.document_separator = or_null(self["document_separator"]);
  if (!self["max_line"].empty()) options.max_line_bytes = parse_bytes("max_line", self["max_line"]);
  if (!self["data_memory"].empty())
    options.memory_limit = parse_bytes("data_memory", self["data_memory"]);
  return options;
}

} // namespace cli
