#include "text_source.h"

#include "data.h"
#include "json.h"
#include "text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace cli {
namespace fs = std::filesystem;
namespace {

// What ends a turn in the families' templates. Base models name only the end of a text.
constexpr std::array<const char*, 4> turn_ends = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>",
                                                  "<|end|>"};

std::string absolute(const std::string& path) {
  return path.empty() ? path : fs::absolute(path).lexically_normal().string();
}

void add_ids(const cJSON* value, std::vector<int32_t>& ids) {
  const auto add = [&ids](const cJSON* item) {
    if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= 0x7fffffff)
      ids.push_back(static_cast<int32_t>(item->valuedouble));
  };
  if (cJSON_IsArray(value)) {
    for (const cJSON* item = value->child; item != nullptr; item = item->next) add(item);
  } else {
    add(value);
  }
}

// Null when the file is not there or no object.
Json read_json_object(const fs::path& path) {
  if (!fs::exists(path)) return nullptr;
  Json value = json_parse(read_text_file(path.string()), path.string());
  return cJSON_IsObject(value.get()) ? std::move(value) : nullptr;
}

const cJSON* member(const Json& object, const char* key) {
  return object ? cJSON_GetObjectItemCaseSensitive(object.get(), key) : nullptr;
}

void read_properties(const std::string& checkpoint, TextFacts& facts) {
  const auto properties = checkpoint_properties(checkpoint);
  const auto find = [&](const char* key) {
    const auto found = properties.find(key);
    return found == properties.end() ? std::string() : found->second;
  };
  facts.tokenizer = find("tokenizer");
  facts.companion = find("companion");
  facts.chat_template = find("chat_template");
  facts.stop_ids = split_ids(find("stop_ids"));
}

bool is_checkpoint(const fs::path& path) { return fs::exists(path / "state.json"); }

// The text of a special token by tokenizer_config.json: a string, or an object with "content".
std::string token_text(const Json& config, const char* key) {
  const cJSON* value = member(config, key);
  if (cJSON_IsString(value)) return value->valuestring;
  return cJSON_IsObject(value) ? json_string(value, "content") : "";
}

ChatTemplate parse_template_file(const std::string& path, const TextSource& text) {
  const fs::path folder = text.companion.empty() ? fs::path(text.tokenizer_path).parent_path()
                                                 : fs::path(text.companion);
  const Json config = read_json_object(folder / "tokenizer_config.json");
  const std::string template_text = read_text_file(path);
  return create<ChatTemplate>(anet_chat_template_parse, template_text.c_str(),
                              token_text(config, "bos_token").c_str(),
                              token_text(config, "eos_token").c_str());
}

void open_named_template(const std::string& name, TextSource& text) {
  if (name == "none") {
    text.chat_name = name;
  } else if (fs::is_directory(name)) {
    text.chat = create<ChatTemplate>(anet_chat_template_load, name.c_str());
    text.chat_name = absolute(name);
  } else if (name.find('/') != std::string::npos || fs::exists(name)) {
    text.chat = parse_template_file(name, text);
    text.chat_name = absolute(name);
  } else {
    try {
      text.chat = create<ChatTemplate>(anet_chat_template_built_in, name.c_str());
    } catch (const Failure& failure) {
      if (failure.status != ANET_E_NOT_FOUND) throw;
      throw UsageError(std::string("--chat-template: ") + failure.what());
    }
    text.chat_name = name;
  }
}

// Data without conversations does not need it, so a template that cannot be used is no failure yet.
void open_own_template(TextSource& text) {
  if (text.companion.empty()) return;
  try {
    text.chat = create<ChatTemplate>(anet_chat_template_load, text.companion.c_str());
  } catch (const Failure& failure) {
    if (failure.status != ANET_E_NOT_FOUND) text.chat_problem = failure.what();
  }
}

void open_tokenizer(const std::string& name, const TextFacts& facts, TextSource& text) {
  if (name.empty()) return;
  if (name == "bytes") {
    text.tokenizer = create<Tokenizer>(anet_tokenizer_create_bytes);
  } else {
    text.tokenizer = create<Tokenizer>(anet_tokenizer_load, name.c_str(), facts.vocab_size);
  }
  text.tokenizer_path = name == "bytes" ? name : absolute(name);
  const int32_t size = anet_tokenizer_vocab_size(text.tokenizer.get());
  if (facts.vocab_size > 0 && size > facts.vocab_size) {
    throw Failure("the tokenizer has " + std::to_string(size) + " ids, the model has " +
                  std::to_string(facts.vocab_size));
  }
}

