// Regular expressions of tokenizers. The patterns are written for Oniguruma (Ruby's syntax), which
// `tokenizers` uses; they are translated for PCRE2, and what would mean something else is refused.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace anet::io::tokenization {

struct Match {
  size_t begin = 0; // bytes
  size_t end = 0;
};

// The same expression for PCRE2 (UTF, newline LF). Throws unsupported for what it cannot express
// exactly, naming the construct; `place` is where the pattern stands, for messages.
std::string translate_pattern(std::string_view pattern, std::string_view place);

class RegexScratch;

// A compiled expression. Immutable: any number of threads may use one, each with its scratch.
class Regex {
public:
  // Throws unsupported for syntax that we do not have.
  static Regex compile(std::string_view pattern, std::string_view place);
  // Matches this text and nothing else; the text is not empty.
  static Regex literal(std::string_view text, std::string_view place);
  // An expression in PCRE2's own syntax.
  static Regex native(const std::string& pattern, std::string_view place);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // The first match at or after `start`. The text is valid UTF-8. Throws out_of_range when the work
  // for a match exceeds its limit: no text can hang it.
  std::optional<Match> find(std::string_view text, size_t start, RegexScratch& scratch) const;

private:
  struct Code;
  explicit Regex(std::unique_ptr<const Code> code);

  std::unique_ptr<const Code> code_;
};

// What matching writes to; serves any expression.
class RegexScratch {
public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

private:
  friend class Regex;
  struct Data;
  std::unique_ptr<Data> data_;
};

// Successive matches as `tokenizers` finds them: an empty match directly behind the last one does
// not count.
class MatchIterator {
public:
  MatchIterator(const Regex& regex, std::string_view text, RegexScratch& scratch)
      : regex_(&regex), text_(text), scratch_(&scratch) {}
  std::optional<Match> next();

private:
  const Regex* regex_;
  std::string_view text_;
  RegexScratch* scratch_;
  size_t position_ = 0;
  std::optional<size_t> last_end_;
};

} // namespace anet::io::tokenization
