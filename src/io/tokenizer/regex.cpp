#include "io/tokenizer/regex.h"

#include "base/status.h"
#include "io/tokenizer/unicode.h"

#include <array>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace anet::io::tokenization {
namespace {

// Steps for one match: far above what a run of a million spaces takes, about a second's work.
constexpr uint32_t match_limit = 10'000'000;
constexpr uint32_t heap_limit_kib = 64 << 10;
constexpr size_t max_pattern_size = 64 << 10;

// Frees what PCRE2 made.
struct Deleter {
  void operator()(pcre2_code* value) const { pcre2_code_free(value); }
  void operator()(pcre2_match_data* value) const { pcre2_match_data_free(value); }
  void operator()(pcre2_match_context* value) const { pcre2_match_context_free(value); }
  void operator()(pcre2_compile_context* value) const { pcre2_compile_context_free(value); }
};

template <typename T>
std::unique_ptr<T, Deleter> owned(T* value) {
  if (value == nullptr) fail(Status::out_of_memory, "not enough memory for a regular expression");
  return std::unique_ptr<T, Deleter>(value);
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> buffer = {};
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return {reinterpret_cast<const char*>(buffer.data())};
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

} // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, Deleter> code;
  std::unique_ptr<pcre2_match_context, Deleter> limits;
};

struct RegexScratch::Data {
  // One pair of offsets: the whole match.
  std::unique_ptr<pcre2_match_data, Deleter> match = owned(pcre2_match_data_create(1, nullptr));
};

RegexScratch::RegexScratch() : data_(std::make_unique<Data>()) {}
RegexScratch::~RegexScratch() = default;

Regex::Regex(std::unique_ptr<const Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex Regex::compile(std::string_view pattern, std::string_view place) {
  return native(translate_pattern(pattern, place), place);
}

Regex Regex::literal(std::string_view text, std::string_view place) {
  if (text.empty()) fail(Status::unsupported, "expected a pattern at '", place, "', seen none");
  constexpr std::string_view hex = "0123456789abcdef";
  std::string pattern;
  for (size_t i = 0; i < text.size(); i += character_size(text[i])) {
    const char32_t character = character_at(text, i);
    pattern += "\\x{";
    for (int shift = 20; shift >= 0; shift -= 4) pattern += hex[(character >> shift) & 15];
    pattern += '}';
  }
  return native(pattern, place);
}

Regex Regex::native(const std::string& pattern, std::string_view place) {
  if (pattern.size() > max_pattern_size)
    fail(Status::unsupported, "expected a pattern of at most ", max_pattern_size, " bytes at '",
         place, "', seen ", pattern.size());
  const auto context = owned(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled =
      pcre2_compile(units(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                    &error, &offset, context.get());
  if (compiled == nullptr)
    fail(Status::unsupported, "the pattern at '", place,
         "' is not one of PCRE2: ", message_of(error));
  auto code = std::make_unique<Code>();
  code->code = owned(compiled);
  // Where no memory may be executable the interpreter takes over.
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
  code->limits = owned(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(code->limits.get(), match_limit);
  pcre2_set_heap_limit(code->limits.get(), heap_limit_kib);
  return Regex(std::move(code));
}

std::optional<Match> Regex::find(std::string_view text, size_t start, RegexScratch& scratch) const {
  pcre2_match_data* match = scratch.data_->match.get();
  const auto run = [&](uint32_t options) {
    return pcre2_match(code_->code.get(), units(text), text.size(), start,
                       PCRE2_NO_UTF_CHECK | options, match, code_->limits.get());
  };
  int result = run(0);
  // Compiled code has a small stack, the interpreter works on the heap.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result < 0)
    fail(Status::out_of_range, "the tokenizer's pattern gives up at byte ", start, " of a text of ",
         text.size(), ": ", message_of(result));
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(match);
  // \K could set the begin behind the end; the translation has none.
  return Match{offsets[0], offsets[1]};
}

std::optional<Match> MatchIterator::next() {
  while (position_ <= text_.size()) {
    const std::optional<Match> match = regex_->find(text_, position_, *scratch_);
    if (!match) break;
    if (match->begin == match->end && last_end_ == match->end) {
      position_ += position_ < text_.size() ? character_size(text_[position_]) : 1;
      continue;
    }
    position_ = match->end;
    last_end_ = match->end;
    return match;
  }
  position_ = text_.size() + 1;
  return std::nullopt;
}

} // namespace anet::io::tokenization
