#include "io/model_file/gguf_tokenizer.h"

#include "base/json.h"
#include "base/status.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace anet::io {
namespace {

constexpr int64_t max_file = int64_t{1} << 28;

// Regular expressions of the "Split" pre-tokenizer before a ByteLevel one without its own.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> split_patterns = {{
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "qwen2"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "llama-bpe"},
}};

Json read_json(const std::string& path, FileSystem& files) {
  return Json::parse(read_file(path, max_file, files), path, Status::invalid_data,
                     {.max_size = static_cast<size_t>(max_file), .max_depth = 64});
}

// The parts of a Sequence, or the one that stands alone.
std::vector<JsonView> parts_of(const std::optional<JsonView>& component, std::string_view list) {
  std::vector<JsonView> parts;
  if (!component) return parts;
  if (component->at("type").string() != "Sequence") return {*component};
  const JsonView members = component->at(list);
  for (size_t i = 0; i < members.size(); ++i) parts.push_back(members.at(i));
  return parts;
}

// GGUF's name of the way in which byte-level text is split.
std::string find_pre(const JsonView& tokenizer) {
  const auto parts = parts_of(tokenizer.find("pre_tokenizer"), "pretokenizers");
  const auto is = [&](size_t i, std::string_view type) {
    return parts[i].at("type").string() == type;
  };
  const auto own_regex = [&](size_t i) { return parts[i].boolean_or("use_regex", true); };
  if (parts.size() == 1 && is(0, "ByteLevel") && own_regex(0)) return "gpt-2";
  if (parts.size() == 2 && is(1, "ByteLevel")) {
    if (is(0, "Digits") && parts[0].boolean_or("individual_digits", false) && own_regex(1))
      return "smollm";
    if (is(0, "Split") && !own_regex(1) && parts[0].at("pattern").find("Regex")) {
      const std::string& regex = parts[0].at("pattern").at("Regex").string();
      for (const auto& [pattern, name] : split_patterns)
        if (regex == pattern) return std::string(name);
    }
  }
  fail(Status::unsupported,
       "expected a pre-tokenizer of Qwen2, Llama 3, SmolLM or GPT-2, which "
       "GGUF has names for, seen another one at ",
       tokenizer.place());
}

bool is_byte_token(std::string_view token) {
  return token.size() == 6 && token.starts_with("<0x") && token.ends_with(">");
}

class TokenizerReader {
public:
  TokenizerReader(const std::string& directory, int32_t vocab_size, FileSystem& files)
      : directory_(directory), files_(files), vocab_size_(vocab_size) {}

  GgufTokenizer read() {
    const std::string path = join_path(directory_, "tokenizer.json");
    const Json json = read_json(path, files_);
    const JsonView tokenizer(json, Status::invalid_data, path);
    const JsonView model = tokenizer.at("model");
    if (model.string_or("type", "BPE") != "BPE")
      fail(Status::unsupported, "expected a BPE tokenizer, seen ", model.at("type").string(),
           " at ", model.place());
    const bool pieces = model.boolean_or("byte_fallback", false);
    result_.model = pieces ? "llama" : "gpt2";
    result_.pre = pieces ? "default" : find_pre(tokenizer);
    read_tokens(tokenizer, model);
    if (pieces)
      read_scores(model);
    else
      read_merges(model);
    read_settings(tokenizer);
    return std::move(result_);
  }

private:
  void set_token(const JsonView& id, std::string text, GgufTokenType type) {
    const auto index = static_cast<size_t>(id.integer(0, vocab_size_ - 1));
    ids_[text] = static_cast<int32_t>(index);
    result_.tokens[index] = std::move(text);
    result_.types[index] = type;
  }

  void read_tokens(const JsonView& tokenizer, const JsonView& model) {
    result_.types.assign(static_cast<size_t>(vocab_size_), GgufTokenType::unused);
    for (int32_t id = 0; id < vocab_size_; ++id) result_.tokens.push_back(concat("[PAD", id, "]"));
    const bool pieces = result_.model == "llama";
    const std::string unknown = model.string_or("unk_token", "");
    const JsonView vocabulary = model.at("vocab");
    for (const JsonMember& member : vocabulary.members()) {
      const JsonView id(member.value, Status::invalid_data, vocabulary.path());
      GgufTokenType type = GgufTokenType::normal;
      if (pieces && is_byte_token(member.key)) type = GgufTokenType::byte;
      if (pieces && !unknown.empty() && member.key == unknown) type = GgufTokenType::unknown;
      set_token(id, member.key, type);
    }
    if (const auto added = tokenizer.find("added_tokens")) {
      for (size_t i = 0; i < added->size(); ++i) {
        const JsonView token = added->at(i);
        const std::string& content = token.at("content").string();
        GgufTokenType type = token.boolean_or("special", false) ? GgufTokenType::control
                                                                : GgufTokenType::user_defined;
        if (pieces && content == unknown) type = GgufTokenType::unknown;
        set_token(token.at("id"), content, type);
      }
    }
    if (!unknown.empty()) result_.unknown = find_id(unknown);
  }

