#include "io/tokenizer/added_tokens.h"

#include "base/status.h"
#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace anet::io::tokenization {
namespace {

size_t white_space_begin(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t before = previous_character(text, end);
    if (!is_white_space(character_at(text, before))) break;
    end = before;
  }
  return end;
}

size_t white_space_end(std::string_view text, size_t begin) {
  while (begin < text.size() && is_white_space(character_at(text, begin)))
    begin += character_size(text[begin]);
  return begin;
}

bool inside_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_word_character(character_at(text, previous_character(text, begin)))) ||
         (end < text.size() && is_word_character(character_at(text, end)));
}

} // namespace

std::vector<AddedToken> read_added_tokens(const JsonView& view, int32_t max_vocab_size) {
  std::vector<AddedToken> tokens;
  std::unordered_set<int32_t> ids;
  std::unordered_set<std::string> contents;
  for (size_t i = 0; i < view.size(); ++i) {
    const JsonView item = view.at(i);
    AddedToken token;
    token.id = static_cast<int32_t>(item.at("id").integer(0, max_vocab_size - 1));
    token.content = item.at("content").string();
    token.single_word = item.boolean_or("single_word", false);
    token.lstrip = item.boolean_or("lstrip", false);
    token.rstrip = item.boolean_or("rstrip", false);
    token.special = item.boolean_or("special", false);
    token.normalized = item.boolean_or("normalized", !token.special);
    if (token.content.empty()) item.fail_here("expected an added token with content, seen none");
    if (!ids.insert(token.id).second)
      item.fail_here("expected an id of its own for '", token.content, "', seen ", token.id,
                     " twice");
    if (!contents.insert(token.content).second)
      item.fail_here("expected each added token once, seen '", token.content, "' twice");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

uint32_t TextFinder::child(uint32_t node, unsigned char byte) const {
  uint32_t at = nodes_[node].first_child;
  while (at != 0 && nodes_[at].byte != byte) at = nodes_[at].sibling;
  return at;
}

TextFinder::TextFinder(std::span<const std::string> texts) : nodes_(1) {
  for (size_t i = 0; i < texts.size(); ++i) {
    uint32_t node = 0;
    for (const char c : texts[i]) {
      const auto byte = static_cast<unsigned char>(c);
      uint32_t next = node == 0 ? roots_[byte] : child(node, byte);
      if (next == 0) {
        next = static_cast<uint32_t>(nodes_.size());
        nodes_.push_back({.byte = byte});
        if (node == 0) {
          roots_[byte] = next;
        } else {
          nodes_[next].sibling = nodes_[node].first_child;
          nodes_[node].first_child = next;
        }
      }
      node = next;
    }
    if (nodes_[node].text == 0) nodes_[node].text = static_cast<uint32_t>(i + 1);
  }
}

std::optional<TextFinder::Found> TextFinder::find(std::string_view text, size_t start) const {
  if (nodes_.size() < 2) return std::nullopt;
  for (size_t begin = start; begin < text.size(); ++begin) {
    uint32_t node = roots_[static_cast<unsigned char>(text[begin])];
    std::optional<Found> longest;
    for (size_t end = begin + 1; node != 0; ++end) {
      if (nodes_[node].text != 0) longest = Found{begin, end, nodes_[node].text - size_t{1}};
      if (end == text.size()) break;
      node = child(node, static_cast<unsigned char>(text[end]));
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokenSplitter::AddedTokenSplitter(std::vector<AddedToken> tokens,
                                       std::vector<std::string> texts)
    : tokens_(std::move(tokens)), finder_(texts) {}

void AddedTokenSplitter::split(const Piece& piece, bool parse_special, AddedTokenSink& sink) const {
  const std::string_view text = piece.text;
  size_t done = 0;
  size_t from = 0;
  while (const std::optional<TextFinder::Found> found = finder_.find(text, from)) {
    from = found->end;
    const AddedToken& token = tokens_[found->index];
    if (token.special && !parse_special) continue;
    if (token.single_word && inside_word(text, found->begin, found->end)) continue;
    size_t begin = found->begin;
    size_t end = found->end;
    // White space that the token before has taken is not there any more.
    if (token.lstrip) begin = std::max(white_space_begin(text, begin), done);
    if (token.rstrip) end = white_space_end(text, end);
    begin = std::min(begin, end);
    if (begin > done) sink.text(piece.part(done, begin));
    sink.token(token, piece.part(begin, end));
    done = end;
  }
  if (done < text.size()) sink.text(piece.part(done, text.size()));
}

} // namespace anet::io::tokenization
