// From Oniguruma's syntax (Ruby) to PCRE2's. Only constructs that can be given their exact meaning
// pass; classes are spelled out because the two disagree about \s, \w, \h, \v and scripts.
#include "io/tokenizer/regex.h"

#include "base/status.h"
#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace anet::io::tokenization {
namespace {

// White_Space and its complement, for inside brackets.
constexpr std::string_view space_set =
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}";
constexpr std::string_view other_than_space_set =
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x84\\x86-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{10ffff}";

constexpr std::string_view categories[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc",
                                           "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps",
                                           "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So",
                                           "Z",  "Zs", "Zl", "Zp", "Cc", "Cf"};
constexpr std::string_view scripts[] = {"Arabic",   "Armenian", "Bengali", "Cyrillic", "Devanagari",
                                        "Georgian", "Greek",    "Han",     "Hangul",   "Hebrew",
                                        "Hiragana", "Katakana", "Latin",   "Tamil",    "Thai"};

template <size_t size>
bool contains(const std::string_view (&names)[size], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

class Translator {
public:
  Translator(std::string_view pattern, std::string_view place) : pattern_(pattern), place_(place) {}
  std::string run();

private:
  struct Group {
    bool caseless;
  };

  [[noreturn]] void refuse(std::string_view what) const {
    fail(Status::unsupported, what, " in a pattern is not supported: offset ", at_, " of '",
         pattern_, "' at '", place_, "'");
  }
  bool done() const { return at_ >= pattern_.size(); }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  char32_t take_character();

  void open_group();
  void close_group();
  void item();
  void escape();
  bool simple_escape(char32_t& character);
  void quantifier();
  void bounds();
  void property(std::string& out);
  void shorthand(char letter, std::string& out, bool in_brackets);
  void bracket();
  void bracket_item(std::string& out);
  void character(char32_t character);
  char32_t hexadecimal(size_t minimum, size_t maximum);
  static void append_code(std::string& out, char32_t character);

  std::string_view pattern_;
  std::string_view place_;
  size_t at_ = 0;
  std::string out_;
  std::vector<Group> groups_;
  bool caseless_ = false;
  bool quantifiable_ = false;
  char32_t previous_ = 0; // the literal before, 0 if something else is
};

char32_t Translator::take_character() {
  const char32_t character = character_at(pattern_, at_);
  at_ += character_size(pattern_[at_]);
  return character;
}

void Translator::append_code(std::string& out, char32_t character) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += "\\x{";
  for (int shift = 20; shift >= 0; shift -= 4) out += hex[(character >> shift) & 15];
  out += '}';
}

// A literal. Oniguruma folds some pairs of letters to one character and back ("ss", "st", "fi").
void Translator::character(char32_t literal) {
  if (caseless_) {
    if (literal >= 0x80) refuse("a letter outside ASCII where case is ignored");
    const auto lower = [](char32_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; };
    const char32_t first = lower(previous_);
    const char32_t second = lower(literal);
    const bool folds = (first == 's' && (second == 's' || second == 't')) ||
                       (first == 'f' && (second == 'f' || second == 'i' || second == 'l'));
    if (folds) refuse("a pair of letters that has a ligature, where case is ignored,");
  }
  append_code(out_, literal);
  previous_ = literal;
  quantifiable_ = true;
}

char32_t Translator::hexadecimal(size_t minimum, size_t maximum) {
  char32_t value = 0;
  size_t digits = 0;
  for (; digits < maximum; ++digits, ++at_) {
    const char c = peek();
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) break;
    value = value * 16 + static_cast<char32_t>(digit);
  }
  if (digits < minimum) refuse("a hexadecimal escape without its digits");
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) refuse("an escape of no character");
  return value;
}