// A new model gets the files that lie beside its tokenizer.
std::string folder_of_tokenizer(const std::string& name) {
  if (fs::is_directory(name)) return absolute(name);
  const fs::path path = absolute(name);
  return path.filename() == "tokenizer.json" ? path.parent_path().string() : "";
}

void add_stop_id(int32_t id, std::vector<int32_t>& ids) {
  if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

// -1 when the tokenizer has no such token.
int32_t find_special(const Tokenizer& tokenizer, const char* name) {
  int32_t id = -1;
  anet_error* error = nullptr;
  const anet_status status = anet_tokenizer_find_special(tokenizer.get(), name, &id, &error);
  anet_error_release(error);
  return status == ANET_OK ? id : -1;
}

void find_stop_ids(const TextFacts& facts, TextSource& text) {
  text.stop_ids = facts.stop_ids;
  if (!text.tokenizer) return;
  if (text.stop_ids.empty())
    add_stop_id(anet_tokenizer_eos_id(text.tokenizer.get()), text.stop_ids);
  if (!text.chat) return;
  for (const char* name : turn_ends) add_stop_id(find_special(text.tokenizer, name), text.stop_ids);
  // A tokenizer.json without tokenizer_config.json does not say what ends a text.
  if (text.stop_ids.empty()) add_stop_id(find_special(text.tokenizer, "</s>"), text.stop_ids);
}

} // namespace

std::vector<Option> text_options(TextFlags& flags) {
  return {{"tokenizer", "PATH",
           "tokenizer.json, tokenizer.bin or a model folder; bytes (the model's own)",
           store(flags.tokenizer)},
          {"chat_template", "NAME|PATH",
           "chatml, llama2, llama3, zephyr, a Jinja file or none (the model's own)",
           store(flags.chat_template)}};
}

std::map<std::string, std::string> checkpoint_properties(const std::string& path) {
  const Json root = json_parse(call_text(anet_checkpoint_inspect, path.c_str()), path);
  const cJSON* sections = member(root, "sections");
  const cJSON* properties = cJSON_GetObjectItemCaseSensitive(sections, "properties");
  std::map<std::string, std::string> result;
  for (const cJSON* item = properties == nullptr ? nullptr : properties->child; item != nullptr;
       item = item->next)
    if (cJSON_IsString(item)) result.emplace(item->string, item->valuestring);
  return result;
}

TextFacts facts_of_model(const Model& model, const std::string& path) {
  TextFacts facts;
  if (is_checkpoint(path)) {
    read_properties(path, facts);
  } else if (fs::is_directory(path)) {
    facts.companion = path;
  }
  auto info = initialised<anet_model_info>();
  call(anet_model_get_info, model.get(), &info);
  if (*info.tokenizer_path != '\0') facts.tokenizer = info.tokenizer_path;
  if (info.stop_count > 0) facts.stop_ids.assign(info.stop_ids, info.stop_ids + info.stop_count);
  facts.vocab_size = model_config(model).vocab_size;
  const int32_t bytes =
      anet_tokenizer_vocab_size(create<Tokenizer>(anet_tokenizer_create_bytes).get());
  if (facts.tokenizer.empty() && facts.vocab_size == bytes) facts.tokenizer = "bytes";
  return facts;
}

TextFacts facts_of_path(const std::string& path) {
  TextFacts facts;
  const fs::path folder(path);
  if (is_checkpoint(folder)) {
    read_properties(path, facts);
    if (!facts.tokenizer.empty()) return facts;
  } else if (fs::is_directory(folder) && fs::exists(folder / "tokenizer.json")) {
    facts.tokenizer = (folder / "tokenizer.json").string();
    facts.companion = path;
    const Json config = read_json_object(folder / "config.json");
    const Json generation = read_json_object(folder / "generation_config.json");
    if (config) facts.vocab_size = static_cast<int32_t>(json_number(config.get(), "vocab_size"));
    add_ids(member(generation, "eos_token_id"), facts.stop_ids);
    if (facts.stop_ids.empty()) add_ids(member(config, "eos_token_id"), facts.stop_ids);
    return facts;
  }
  return facts_of_model(load_model(path, ANET_CHECKPOINT_LATEST), path);
}

