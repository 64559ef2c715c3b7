#include "io/tokenizer/unicode_form.h"

#include "io/tokenizer/unicode.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace anet::io::tokenization {
namespace {

// A character and by how many the text has grown with it: 1 for one that a decomposition added, -n
// for one that n further characters went into. The old text is walked along with these numbers, as
// `tokenizers` does; where marks change places a mark therefore comes from the place it goes to.
struct Changed {
  char32_t character;
  int change;
  uint8_t combining_class;
  size_t place = 0; // in its run
};

bool is_composed(UnicodeForm form) { return form == UnicodeForm::nfc || form == UnicodeForm::nfkc; }
bool is_compatible(UnicodeForm form) {
  return form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
}

// Whether the character passes unchanged whatever stands before it.
bool is_plain(UnicodeForm form, char32_t character) {
  if (character < 0x80) return true;
  return form == UnicodeForm::nfc && is_plain_nfc(character);
}

void append_decomposed(UnicodeForm form, char32_t character, std::vector<Changed>& run) {
  std::array<char32_t, max_decomposition> parts;
  const size_t count = decompose(character, is_compatible(form), parts);
  for (size_t i = 0; i < count; ++i)
    run.push_back({parts[i], i == 0 ? 0 : 1, combining_class(parts[i]), 0});
}

// Marks behind the same starter go by their class, those of the same class in their order.
void order_marks(std::vector<Changed>& run) {
  const auto by_class = [](const Changed& a, const Changed& b) {
    return a.combining_class != b.combining_class ? a.combining_class < b.combining_class
                                                  : a.place < b.place;
  };
  for (size_t i = 0; i < run.size(); ++i) run[i].place = i;
  for (auto begin = run.begin(); begin != run.end();) {
    if (begin->combining_class == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, run.end(),
                                  [](const Changed& item) { return item.combining_class == 0; });
    std::sort(begin, end, by_class);
    begin = end;
  }
}

// Starters take in what follows them, unless a mark of the same or a higher class is between.
void compose_run(std::vector<Changed>& run) {
  std::optional<size_t> starter;
  int last_class = -1; // of the marks kept since the starter
  size_t kept = 0;
  for (size_t i = 0; i < run.size(); ++i) {
    const Changed item = run[i];
    const bool blocked = last_class >= item.combining_class;
    if (starter && !blocked) {
      if (const auto whole = compose(run[*starter].character, item.character)) {
        run[*starter].character = *whole;
        run[*starter].change += item.change - 1;
        continue;
      }
    }
    if (item.combining_class == 0) {
      starter = kept;
      last_class = -1;
    } else if (starter) {
      last_class = item.combining_class;
    }
    run[kept++] = item;
  }
  run.resize(kept);
}

} // namespace

bool normalize(UnicodeForm form, const Piece& input, AlignedText& output) {
  const std::string_view text = input.text;
  std::optional<TextWriter> writer;
  std::vector<Changed> run;
  size_t previous = 0; // where the character before `offset` begins
  for (size_t offset = 0; offset < text.size();) {
    const char32_t first = character_at(text, offset);
    if (is_plain(form, first)) {
      previous = offset;
      offset += character_size(text[offset]);
      continue;
    }
    // A run: the plain character before, which may compose with it, up to the next plain one.
    run.clear();
    size_t begin = previous;
    for (offset = begin; offset < text.size(); offset += character_size(text[offset])) {
      const char32_t character = character_at(text, offset);
      if (offset != begin && is_plain(form, character)) break;
      append_decomposed(form, character, run);
    }
    order_marks(run);
    if (is_composed(form)) compose_run(run);
    if (!writer) writer.emplace(input, output);
    writer->copy(begin - writer->offset());
    for (const Changed& item : run) {
      if (item.change > 0)
        writer->insert(item.character);
      else
        writer->replace(item.character, static_cast<size_t>(-item.change));
    }
    previous = offset;
  }
  if (!writer) return false;
  writer->copy(text.size() - writer->offset());
  return true;
}

} // namespace anet::io::tokenization
