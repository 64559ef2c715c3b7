// Byte-pair encoding: a word's characters, or bytes, are joined pair by pair, the earliest learned
// pair first.
#pragma once

#include "io/tokenizer/aligned_text.h"
#include "io/tokenizer/piece_table.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::io::tokenization {

struct BpeOptions {
  bool byte_level = false; // words are bytes and so are the pieces; else UTF-8 characters
  // Words need not be UTF-8: a byte that no character begins with is one with up to three
  // continuation bytes behind it, as llama2.c has it.
  bool raw_bytes = false;
  // For characters that are no piece, in this order: the pieces of their bytes, if there are all;
  // the unknown token; nothing.
  std::optional<std::array<int32_t, 256>> byte_fallback; // no_id where there is none
  int32_t unknown_id = no_id;
  bool fuse_unknown = false;  // neighbours become one unknown token
  bool ignore_merges = false; // a word that is a piece is that piece
  // Words as long as whole texts are cut before this text where no merge reaches across. Empty:
  // not.
  std::string boundary;
};

// Where tokens go.
struct TokenList {
  std::vector<int32_t>& ids;
  std::vector<TextRange>* ranges; // nullptr: not asked for
};

class BpeScratch {
private:
  friend class Bpe;
  struct Symbol {
    int32_t id;
    uint32_t begin; // bytes of the word
    uint32_t end;   // begin once it is part of another
    uint32_t previous;
    uint32_t next;
  };
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    int32_t id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  std::vector<Symbol> symbols_;
  std::vector<Merge> merges_;
  std::vector<Candidate> queue_;
};

// Immutable; usable from any thread, each with its scratch.
class Bpe {
public:
  // `self_contained` is found by trying: which pieces encode to themselves alone.
  Bpe(std::span<const PieceTable::Entry> pieces, std::span<const MergeTable::Entry> merges,
      BpeOptions options, int32_t vocab_size);

  // Appends the tokens of a word, which is not empty.
  void encode(const Piece& word, BpeScratch& scratch, TokenList tokens) const;
  int32_t find(std::string_view piece) const { return pieces_.find(piece); }

private:
  using Symbol = BpeScratch::Symbol;
  void encode_word(const Piece& word, BpeScratch& scratch, TokenList tokens) const;
  size_t symbol_size(std::string_view word, size_t at) const;
  void start(std::string_view word, BpeScratch& scratch) const;
  void merge_short(BpeScratch& scratch) const;
  void merge_long(BpeScratch& scratch) const;
  static void emit(const Piece& word, const BpeScratch& scratch, TokenList tokens);

  PieceTable pieces_;
  MergeTable merges_;
  BpeOptions options_;
  std::array<int32_t, 256> byte_ids_; // of one-byte pieces
  std::vector<bool> self_contained_;  // by id
};

} // namespace anet::io::tokenization
