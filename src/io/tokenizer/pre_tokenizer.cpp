#include "io/tokenizer/pre_tokenizer.h"

#include "base/status.h"
#include "io/tokenizer/pattern.h"
#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <optional>
#include <string>

namespace anet::io::tokenization {
namespace {

// What becomes of the matches, the delimiters.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct Part {
  size_t begin = 0;
  size_t end = 0;
  bool delimiter = false;
};

// Receives alternating text and delimiters, and hands on the words that the behaviour makes of
// them.
class Splitter {
public:
  Splitter(const Piece& input, Behavior behavior, bool invert, PieceSink& sink)
      : input_(input), behavior_(behavior), invert_(invert), sink_(sink) {}

  void match(Match found) {
    if (found.begin != end_) part(end_, found.begin, false);
    part(found.begin, found.end, true);
    end_ = found.end;
  }
  void finish() {
    if (end_ != input_.text.size()) part(end_, input_.text.size(), false);
    emit(held_);
  }

private:
  void emit(const Part& word) {
    if (word.begin < word.end) sink_.take(input_.part(word.begin, word.end));
  }

  void part(size_t begin, size_t end, bool matched) {
    const Part next{begin, end, matched != invert_};
    switch (behavior_) {
    case Behavior::removed:
      if (!next.delimiter) emit(next);
      return;
    case Behavior::isolated:
      emit(next);
      return;
    case Behavior::contiguous:
      return join(next, held_.delimiter == next.delimiter);
    case Behavior::merged_with_previous:
      return join(next, next.delimiter && !held_.delimiter);
    case Behavior::merged_with_next:
      return join(next, held_.delimiter && !next.delimiter);
    }
  }

  // One word with what is held back, or the next to be held back.
  void join(const Part& next, bool together) {
    if (together) {
      held_.end = next.end;
      held_.delimiter = next.delimiter;
      return;
    }
    emit(held_);
    held_ = next;
  }

