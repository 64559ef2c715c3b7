// Decoders of tokenizer.json: how pieces become text again.
#pragma once

#include "base/json.h"
#include "io/tokenizer/pattern.h"
#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace anet::io::tokenization {

// Steps that change one piece at a time.
struct ReplaceStep {
  Pattern pattern;
  std::string content;
};
struct StripStep {
  char32_t character = 0;
  int64_t start = 0; // at most so many of them are taken from each end
  int64_t stop = 0;
};
struct SpaceStep { // Metaspace
  std::string replacement;
  bool drop_first = false; // those of the first piece are nothing instead of spaces
};
using PieceStep = std::variant<ReplaceStep, StripStep, SpaceStep>;

// What a piece becomes: text, or a byte that makes characters with its neighbours.
struct DecodedPiece {
  std::string text;
  bool is_byte = false;
};

// "<0x0A>" -> 10; nullopt for what is no such piece.
std::optional<char> fallback_byte(std::string_view piece);

// The steps in the order in which they act. Immutable; usable from any thread.
class Decoder {
public:
  // null: pieces are joined by spaces. Throws unsupported for what is not known, naming it.
  static Decoder read(const JsonView& view);

  // `first`: no piece stands before it.
  DecodedPiece decode_piece(std::string_view piece, bool first) const;
  bool first_differs() const { return first_differs_; }

  // A sequence on its way. Holds back bytes until a piece that is none follows, because of bytes
  // that are no UTF-8 as a whole each becomes U+FFFD.
  class Run {
  public:
    explicit Run(const Decoder& decoder) : decoder_(&decoder), left_(decoder.strip_.start) {}
    bool at_start() const { return pieces_ == 0; }
    void push(const DecodedPiece& piece, std::string& bytes);
    void finish(std::string& bytes) { flush(bytes); }

  private:
    void flush(std::string& bytes);
    void emit(std::string piece, bool apply_late_steps, std::string& bytes);

    const Decoder* decoder_;
    int64_t left_;       // characters that may still be stripped from the start
    int64_t pieces_ = 0; // so far
    int64_t joined_ = 0; // of these, after bytes became pieces
    std::string held_;
  };

private:
  enum class Bytes { none, level, fallback };
  enum class Stage { pieces, whole };
  void read_steps(const JsonView& view);
  void add_step(PieceStep step, const JsonView& view);
  static void apply(const std::vector<PieceStep>& steps, std::string& piece, bool first);

  std::vector<PieceStep> steps_; // of pieces
  Bytes bytes_ = Bytes::none;
  std::vector<PieceStep> late_steps_; // behind the byte fallback
  Stage stage_ = Stage::pieces;
  StripStep strip_; // of the whole text
  bool join_with_spaces_ = false;
  bool first_differs_ = false;
};

} // namespace anet::io::tokenization
