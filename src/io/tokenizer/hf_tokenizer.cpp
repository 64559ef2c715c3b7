#include "io/tokenizer/hf_tokenizer.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/utf8.h"
#include "io/tokenizer/byte_level.h"
#include "io/tokenizer/limits.h"
#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <array>

namespace anet::io {

using namespace tokenization;

namespace {

// Sections may be missing, which is the same as null.
JsonView section(const JsonView& root, std::string_view key) {
  static const Json null;
  const std::optional<JsonView> view = root.find(key);
  return view ? *view : JsonView(null);
}

void refuse_if_set(const JsonView& model, std::string_view key) {
  const std::optional<JsonView> view = model.find(key);
  if (!view) return;
  const std::string* text = view->value().if_string();
  if (text != nullptr && text->empty()) return;
  if (view->value().to_double() == 0.0) return;
  fail(Status::unsupported, "a ", key, " at ", view->place(), " is not supported, seen ",
       view->value().to_string());
}

int32_t find_id(const std::unordered_map<std::string_view, int32_t>& ids, std::string_view piece) {
  const auto found = ids.find(piece);
  return found == ids.end() ? no_id : found->second;
}

// The two halves of "a b" or ["a", "b"].
std::array<std::string_view, 2> read_merge(const Json& item, size_t index, const JsonView& list) {
  if (const std::string* text = item.if_string()) {
    const size_t space = text->find(' ');
    if (space != std::string::npos && text->find(' ', space + 1) == std::string::npos)
      return {std::string_view(*text).substr(0, space), std::string_view(*text).substr(space + 1)};
  } else if (const Json::Array* pair = item.if_array(); pair != nullptr && pair->size() == 2 &&
                                                        (*pair)[0].if_string() != nullptr &&
                                                        (*pair)[1].if_string() != nullptr) {
    return {*(*pair)[0].if_string(), *(*pair)[1].if_string()};
  }
  list.at(index).fail_here("expected a merge, 'a b' or ['a', 'b'], seen ", item.to_string());
}

// Behind a run of it at the start, `boundary` must not occur: then no merge reaches over its begin.
bool respects_boundary(std::string_view piece, std::string_view boundary) {
  while (piece.starts_with(boundary)) piece.remove_prefix(boundary.size());
  return piece.find(boundary) == std::string_view::npos;
}

} // namespace

HfTokenizer::~HfTokenizer() = default;

HfTokenizer::HfTokenizer(std::string_view json, std::string_view source, const SpecialTokens& names,
                         int32_t vocab_size) {
  const Json document =
      Json::parse(json, source, Status::invalid_config, {.max_size = max_tokenizer_size});
  const JsonView root(document);
  const JsonView model = root.at("model");
  if (const std::string type = model.string_or("type", "BPE"); type != "BPE")
    fail(Status::unsupported, "the model '", type, "' at ", model.place(),
         " is not supported: expected BPE");
  read_tokens(root);
  if (vocab_size != 0 && static_cast<size_t>(vocab_size) < tokens_.size())
    fail(Status::invalid_config, "expected at most ", vocab_size, " tokens in ", source,
         ", as the model has, seen the id ", tokens_.size() - 1);
  vocab_size_ = std::max(vocab_size, static_cast<int32_t>(tokens_.size()));
  normalizer_ = read_normalizer(section(root, "normalizer"));
  pre_tokenizers_ = read_pre_tokenizers(section(root, "pre_tokenizer"));
  decoder_ = Decoder::read(section(root, "decoder"));
  post_processor_ = read_post_processor(section(root, "post_processor"), vocab_size_);
  Ids ids; // of the model's vocabulary
  for (size_t id = 0; id < tokens_.size(); ++id)
    if (!tokens_[id].special) ids.emplace(tokens_[id].piece, static_cast<int32_t>(id));
  read_model(model, ids);
  place_added_tokens(ids);
  for (Token& token : tokens_) token.decoded = decoder_.decode_piece(token.piece, false);
  build_added_tokens();
  choose_special_tokens(root, names);
  fingerprint_ = make_fingerprint(root);
}

// The vocabulary and the added tokens, by id.
void HfTokenizer::read_tokens(const JsonView& root) {
  const JsonView vocab = root.at("model").at("vocab");
  if (root.find("added_tokens"))
    added_ = read_added_tokens(root.at("added_tokens"), max_vocab_size);
  int64_t largest = -1;
  for (const JsonMember& member : vocab.members()) {
    const std::optional<int64_t> id = member.value.to_int64();
    if (!id || *id < 0 || *id >= max_vocab_size)
      vocab.at(member.key)
          .fail_here("expected an id from 0 to ", max_vocab_size - 1, ", seen ",
                     member.value.to_string());
    largest = std::max(largest, *id);
  }
  for (const AddedToken& token : added_) largest = std::max<int64_t>(largest, token.id);
  if (largest < 0) vocab.fail_here("expected tokens, seen none");
  tokens_.resize(static_cast<size_t>(largest) + 1);
  for (const JsonMember& member : vocab.members()) {
    Token& token = tokens_[static_cast<size_t>(*member.value.to_int64())];
    if (!token.special)
      vocab.at(member.key).fail_here("expected an id of its own, seen that of '", token.piece, "'");
    token.piece = member.key;
    token.special = false;
  }
}

// `tokenizers` gives added tokens the id that the vocabulary has for them, else the next one,
// whatever the file says. A file that says something else is ambiguous.
void HfTokenizer::place_added_tokens(const Ids& ids) {
  const auto vocabulary = static_cast<int32_t>(ids.size());
  int32_t next = vocabulary;
  for (const AddedToken& added : added_) {
    const int32_t known = find_id(ids, added.content);
    const int32_t expected = known != no_id ? known : next;
    if (added.id != expected)
      fail(Status::invalid_config, "expected the id ", expected, " for the added token '",
           added.content, known != no_id ? "', as in the vocabulary" : "', the next one", ", seen ",
           added.id);
    const Token& token = tokens_[static_cast<size_t>(added.id)];
    if (known == no_id && !token.special)
      fail(Status::invalid_config, "expected an id of its own for the added token '", added.content,
           "', seen ", added.id, ", which is '", token.piece, "'");
    next = std::max(next, added.id + 1);
  }
  for (const AddedToken& added : added_) {
    Token& token = tokens_[static_cast<size_t>(added.id)];
    if (token.special) token.piece = added.content;
    token.special = added.special;
    if (added.special) special_ids_.emplace(added.content, added.id);
  }
}

BpeOptions HfTokenizer::read_bpe_options(const JsonView& model, const Ids& ids) const {
  model.check_keys({"type", "dropout", "unk_token", "continuing_subword_prefix",
                    "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                    "merges"});
  for (const std::string_view key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
    refuse_if_set(model, key);
  BpeOptions options;
  options.byte_level = pre_tokenizers_.byte_level;
  options.fuse_unknown = model.boolean_or("fuse_unk", false);
  options.ignore_merges = model.boolean_or("ignore_merges", false);
  if (const auto unknown = model.find("unk_token")) {
    options.unknown_id = find_id(ids, unknown->string());
    if (options.unknown_id == no_id)
      unknown->fail_here("expected a token of the vocabulary, seen '", unknown->string(), "'");
  }
  if (model.boolean_or("byte_fallback", false)) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    options.byte_fallback.emplace();
    for (size_t byte = 0; byte < 256; ++byte) {
      const char digits[] = {hex[byte >> 4], hex[byte & 15]};
      (*options.byte_fallback)[byte] =
          find_id(ids, concat("<0x", std::string_view(digits, 2), ">"));
    }
  }
  return options;
}

std::vector<MergeTable::Entry> HfTokenizer::read_merges(const JsonView& model, const Ids& ids,
                                                        BpeOptions& options) const {
  const JsonView list = model.at("merges");
  list.size();                                       // it is an array
  constexpr std::string_view space = "\xE2\x96\x81"; // U+2581, SentencePiece's space
  if (!options.byte_level && find_id(ids, space) != no_id) options.boundary = space;
  std::vector<MergeTable::Entry> merges;
  const Json::Array& items = *list.value().if_array();
  merges.reserve(items.size());
  std::string joined;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto [left, right] = read_merge(items[i], i, list);
    joined = left;
    joined += right;
    const std::array<int32_t, 3> found = {find_id(ids, left), find_id(ids, right),
                                          find_id(ids, joined)};
    for (size_t k = 0; k < 3; ++k) {
      if (found[k] != no_id) continue;
      list.at(i).fail_here("expected a token of the vocabulary in a merge, seen '",
                           k == 0   ? left
                           : k == 1 ? right
                                    : std::string_view(joined),
                           "'");
    }
    if (!options.boundary.empty() && !respects_boundary(joined, space)) options.boundary.clear();
    merges.push_back({found[0], found[1], {static_cast<uint32_t>(i), found[2]}});
  }
  return merges;
}

void HfTokenizer::read_model(const JsonView& model, const Ids& ids) {
  BpeOptions options = read_bpe_options(model, ids);
  const std::vector<MergeTable::Entry> merges = read_merges(model, ids, options);
  std::vector<PieceTable::Entry> pieces;
  std::array<bool, 256> has_byte = {};
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (tokens_[id].special) continue; // no token of the model
    std::optional<std::string> key = tokens_[id].piece;
    // What is not in the alphabet cannot be reached from text.
    if (options.byte_level) key = from_byte_level(*key);
    if (!key || key->empty()) continue;
    if (key->size() == 1) has_byte[static_cast<unsigned char>((*key)[0])] = true;
    pieces.push_back({std::move(*key), static_cast<int32_t>(id)});
  }
  if (options.byte_level && options.byte_fallback &&
      std::find(has_byte.begin(), has_byte.end(), false) != has_byte.end())
    fail(Status::unsupported, "byte_fallback at ", model.place(),
         " with ByteLevel is not supported where a byte has no token");
  model_ = std::make_unique<Bpe>(pieces, merges, std::move(options), vocab_size_);
}

void HfTokenizer::build_added_tokens() {
  // Where two have the same text special ones win.
  std::vector<AddedToken> ordered;
  for (const bool special : {true, false})
    for (const AddedToken& token : added_)
      if (token.special == special) ordered.push_back(token);
  std::vector<AddedToken> kinds[2]; // raw, normalized
  std::vector<std::string> texts[2];
  RegexScratch scratch;
  for (AddedToken& token : ordered) {
    std::string text = token.content;
    AlignedText changed;
    if (token.normalized && normalizer_ && normalizer_->apply({text}, changed, scratch))
      text = changed.text;
    if (text.empty())
      fail(Status::unsupported, "the added token '", token.content,
           "' is not supported: nothing is left of it once normalized");
    const size_t kind = token.normalized ? 1 : 0;
    texts[kind].push_back(std::move(text));
    kinds[kind].push_back(std::move(token));
  }
  raw_added_ = AddedTokenSplitter(std::move(kinds[0]), std::move(texts[0]));
  normalized_added_ = AddedTokenSplitter(std::move(kinds[1]), std::move(texts[1]));
}

void HfTokenizer::choose_special_tokens(const JsonView& root, const SpecialTokens& names) {
  const auto named = [&](const std::optional<std::string>& name,
                         std::string_view role) -> std::optional<int32_t> {
    if (!name) return std::nullopt;
    for (size_t id = 0; id < tokens_.size(); ++id)
      if (tokens_[id].piece == *name) return static_cast<int32_t>(id);
    fail(Status::invalid_config, "expected the ", role, " '", *name,
         "' in the vocabulary or the added tokens, seen neither");
  };
  bos_ = named(names.bos, "bos_token");
  eos_ = named(names.eos, "eos_token");
  pad_ = named(names.pad, "pad_token");
  const auto agree = [&](std::optional<int32_t>& id, std::optional<int32_t> added,
                         std::string_view role) {
    if (!added) return false;
    if (!id) id = added;
    if (*id != *added)
      fail(Status::unsupported, "expected the post-processor at ",
           root.at("post_processor").place(), " to add the ", role, " ", *id, ", seen ", *added);
    return true;
  };
  adds_bos_ = agree(bos_, post_processor_.prefix, "bos_token");
  adds_eos_ = agree(eos_, post_processor_.suffix, "eos_token");
  if (bos_) adds_bos_ = names.add_bos.value_or(adds_bos_);
  if (eos_) adds_eos_ = names.add_eos.value_or(adds_eos_);
}

// All that tokens and text depend on, with lengths where two texts could run into each other.
std::string HfTokenizer::make_fingerprint(const JsonView& root) const {
  Sha256 hash;
  const auto add = [&](const auto&... parts) {
    const std::string text = concat(parts...);
    hash.update(as_bytes(concat(text.size(), ":", text)));
  };
  add("tokenizer.json, version 1, vocabulary ", vocab_size_, " bos ", bos_.value_or(no_id), " eos ",
      eos_.value_or(no_id));
  for (const std::string_view key :
       {"normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"})
    add(section(root, key).value().to_string());
  for (const JsonMember& member : root.at("model").members())
    if (member.key != "vocab") add(member.key, " ", member.value.to_string());
  for (size_t id = 0; id < tokens_.size(); ++id)
    add(tokens_[id].piece, tokens_[id].special ? " special" : " text");
  return hash.hex_digest();
}

bool HfTokenizer::is_special(int32_t id) const {
  check_id(id);
  const auto index = static_cast<size_t>(id);
  return index >= tokens_.size() || tokens_[index].special;
}

std::optional<int32_t> HfTokenizer::special_id(std::string_view name) const {
  const auto found = special_ids_.find(std::string(name));
  if (found == special_ids_.end()) return std::nullopt;
  return found->second;
}

std::string HfTokenizer::special_name(int32_t id) const {
  if (!is_special(id) || static_cast<size_t>(id) >= tokens_.size()) return {};
  return tokens_[static_cast<size_t>(id)].piece;
}

std::string HfTokenizer::token_bytes(int32_t id) const {
  if (is_special(id)) return {};
  return tokens_[static_cast<size_t>(id)].decoded.text;
}

} // namespace anet::io
