#include "io/tokenizer/special_tokens.h"

#include "base/file.h"

namespace anet::io::tokenization {
namespace {

constexpr int64_t max_config_size = 16 << 20; // templates and added tokens are in it

// A text, or an object with one as its "content".
std::optional<std::string> read_token(const JsonView& config, std::string_view key) {
  const std::optional<JsonView> token = config.find(key);
  if (!token) return std::nullopt;
  if (token->value().if_string() != nullptr) return token->string();
  return token->at("content").string();
}

std::optional<Json> read_json(const std::string& path) {
  if (!path_exists(path)) return std::nullopt;
  return Json::parse(read_file(path, max_config_size), path);
}

} // namespace

SpecialTokens read_tokenizer_config(const JsonView& config) {
  SpecialTokens result;
  result.bos = read_token(config, "bos_token");
  result.eos = read_token(config, "eos_token");
  result.pad = read_token(config, "pad_token");
  const std::string name = config.string_or("tokenizer_class", "");
  if (name.starts_with("Llama") || name.starts_with("Gemma")) {
    if (const auto add = config.find("add_bos_token")) result.add_bos = add->boolean();
    if (const auto add = config.find("add_eos_token")) result.add_eos = add->boolean();
  }
  return result;
}

SpecialTokens read_special_tokens(const std::string& directory) {
  SpecialTokens result;
  if (const auto config = read_json(join_path(directory, "tokenizer_config.json")))
    result = read_tokenizer_config(JsonView(*config));
  if (const auto map = read_json(join_path(directory, "special_tokens_map.json"))) {
    const JsonView view(*map);
    if (!result.bos) result.bos = read_token(view, "bos_token");
    if (!result.eos) result.eos = read_token(view, "eos_token");
    if (!result.pad) result.pad = read_token(view, "pad_token");
  }
  return result;
}

} // namespace anet::io::tokenization