  // "a b", or a pair of texts.
  static std::pair<std::string, std::string> merge_of(const JsonView& merge) {
    if (merge.value().if_array() != nullptr) {
      if (merge.size() != 2) merge.fail_here("expected a pair, seen ", merge.size(), " texts");
      return {merge.at(size_t{0}).string(), merge.at(size_t{1}).string()};
    }
    const std::string& text = merge.string();
    const size_t space = text.find(' ');
    if (space == std::string::npos) merge.fail_here("expected two texts and a space between");
    return {text.substr(0, space), text.substr(space + 1)};
  }

  void read_merges(const JsonView& model) {
    const JsonView merges = model.at("merges");
    for (size_t i = 0; i < merges.size(); ++i) {
      const auto [left, right] = merge_of(merges.at(i));
      result_.merges.push_back(concat(left, " ", right));
    }
  }

  // SentencePiece merges the pair whose piece has the best score: the rank of its first merge.
  void read_scores(const JsonView& model) {
    const JsonView merges = model.at("merges");
    result_.scores.assign(result_.tokens.size(), 0.0f);
    std::vector<bool> ranked(result_.tokens.size(), false);
    for (size_t i = 0; i < merges.size(); ++i) {
      const auto [left, right] = merge_of(merges.at(i));
      const auto id = find_id(left + right);
      if (!id)
        merges.at(i).fail_here("expected a merge into a token, seen '", left, "' and '", right,
                               "'");
      const auto index = static_cast<size_t>(*id);
      if (!ranked[index]) result_.scores[index] = -static_cast<float>(i);
      ranked[index] = true;
    }
    const float last = -static_cast<float>(merges.size());
    for (size_t i = 0; i < ranked.size(); ++i)
      if (!ranked[i] && result_.types[i] == GgufTokenType::normal) result_.scores[i] = last;
  }

  std::optional<int32_t> find_id(const std::string& token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

  // "bos_token": a text, an object with its content, or null.
  std::optional<int32_t> named_token(const JsonView& settings, std::string_view key) const {
    const auto token = settings.find(key);
    if (!token) return std::nullopt;
    const std::string text =
        token->value().if_object() != nullptr ? token->at("content").string() : token->string();
    const auto id = find_id(text);
    if (!id) token->fail_here("expected a token of the vocabulary, seen '", text, "'");
    return id;
  }

  void read_settings(const JsonView& tokenizer) {
    for (const JsonView& part : parts_of(tokenizer.find("post_processor"), "processors"))
      if (part.at("type").string() == "TemplateProcessing" && part.at("single").size() > 0)
        result_.add_bos = part.at("single").at(size_t{0}).find("SpecialToken").has_value();
    const std::string path = join_path(directory_, "tokenizer_config.json");
    if (path_exists(path, files_)) {
      const Json json = read_json(path, files_);
      const JsonView settings(json, Status::invalid_data, path);
      result_.bos = named_token(settings, "bos_token");
      result_.eos = named_token(settings, "eos_token");
      result_.padding = named_token(settings, "pad_token");
      result_.add_bos = settings.boolean_or("add_bos_token", result_.add_bos);
      if (const auto text = settings.find("chat_template")) read_template(*text);
    }
    const std::string jinja = join_path(directory_, "chat_template.jinja");
    if (path_exists(jinja, files_)) result_.chat_template = read_file(jinja, max_file, files_);
  }

  // A text, or a list of named ones of which "default" is meant.
  void read_template(const JsonView& text) {
    if (text.value().if_array() == nullptr) {
      result_.chat_template = text.string();
      return;
    }
    for (size_t i = 0; i < text.size(); ++i)
      if (text.at(i).at("name").string() == "default")
        result_.chat_template = text.at(i).at("template").string();
  }

  const std::string& directory_;
  FileSystem& files_;
  int32_t vocab_size_;
  std::unordered_map<std::string, int32_t> ids_;
  GgufTokenizer result_;
};

} // namespace

GgufTokenizer read_gguf_tokenizer(const std::string& directory, int32_t vocab_size,
                                  FileSystem& files) {
  return TokenizerReader(directory, vocab_size, files).read();
}

} // namespace anet::io
