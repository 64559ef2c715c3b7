// Patterns are translated exactly or refused. What they should match was tried with Oniguruma.
#include "io/tokenizer/regex.h"
#include "test_files.h"

#include <doctest/doctest.h>
#include <vector>

using namespace anet;
using namespace anet::io::tokenization;
using namespace anet::test;

namespace {

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const Regex regex = Regex::compile(pattern, "test");
  RegexScratch scratch;
  MatchIterator iterator(regex, text, scratch);
  std::vector<std::string> found;
  while (const auto match = iterator.next())
    found.push_back(text.substr(match->begin, match->end - match->begin));
  return found;
}

using Texts = std::vector<std::string>;

} // namespace

TEST_CASE("what patterns match") {
  CHECK(matches("\\p{L}+|\\p{N}{1,3}", "ab12345 \xC3\xA9") == Texts{"ab", "123", "45", "\xC3\xA9"});
  CHECK(matches("(?i:'s|'t)", "'S't'x") == Texts{"'S", "'t"});
  CHECK(matches("(?i:'s)", "'\xC5\xBF") == Texts{"'\xC5\xBF"}); // long s
  CHECK(matches("[^\\s\\p{L}]+", "a!? \xE2\x80\x83.") == Texts{"!?", "."});
  CHECK(matches("\\s+(?!\\S)|\\s+", "  a ") == Texts{" ", " ", " "});
  CHECK(matches("\\s", "\xE1\xA0\x8E\xC2\x85\xC2\xA0") == Texts{"\xC2\x85", "\xC2\xA0"});
  CHECK(matches("[\\S\\n]+", "ab\n c") == Texts{"ab\n", "c"});
  CHECK(matches("\\v", "\n\v") == Texts{"\v"});
  CHECK(matches("^a|b$", "a\nab\nb") == Texts{"a", "a", "b", "b"});
  CHECK(matches("a{,2}b", "aaab") == Texts{"aab"});
  CHECK(matches("x*", "axb") == Texts{"", "x", ""});
  CHECK(matches("[\\x41-\\u0043-]", "A-BD") == Texts{"A", "-", "B"});
  CHECK(matches("(a)(b)?+", "aba") == Texts{"ab", "a"});
  CHECK(matches("\\p{Han}|\\P{L}", "\xE4\xB8\xAD"
                                   "a1") == Texts{"\xE4\xB8\xAD", "1"});
}

TEST_CASE("what would mean something else is refused") {
  for (const char* pattern : {"\\w",
                              "\\b",
                              "\\h",
                              "[[:alpha:]]",
                              "[a&&b]",
                              "(?<name>a)",
                              "(a)\\1",
                              "a{2}+",
                              "a{2}?",
                              "x(?i)y",
                              "\\p{Alphabetic}",
                              "\\p{Greek_Extended}",
                              "\\xE9",
                              "(?i:ss)",
                              "(?i:\xC3\xA9)",
                              "(?i:\\p{Lu})",
                              "[a",
                              "(a",
                              "a)",
                              "*a",
                              "a**",
                              "\\",
                              "[b-a]",
                              "",
                              "\\x{D800}",
                              "[]a]",
                              "\\X",
                              "(?x: a)",
                              "a{b",
                              "\\u12",
                              "[a-\\d]",
                              "\\Z",
                              "\\K"}) {
    CAPTURE(pattern);
    const auto error = error_of([&] { Regex::compile(pattern, "place"); });
    REQUIRE(error);
    CHECK(error->status() == Status::unsupported);
    CHECK(error->message().find("'place'") != std::string::npos);
  }
}

TEST_CASE("no text can hang a pattern") {
  const Regex regex = Regex::compile("(?:a+)+[^a]", "test");
  RegexScratch scratch;
  const std::string text(4000, 'a');
  const auto error = error_of([&] { regex.find(text, 0, scratch); });
  REQUIRE(error);
  CHECK(error->status() == Status::out_of_range);
  // A run of a million is no problem for what tokenizers use.
  const Regex spaces = Regex::compile("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "test");
  const std::string run(1'000'000, ' ');
  CHECK(spaces.find(run, 0, scratch)->end == run.size());
}
