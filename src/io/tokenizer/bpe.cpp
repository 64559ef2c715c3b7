#include "io/tokenizer/bpe.h"

#include "base/status.h"
#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <functional>

namespace anet::io::tokenization {
namespace {

// Up to this many symbols, looking at all of them beats a queue.
constexpr size_t short_word = 40;
constexpr uint32_t none = UINT32_MAX;

struct ByteSpan {
  size_t begin;
  size_t end;
};

} // namespace

Bpe::Bpe(std::span<const PieceTable::Entry> pieces, std::span<const MergeTable::Entry> merges,
         BpeOptions options, int32_t vocab_size)
    : pieces_(pieces), merges_(merges), options_(std::move(options)),
      self_contained_(static_cast<size_t>(vocab_size), false) {
  for (size_t byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    byte_ids_[byte] = pieces_.find({&text, 1});
  }
  BpeScratch scratch;
  std::vector<int32_t> ids;
  for (const PieceTable::Entry& piece : pieces) {
    ids.clear();
    if (piece.key.empty()) continue;
    encode_word({piece.key}, scratch, {ids, nullptr});
    self_contained_[static_cast<size_t>(piece.id)] = ids.size() == 1 && ids[0] == piece.id;
  }
}

void Bpe::encode(const Piece& word, BpeScratch& scratch, TokenList tokens) const {
  if (word.text.size() > UINT32_MAX / 2)
    fail(Status::out_of_range, "expected a word of less than 2 GiB, seen ", word.text.size());
  if (options_.ignore_merges) {
    if (const int32_t id = pieces_.find(word.text); id != no_id) {
      tokens.ids.push_back(id);
      if (tokens.ranges != nullptr) tokens.ranges->push_back(word.range(0, word.text.size()));
      return;
    }
  }
  const std::string_view boundary = options_.boundary;
  if (boundary.empty()) return encode_word(word, scratch, tokens);
  size_t begin = 0;
  for (size_t at = word.text.find(boundary); at != std::string_view::npos;) {
    // Nothing is cut between two boundaries: runs of spaces are pieces.
    if (at > begin) {
      encode_word(word.part(begin, at), scratch, tokens);
      begin = at;
    }
    while (word.text.substr(at).starts_with(boundary)) at += boundary.size();
    at = word.text.find(boundary, at);
  }
  encode_word(word.part(begin, word.text.size()), scratch, tokens);
}

void Bpe::encode_word(const Piece& word, BpeScratch& scratch, TokenList tokens) const {
  const int32_t whole = pieces_.find(word.text);
  if (whole != no_id && self_contained_[static_cast<size_t>(whole)]) {
    tokens.ids.push_back(whole);
    if (tokens.ranges != nullptr) tokens.ranges->push_back(word.range(0, word.text.size()));
    return;
  }
  start(word.text, scratch);
  if (scratch.symbols_.size() <= short_word)
    merge_short(scratch);
  else
    merge_long(scratch);
  emit(word, scratch, tokens);
}

// Bytes of the character at `at`, or of what takes its place.
size_t Bpe::symbol_size(std::string_view word, size_t at) const {
  if (options_.byte_level) return 1;
  if (!options_.raw_bytes) return character_size(word[at]);
  size_t size = 1;
  while (size < 4 && at + size < word.size() &&
         (static_cast<unsigned char>(word[at + size]) & 0xC0) == 0x80)
    ++size;
  return size;
}

// The symbols that merging begins with.
void Bpe::start(std::string_view word, BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols_;
  symbols.clear();
  std::optional<ByteSpan> unknown; // characters that wait to become a token
  const auto add = [&](int32_t id, size_t begin, size_t end) {
    symbols.push_back({id, static_cast<uint32_t>(begin), static_cast<uint32_t>(end), 0, 0});
  };
  const auto flush = [&] {
    if (unknown) add(options_.unknown_id, unknown->begin, unknown->end);
    unknown.reset();
  };
  for (size_t i = 0; i < word.size();) {
    const size_t size = symbol_size(word, i);
    const std::string_view character = word.substr(i, size);
    const size_t begin = i;
    i += size;
    const int32_t id =
        size == 1 ? byte_ids_[static_cast<unsigned char>(character[0])] : pieces_.find(character);
    if (id != no_id) {
      flush();
      add(id, begin, i);
      continue;
    }
    if (options_.byte_fallback) {
      const auto byte_id = [&](char byte) {
        return (*options_.byte_fallback)[static_cast<unsigned char>(byte)];
      };
      if (std::all_of(character.begin(), character.end(),
                      [&](char byte) { return byte_id(byte) != no_id; })) {
        // Unknown characters that wait go on waiting, as they do in `tokenizers`.
        for (size_t k = 0; k < size; ++k) add(byte_id(character[k]), begin + k, begin + k + 1);
        continue;
      }
    }
    if (options_.unknown_id == no_id) continue; // its neighbours become neighbours
    if (!options_.fuse_unknown) flush();
    if (!unknown) unknown = ByteSpan{begin, begin};
    unknown->end = i;
  }
  flush();
}

void Bpe::merge_short(BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols_;
  std::vector<Merge>& merges = scratch.merges_; // of each symbol and the one behind it
  const auto merge_at = [&](size_t i) { return merges_.find(symbols[i].id, symbols[i + 1].id); };
  merges.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) merges.push_back(merge_at(i));
  while (!merges.empty()) {
    size_t best = 0;
    for (size_t i = 0; i < merges.size(); ++i)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].id == no_id) return;
    symbols[best].id = merges[best].id;
    symbols[best].end = symbols[best + 1].end;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    merges.erase(merges.begin() + static_cast<std::ptrdiff_t>(best));
    if (best > 0) merges[best - 1] = merge_at(best - 1);
    if (best < merges.size()) merges[best] = merge_at(best);
  }
}