const Tokenizer& TextSource::require_tokenizer() const {
  if (tokenizer) return tokenizer;
  throw Failure(
      "the model has no tokenizer; --tokenizer names a tokenizer.json, a tokenizer.bin or "
      "a model folder, and --tokenizer bytes is one token a byte");
}

const ChatTemplate& TextSource::require_chat() const {
  if (chat) return chat;
  if (!chat_problem.empty()) throw Failure("the model's chat template: " + chat_problem);
  throw Failure("the model has no chat template; --chat-template names a built-in one (chatml, "
                "llama2, llama3, zephyr) or a Jinja file");
}

TextSource open_text(const TextFlags& flags, const TextFacts& facts) {
  TextSource text;
  text.companion = absolute(facts.companion);
  if (text.companion.empty()) text.companion = folder_of_tokenizer(flags.tokenizer);
  open_tokenizer(flags.tokenizer.empty() ? facts.tokenizer : flags.tokenizer, facts, text);
  const std::string& name = flags.chat_template.empty() ? facts.chat_template : flags.chat_template;
  if (name.empty()) {
    open_own_template(text);
  } else {
    open_named_template(name, text);
  }
  find_stop_ids(facts, text);
  return text;
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text, uint32_t flags) {
  std::vector<int32_t> ids(text.size() + 8);
  for (;;) {
    size_t count = 0;
    anet_error* error = nullptr;
    const anet_status status = anet_tokenizer_encode(tokenizer.get(), text.data(), text.size(),
                                                     flags, ids.data(), ids.size(), &count, &error);
    if (status != ANET_OK && (status != ANET_E_OUT_OF_RANGE || count <= ids.size()))
      throw_error(status, error);
    anet_error_release(error);
    ids.resize(count);
    if (status == ANET_OK) return ids;
  }
}

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, std::string_view text,
                                   bool parse_special) {
  const uint32_t special = parse_special ? ANET_TOKENIZE_PARSE_SPECIAL : 0;
  std::vector<int32_t> ids = encode(tokenizer, text, ANET_TOKENIZE_AS_TRAINED | special);
  // The text alone is the end of the prompt, whatever the tokenizer adds behind it.
  const size_t text_count = encode(tokenizer, text, special).size();
  const std::vector<int32_t> added = encode(tokenizer, "", ANET_TOKENIZE_AS_TRAINED);
  const int32_t bos = anet_tokenizer_bos_id(tokenizer.get());
  const size_t before = !added.empty() && added.front() == bos ? 1 : 0;
  ids.resize(std::min(ids.size(), text_count + before));
  return ids;
}

std::string decode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return call_text(anet_tokenizer_decode, tokenizer.get(), ids.data(), ids.size());
}

bool spells_special(const Tokenizer& tokenizer, std::string_view text) {
  return encode(tokenizer, text, 0) != encode(tokenizer, text, ANET_TOKENIZE_PARSE_SPECIAL);
}

std::vector<int32_t> encode_chat(const TextSource& text, const std::string& messages,
                                 const std::string& variables) {
  const std::string rendered =
      call_text(anet_chat_template_render, text.require_chat().get(), messages.c_str(), nullptr,
                variables.empty() ? nullptr : variables.c_str(), int32_t{1});
  // Templates write the token that begins a text themselves.
  return encode(text.require_tokenizer(), rendered, ANET_TOKENIZE_PARSE_SPECIAL);
}

std::string single_turn(const std::string& system, const std::string& message) {
  const Json messages = json_array();
  const auto add = [&messages](const char* role, const std::string& content) {
    Json turn = json_object();
    json_set(turn, "role", role);
    json_set(turn, "content", content);
    json_append(messages, std::move(turn));
  };
  if (!system.empty()) add("system", system);
  add("user", message);
  return json_text(messages.get());
}

std::string join_ids(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

std::vector<int32_t> split_ids(const std::string& text) {
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    ids.push_back(parse_count("stop_ids", text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return ids;
}

} // namespace cli
