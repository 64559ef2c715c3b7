#include "io/dataset/special_finder.h"

#include "base/status.h"

#include <algorithm>

namespace anet::io {

SpecialFinder::SpecialFinder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_special(id)) continue;
    std::string name = tokenizer.special_name(id);
    if (name.empty()) continue;
    names_[static_cast<unsigned char>(name.front())].push_back(name);
    name_of_.emplace(id, std::move(name));
  }
}

bool SpecialFinder::in(std::string_view text) const {
  for (size_t i = 0; i < text.size(); ++i) {
    const std::vector<std::string>& names = names_[static_cast<unsigned char>(text[i])];
    if (names.empty()) continue;
    const std::string_view rest = text.substr(i);
    if (std::any_of(names.begin(), names.end(),
                    [&](const std::string& name) { return rest.starts_with(name); }))
      return true;
  }
  return false;
}

// The parser bounds the depth.
bool SpecialFinder::in(const Json& value) const {
  if (const std::string* text = value.if_string()) return in(std::string_view(*text));
  if (const Json::Array* items = value.if_array())
    return std::any_of(items->begin(), items->end(), [&](const Json& item) { return in(item); });
  if (const Json::Object* members = value.if_object())
    return std::any_of(members->begin(), members->end(),
                       [&](const JsonMember& member) { return in(member.value); });
  return false;
}

std::string SpecialFinder::spell(std::span<const int32_t> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size();) {
    if (tokenizer_.is_special(ids[i])) {
      const auto name = name_of_.find(ids[i]);
      text += name != name_of_.end() ? name->second : concat("<|", ids[i], "|>");
      ++i;
      continue;
    }
    size_t end = i;
    while (end < ids.size() && !tokenizer_.is_special(ids[end])) ++end;
    text += tokenizer_.decode(ids.subspan(i, end - i));
    i = end;
  }
  return text;
}

} // namespace anet::io