void Bpe::merge_long(BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols_;
  auto& queue = scratch.queue_;
  const auto later = std::greater<BpeScratch::Candidate>();
  const auto push = [&](uint32_t position) {
    const uint32_t next = symbols[position].next;
    if (next == none) return;
    const Merge merge = merges_.find(symbols[position].id, symbols[next].id);
    if (merge.id != no_id) queue.push_back({merge.rank, position, merge.id});
  };
  const auto count = static_cast<uint32_t>(symbols.size());
  for (uint32_t i = 0; i < count; ++i) {
    symbols[i].previous = i == 0 ? none : i - 1;
    symbols[i].next = i + 1 == count ? none : i + 1;
  }
  queue.clear();
  for (uint32_t i = 0; i < count; ++i) push(i);
  std::make_heap(queue.begin(), queue.end(), later);
  const auto push_ordered = [&](uint32_t position) {
    const size_t size = queue.size();
    push(position);
    if (queue.size() > size) std::push_heap(queue.begin(), queue.end(), later);
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const BpeScratch::Candidate best = queue.back();
    queue.pop_back();
    Symbol& symbol = symbols[best.position];
    if (symbol.begin == symbol.end || symbol.next == none) continue;
    Symbol& next = symbols[symbol.next];
    // The pair may have changed since.
    const Merge merge = merges_.find(symbol.id, next.id);
    if (merge.id != best.id || merge.rank != best.rank) continue;
    symbol.id = best.id;
    symbol.end = next.end;
    next.end = next.begin;
    symbol.next = next.next;
    if (symbol.next != none) symbols[symbol.next].previous = best.position;
    if (symbol.previous != none) push_ordered(symbol.previous);
    push_ordered(best.position);
  }
  std::erase_if(symbols, [](const Symbol& symbol) { return symbol.begin == symbol.end; });
}

void Bpe::emit(const Piece& word, const BpeScratch& scratch, TokenList tokens) {
  for (const Symbol& symbol : scratch.symbols_) {
    tokens.ids.push_back(symbol.id);
    if (tokens.ranges != nullptr) tokens.ranges->push_back(word.range(symbol.begin, symbol.end));
  }
}

} // namespace anet::io::tokenization
