// A text or an expression to look for, as normalizers, pre-tokenizers and decoders name it:
// {"String": ...} or {"Regex": ...}.
#pragma once

#include "base/json.h"
#include "io/tokenizer/regex.h"

#include <optional>
#include <string>
#include <string_view>

namespace anet::io::tokenization {

class Pattern {
public:
  explicit Pattern(std::string text) : text_(std::move(text)) {}
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}

  // Calls visit(Match) for each match, from left to right.
  template <typename Visit>
  void for_each_match(std::string_view text, RegexScratch& scratch, Visit visit) const {
    if (regex_) {
      // An expression that matches nothing at all does so nowhere in an empty text.
      if (text.empty()) return;
      MatchIterator matches(*regex_, text, scratch);
      while (const std::optional<Match> match = matches.next()) visit(*match);
      return;
    }
    for (size_t at = text.find(text_); at != std::string_view::npos;
         at = text.find(text_, at + text_.size()))
      visit(Match{at, at + text_.size()});
  }

private:
  std::string text_; // not empty if it counts
  std::optional<Regex> regex_;
};

Pattern read_pattern(const JsonView& view);

} // namespace anet::io::tokenization
