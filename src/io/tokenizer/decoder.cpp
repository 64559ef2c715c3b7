#include "io/tokenizer/decoder.h"

#include "base/status.h"
#include "base/utf8.h"
#include "io/tokenizer/byte_level.h"
#include "io/tokenizer/unicode.h"

#include <charconv>

namespace anet::io::tokenization {
namespace {

void replace_all(const ReplaceStep& step, std::string& piece) {
  RegexScratch scratch;
  std::string result;
  size_t done = 0;
  step.pattern.for_each_match(piece, scratch, [&](Match match) {
    result.append(piece, done, match.begin - done);
    result += step.content;
    done = match.end;
  });
  result.append(piece, done);
  piece = std::move(result);
}

void strip(const StripStep& step, std::string& piece) {
  std::string_view left = piece;
  for (int64_t i = 0; i < step.start && !left.empty(); ++i) {
    if (character_at(left, 0) != step.character) break;
    left.remove_prefix(character_size(left[0]));
  }
  for (int64_t i = 0; i < step.stop && !left.empty(); ++i) {
    const size_t last = previous_character(left, left.size());
    if (character_at(left, last) != step.character) break;
    left = left.substr(0, last);
  }
  piece = std::string(left);
}

void replace_spaces(const SpaceStep& step, std::string& piece, bool first) {
  const std::string_view space = first && step.drop_first ? "" : " ";
  std::string result;
  size_t done = 0;
  for (size_t at = piece.find(step.replacement); at != std::string::npos;
       at = piece.find(step.replacement, done)) {
    result.append(piece, done, at - done);
    result += space;
    done = at + step.replacement.size();
  }
  result.append(piece, done);
  piece = std::move(result);
}

std::string read_character(const JsonView& view) {
  const std::string& text = view.string();
  if (text.empty() || character_size(text[0]) != text.size())
    view.fail_here("expected one character, seen '", text, "'");
  return text;
}

StripStep read_strip(const JsonView& view) {
  return {.character = character_at(read_character(view.at("content")), 0),
          .start = view.at("start").integer(0, INT32_MAX),
          .stop = view.at("stop").integer(0, INT32_MAX)};
}

SpaceStep read_metaspace(const JsonView& view) {
  const bool never = view.string_or("prepend_scheme", "always") == "never" ||
                     !view.boolean_or("add_prefix_space", true);
  return {.replacement = read_character(view.at("replacement")), .drop_first = !never};
}

} // namespace

std::optional<char> fallback_byte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return std::nullopt;
  uint8_t value = 0;
  const char* end = piece.data() + 5;
  const auto result = std::from_chars(piece.data() + 3, end, value, 16);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return static_cast<char>(value);
}

void Decoder::add_step(PieceStep step, const JsonView& view) {
  if (bytes_ == Bytes::level || stage_ == Stage::whole)
    fail(Status::unsupported, "the decoder '", view.at("type").string(), "' at ", view.place(),
         " behind ByteLevel or Fuse is not supported");
  if (const auto* space = std::get_if<SpaceStep>(&step))
    first_differs_ = first_differs_ || space->drop_first;
  if (bytes_ == Bytes::fallback) {
    late_steps_.push_back(std::move(step));
    first_differs_ = true; // Run applies them to the first piece
  } else {
    steps_.push_back(std::move(step));
  }
}

void Decoder::read_steps(const JsonView& view) {
  const std::string& type = view.at("type").string();
  const auto refuse = [&](std::string_view where) {
    fail(Status::unsupported, "the decoder '", type, "' at ", view.place(), " ", where,
         " is not supported");
  };
  if (type == "Sequence") {
    const JsonView list = view.at("decoders");
    for (size_t i = 0; i < list.size(); ++i) read_steps(list.at(i));
  } else if (type == "ByteLevel" || type == "ByteFallback") {
    if (bytes_ != Bytes::none || stage_ == Stage::whole)
      refuse("behind ByteLevel, ByteFallback or Fuse");
    bytes_ = type == "ByteLevel" ? Bytes::level : Bytes::fallback;
  } else if (type == "Fuse") {
    stage_ = Stage::whole;
  } else if (type == "Strip") {
    StripStep step = read_strip(view);
    if (stage_ != Stage::whole) return add_step(PieceStep(step), view);
    // The end of a text that still grows is not known.
    if (bytes_ == Bytes::level || step.stop != 0 || strip_.start != 0)
      refuse("behind Fuse, with a stop, twice or for bytes,");
    strip_ = step;
  } else if (type == "Replace") {
    add_step(ReplaceStep{read_pattern(view.at("pattern")), view.at("content").string()}, view);
  } else if (type == "Metaspace") {
    add_step(read_metaspace(view), view);
  } else {
    fail(Status::unsupported, "the decoder '", type, "' at ", view.place(),
         " is not supported: expected ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace or "
         "Sequence");
  }
}

Decoder Decoder::read(const JsonView& view) {
  Decoder decoder;
  if (view.value().is_null())
    decoder.join_with_spaces_ = true;
  else
    decoder.read_steps(view);
  return decoder;
}

void Decoder::apply(const std::vector<PieceStep>& steps, std::string& piece, bool first) {
  for (const PieceStep& step : steps) {
    if (const auto* replace = std::get_if<ReplaceStep>(&step))
      replace_all(*replace, piece);
    else if (const auto* strip_step = std::get_if<StripStep>(&step))
      strip(*strip_step, piece);
    else
      replace_spaces(std::get<SpaceStep>(step), piece, first);
  }
}

DecodedPiece Decoder::decode_piece(std::string_view piece, bool first) const {
  DecodedPiece result{std::string(piece), false};
  apply(steps_, result.text, first);
  if (bytes_ == Bytes::level) {
    if (std::optional<std::string> bytes = from_byte_level(result.text))
      result.text = std::move(*bytes);
    return result;
  }
  if (bytes_ == Bytes::fallback) {
    if (const std::optional<char> byte = fallback_byte(result.text))
      return {std::string(1, *byte), true};
  }
  if (!late_steps_.empty() && !first) apply(late_steps_, result.text, false);
  return result;
}

void Decoder::Run::emit(std::string piece, bool apply_late_steps, std::string& bytes) {
  if (apply_late_steps) apply(decoder_->late_steps_, piece, joined_ == 0);
  ++joined_;
  std::string_view left = piece;
  while (left_ > 0 && !left.empty()) {
    if (character_at(left, 0) != decoder_->strip_.character) {
      left_ = 0;
      break;
    }
    left.remove_prefix(character_size(left[0]));
    --left_;
  }
  bytes += left;
}

void Decoder::Run::flush(std::string& bytes) {
  if (held_.empty()) return;
  std::string held = std::move(held_);
  held_.clear();
  if (find_invalid_utf8(held) == std::string_view::npos) return emit(held, true, bytes);
  for (size_t i = 0; i < held.size(); ++i) emit(std::string(utf8_replacement), true, bytes);
}

void Decoder::Run::push(const DecodedPiece& piece, std::string& bytes) {
  const bool first = at_start();
  ++pieces_;
  if (decoder_->join_with_spaces_ && !first) bytes += ' ';
  if (piece.is_byte) {
    held_ += piece.text;
    return;
  }
  flush(bytes);
  // decode_piece has applied the late steps to all but the first piece.
  emit(piece.text, first && !decoder_->late_steps_.empty(), bytes);
}

} // namespace anet::io::tokenization