  const Piece& input_;
  Behavior behavior_;
  bool invert_;
  PieceSink& sink_;
  size_t end_ = 0; // of what came
  Part held_;      // to be handed on unless the next part joins it; empty at first
};

class SplitStep final : public PreTokenizer {
public:
  SplitStep(Pattern pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(const Piece& input, RegexScratch& scratch, PieceSink& sink) const override {
    Splitter splitter(input, behavior_, invert_, sink);
    pattern_.for_each_match(input.text, scratch, [&](Match found) { splitter.match(found); });
    splitter.finish();
  }

private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

// Cuts at characters of a kind.
class CharacterStep final : public PreTokenizer {
public:
  using Predicate = bool (*)(char32_t);
  CharacterStep(Predicate is_delimiter, Behavior behavior)
      : is_delimiter_(is_delimiter), behavior_(behavior) {}

  void apply(const Piece& input, RegexScratch&, PieceSink& sink) const override {
    Splitter splitter(input, behavior_, false, sink);
    for (size_t at = 0; at < input.text.size();) {
      const size_t end = at + character_size(input.text[at]);
      if (is_delimiter_(character_at(input.text, at))) splitter.match({at, end});
      at = end;
    }
    splitter.finish();
  }

private:
  Predicate is_delimiter_;
  Behavior behavior_;
};

// GPT-2's. The bytes are left as they are; the model's pieces are translated instead.
class ByteLevelStep final : public PreTokenizer {
public:
  ByteLevelStep(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space) {
    if (use_regex)
      words_ = Regex::compile("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                              "|\\s+(?!\\S)|\\s+",
                              "ByteLevel");
  }

  void apply(const Piece& input, RegexScratch& scratch, PieceSink& sink) const override {
    if (add_prefix_space_ && input.text.front() != ' ') {
      const AlignedText prefixed = prepend(input, " ");
      return split(prefixed.piece(), scratch, sink);
    }
    split(input, scratch, sink);
  }

private:
  void split(const Piece& input, RegexScratch& scratch, PieceSink& sink) const {
    if (!words_) return sink.take(input);
    Splitter splitter(input, Behavior::isolated, false, sink);
    MatchIterator matches(*words_, input.text, scratch);
    while (const std::optional<Match> found = matches.next()) splitter.match(*found);
    splitter.finish();
  }

  bool add_prefix_space_;
  std::optional<Regex> words_;
};

// Spaces become a visible character, which begins words.
class MetaspaceStep final : public PreTokenizer {
public:
  enum class Prefix { never, first, always };
  MetaspaceStep(std::string replacement, Prefix prefix, bool split)
      : replacement_(std::move(replacement)), prefix_(prefix), split_(split) {}

  void apply(const Piece& input, RegexScratch&, PieceSink& sink) const override {
    AlignedText text;
    TextWriter writer(input, text);
    while (!writer.at_end()) {
      const size_t space = std::min(input.text.find(' ', writer.offset()), input.text.size());
      writer.copy(space - writer.offset());
      if (writer.at_end()) break;
      writer.skip(1);
      writer.insert(replacement_);
    }
    const bool wanted =
        prefix_ == Prefix::always ||
        (prefix_ == Prefix::first && input.sources != nullptr && input.sources[0].begin == 0);
    if (wanted && !text.text.starts_with(replacement_)) text = prepend(text.piece(), replacement_);
    if (text.text.empty()) return;
    if (!split_) return sink.take(text.piece());
    const Piece piece = text.piece();
    Splitter splitter(piece, Behavior::merged_with_next, false, sink);
    for (size_t at = text.text.find(replacement_); at != std::string::npos;
         at = text.text.find(replacement_, at + replacement_.size()))
      splitter.match({at, at + replacement_.size()});
    splitter.finish();
  }

private:
  std::string replacement_;
  Prefix prefix_;
  bool split_;
};

Behavior read_behavior(const JsonView& view) {
  struct Name {
    std::string_view name;
    Behavior behavior;
  };
  constexpr Name names[] = {{"Removed", Behavior::removed},
                            {"Isolated", Behavior::isolated},
                            {"MergedWithPrevious", Behavior::merged_with_previous},
                            {"MergedWithNext", Behavior::merged_with_next},
                            {"Contiguous", Behavior::contiguous}};
  for (const Name& entry : names)
    if (view.string() == entry.name) return entry.behavior;
  fail(Status::unsupported, "the behavior '", view.string(), "' at ", view.place(),
       " is not supported: expected Removed, Isolated, MergedWithPrevious, MergedWithNext or "
       "Contiguous");
}

std::unique_ptr<const PreTokenizer> read_metaspace(const JsonView& view, PreTokenizers& result) {
  using Prefix = MetaspaceStep::Prefix;
  const std::string& replacement = view.at("replacement").string();
  if (replacement.empty() || character_size(replacement[0]) != replacement.size())
    view.at("replacement").fail_here("expected one character, seen '", replacement, "'");
  const std::string scheme = view.string_or("prepend_scheme", "always");
  Prefix prefix = Prefix::always;
  if (scheme == "never" || !view.boolean_or("add_prefix_space", true))
    prefix = Prefix::never;
  else if (scheme == "first")
    prefix = Prefix::first;
  else if (scheme != "always")
    view.at("prepend_scheme").fail_here("expected always, first or never, seen '", scheme, "'");
  result.needs_sources = result.needs_sources || prefix == Prefix::first;
  return std::make_unique<MetaspaceStep>(replacement, prefix, view.boolean_or("split", true));
}

void read_steps(const JsonView& view, PreTokenizers& result) {
  if (view.value().is_null()) return;
  const std::string& type = view.at("type").string();
  // It changes the alphabet, which later steps would have to know.
  if (result.byte_level)
    fail(Status::unsupported, "the pre-tokenizer '", type, "' at ", view.place(),
         " behind ByteLevel is not supported: expected ByteLevel to be the last");
  auto& steps = result.steps;
  if (type == "Sequence") {
    const JsonView list = view.at("pretokenizers");
    for (size_t i = 0; i < list.size(); ++i) read_steps(list.at(i), result);
  } else if (type == "Split") {
    steps.push_back(std::make_unique<SplitStep>(read_pattern(view.at("pattern")),
                                                read_behavior(view.at("behavior")),
                                                view.at("invert").boolean()));
  } else if (type == "ByteLevel") {
    steps.push_back(std::make_unique<ByteLevelStep>(view.at("add_prefix_space").boolean(),
                                                    view.boolean_or("use_regex", true)));
    result.byte_level = true;
  } else if (type == "Digits") {
    steps.push_back(std::make_unique<CharacterStep>(
        is_numeric,
        view.boolean_or("individual_digits", false) ? Behavior::isolated : Behavior::contiguous));
  } else if (type == "Punctuation") {
    const auto behavior = view.find("behavior");
    steps.push_back(std::make_unique<CharacterStep>(
        is_punctuation, behavior ? read_behavior(*behavior) : Behavior::isolated));
  } else if (type == "WhitespaceSplit") {
    steps.push_back(std::make_unique<CharacterStep>(is_white_space, Behavior::removed));
  } else if (type == "Metaspace") {
    steps.push_back(read_metaspace(view, result));
  } else {
    fail(Status::unsupported, "the pre-tokenizer '", type, "' at ", view.place(),
         " is not supported: expected Split, ByteLevel, Digits, Metaspace, Punctuation, "
         "WhitespaceSplit or Sequence");
  }
}

// Hands the words of one step to the steps behind it.
class Chain final : public PieceSink {
public:
  Chain(const PreTokenizers& steps, size_t next, RegexScratch& scratch, PieceSink& sink)
      : steps_(steps), next_(next), scratch_(scratch), sink_(sink) {}

  void take(const Piece& word) override {
    if (next_ == steps_.steps.size()) return sink_.take(word);
    Chain rest(steps_, next_ + 1, scratch_, sink_);
    PieceSink& sink = next_ + 1 == steps_.steps.size() ? sink_ : rest;
    steps_.steps[next_]->apply(word, scratch_, sink);
  }

private:
  const PreTokenizers& steps_;
  size_t next_;
  RegexScratch& scratch_;
  PieceSink& sink_;
};

} // namespace

void PreTokenizers::apply(const Piece& input, RegexScratch& scratch, PieceSink& sink) const {
  if (!input.text.empty()) Chain(*this, 0, scratch, sink).take(input);
}

PreTokenizers read_pre_tokenizers(const JsonView& view) {
  constexpr size_t max_steps = 64; // each is a level of calls
  PreTokenizers result;
  read_steps(view, result);
  if (result.steps.size() > max_steps)
    fail(Status::unsupported, "expected at most ", max_steps, " pre-tokenizers, seen ",
         result.steps.size());
  return result;
}

} // namespace anet::io::tokenization