// An escape that stands for one character; at_ is behind the backslash.
bool Translator::simple_escape(char32_t& character) {
  constexpr std::string_view letters = "rntfvae";
  constexpr std::array<char32_t, 7> codes = {13, 10, 9, 12, 11, 7, 27};
  const char c = peek();
  if (const size_t index = letters.find(c); c != '\0' && index != std::string_view::npos) {
    ++at_;
    character = codes[index];
    return true;
  }
  if (c == 'x' || c == 'u') {
    ++at_;
    if (c == 'u') {
      character = hexadecimal(4, 4);
    } else if (peek() == '{') {
      ++at_;
      character = hexadecimal(1, 6);
      if (peek() != '}') refuse("an escape without its brace");
      ++at_;
    } else {
      character = hexadecimal(1, 2);
      if (character >= 0x80) refuse("an escaped byte");
    }
    return true;
  }
  const bool letter_or_digit =
      (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (done() || letter_or_digit) return false;
  character = take_character();
  return true;
}

// \p{Name}, \P{Name}, \p{^Name}; at_ is at the letter.
void Translator::property(std::string& out) {
  bool negated = peek() == 'P';
  ++at_;
  if (peek() != '{') refuse("a property without braces");
  ++at_;
  if (peek() == '^') {
    negated = !negated;
    ++at_;
  }
  const size_t end = pattern_.find('}', at_);
  if (end == std::string_view::npos) refuse("a property without its brace");
  const std::string_view name = pattern_.substr(at_, end - at_);
  const bool script = contains(scripts, name);
  if (!script && !contains(categories, name)) refuse(concat("the property '", name, "'"));
  if (caseless_ && (name == "Lu" || name == "Ll" || name == "Lt"))
    refuse("a property of case where case is ignored");
  at_ = end + 1;
  out += concat(negated ? "\\P{" : "\\p{", script ? "sc:" : "", name, "}");
}

// \s \S \d \D \w \W.
void Translator::shorthand(char letter, std::string& out, bool in_brackets) {
  std::string set;
  switch (letter) {
  case 's':
    set = space_set;
    break;
  case 'S':
    set = other_than_space_set;
    break;
  case 'd':
    set = "\\p{Nd}";
    break;
  case 'D':
    set = "\\P{Nd}";
    break;
  default:
    refuse(concat("\\", std::string(1, letter)));
  }
  // The negated bracket is the same set, and cheaper.
  if (letter == 'S' && !in_brackets) set = concat("^", space_set);
  ++at_;
  out += in_brackets ? set : concat("[", set, "]");
}

void Translator::escape() {
  ++at_;
  const char c = peek();
  quantifiable_ = true;
  if (c == 'p' || c == 'P') {
    property(out_);
  } else if (std::string_view("sSdDwW").find(c) != std::string_view::npos && c != '\0') {
    shorthand(c, out_, false);
  } else if (c == 'A' || c == 'z') {
    ++at_;
    out_ += concat("\\", std::string(1, c));
    quantifiable_ = false;
  } else {
    char32_t code = 0;
    if (!simple_escape(code)) refuse(done() ? "a backslash at the end" : "an escape of this kind");
    character(code);
    return;
  }
  previous_ = 0;
}

void Translator::bracket_item(std::string& out) {
  const auto single = [&](char32_t& code) {
    const char c = peek();
    if (c == '[') refuse("a set inside a set");
    if (c != '\\') {
      code = take_character();
      return true;
    }
    ++at_;
    if (simple_escape(code)) return true;
    --at_;
    return false;
  };
  char32_t first = 0;
  if (!single(first)) {
    ++at_; // the backslash
    const char c = peek();
    if (c == 'p' || c == 'P')
      property(out);
    else
      shorthand(c, out, true);
    if (peek() == '-' && peek(1) != ']') refuse("a range that begins with a class");
    return;
  }
  append_code(out, first);
  char32_t last = first;
  if (peek() == '-' && peek(1) != ']' && at_ + 1 < pattern_.size()) {
    ++at_;
    if (!single(last)) refuse("a range that ends with a class");
    if (last < first) refuse("a range with its ends in the wrong order");
    out += '-';
    append_code(out, last);
  }
  if (caseless_ && last >= 0x80) refuse("a set of more than ASCII where case is ignored");
}

void Translator::bracket() {
  std::string set = "[";
  ++at_;
  if (peek() == '^') {
    set += '^';
    ++at_;
  }
  if (peek() == ']') refuse("an empty set");
  while (peek() != ']' || done()) {
    if (done()) refuse("a set without its end");
    if (starts("&&")) refuse("an intersection of sets");
    bracket_item(set);
  }
  ++at_;
  out_ += set + "]";
  previous_ = 0;
  quantifiable_ = true;
}

void Translator::open_group() {
  constexpr std::string_view openings[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
  if (groups_.size() >= 100) refuse("nesting of more than 100 groups");
  groups_.push_back({caseless_});
  quantifiable_ = false;
  previous_ = 0;
  for (const std::string_view opening : openings) {
    if (!starts(opening)) continue;
    out_ += opening;
    at_ += opening.size();
    return;
  }
  if (starts("(?i:")) {
    out_ += "(?i:";
    at_ += 4;
    caseless_ = true;
  } else if (starts("(?-i:")) {
    out_ += "(?-i:";
    at_ += 5;
    caseless_ = false;
  } else if (starts("(?i)") && at_ == 0) {
    // Elsewhere it would hold to the end of the group, alternatives included.
    groups_.pop_back();
    out_ += "(?i)";
    at_ += 4;
    caseless_ = true;
  } else if (starts("(?")) {
    refuse("a group of this kind");
  } else {
    out_ += "(?:"; // nobody asks what groups captured
    ++at_;
  }
}

void Translator::close_group() {
  if (groups_.empty()) refuse("a parenthesis without its partner");
  caseless_ = groups_.back().caseless;
  groups_.pop_back();
  out_ += ')';
  ++at_;
  previous_ = 0;
  quantifiable_ = true;
}

// {n}, {n,}, {,m}, {n,m}: at_ is at the brace.
void Translator::bounds() {
  const size_t end = pattern_.find('}', at_);
  const std::string_view inside =
      end == std::string_view::npos ? std::string_view() : pattern_.substr(at_ + 1, end - at_ - 1);
  const size_t comma = inside.find(',');
  const auto digits = [](std::string_view text) {
    return text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::string_view low = inside.substr(0, comma);
  const std::string_view high =
      comma == std::string_view::npos ? std::string_view() : inside.substr(comma + 1);
  if (!digits(low) || !digits(high) || (low.empty() && high.empty()))
    refuse("a brace that is no repetition");
  if (!quantifiable_) refuse("a repetition of nothing");
  out_ +=
      concat("{", low.empty() ? "0" : low, comma == std::string_view::npos ? "" : ",", high, "}");
  at_ = end + 1;
  quantifiable_ = false;
  previous_ = 0;
  if (peek() == '?' && comma != std::string_view::npos) {
    out_ += '?';
    ++at_;
  } else if (peek() == '?' || peek() == '+') {
    refuse("this suffix of a repetition");
  }
}

void Translator::quantifier() {
  if (!quantifiable_) refuse("a repetition of nothing or of a repetition");
  out_ += peek();
  ++at_;
  if (peek() == '?' || peek() == '+') { // lazy, possessive
    out_ += peek();
    ++at_;
  }
  quantifiable_ = false;
  previous_ = 0;
}

void Translator::item() {
  switch (peek()) {
  case '\\':
    return escape();
  case '[':
    return bracket();
  case '(':
    return open_group();
  case ')':
    return close_group();
  case '{':
    return bounds();
  case '*':
  case '+':
  case '?':
    return quantifier();
  case '|':
    out_ += '|';
    quantifiable_ = false;
    break;
  case '.':
    out_ += "[^\\n]";
    quantifiable_ = true;
    break;
  case '^': // begins of lines, but not the place behind the last newline
    out_ += "(?:\\A|(?<=\\n)(?!\\z))";
    quantifiable_ = false;
    break;
  case '$':
    out_ += "(?=\\n|\\z)";
    quantifiable_ = false;
    break;
  default:
    return character(take_character());
  }
  ++at_;
  previous_ = 0;
}

std::string Translator::run() {
  if (pattern_.empty()) refuse("nothing");
  while (!done()) item();
  if (!groups_.empty()) refuse("a group without its end");
  return std::move(out_);
}

} // namespace

std::string translate_pattern(std::string_view pattern, std::string_view place) {
  return Translator(pattern, place).run();
}

} // namespace anet::io::tokenization
