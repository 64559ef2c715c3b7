#include "io/tokenizer/normalizer.h"

#include "base/status.h"
#include "io/tokenizer/pattern.h"
#include "io/tokenizer/unicode.h"
#include "io/tokenizer/unicode_form.h"

#include <optional>
#include <string>
#include <vector>

namespace anet::io::tokenization {
namespace {

class FormNormalizer final : public Normalizer {
public:
  explicit FormNormalizer(UnicodeForm form) : form_(form) {}
  bool apply(const Piece& input, AlignedText& output, RegexScratch&) const override {
    return normalize(form_, input, output);
  }

private:
  UnicodeForm form_;
};

class PrependNormalizer final : public Normalizer {
public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  bool apply(const Piece& input, AlignedText& output, RegexScratch&) const override {
    if (input.text.empty()) return false;
    output = prepend(input, prefix_);
    return true;
  }

private:
  std::string prefix_;
};

class ReplaceNormalizer final : public Normalizer {
public:
  ReplaceNormalizer(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  bool apply(const Piece& input, AlignedText& output, RegexScratch& scratch) const override {
    std::optional<TextWriter> writer;
    pattern_.for_each_match(input.text, scratch, [&](Match match) {
      if (!writer) writer.emplace(input, output);
      writer->copy(match.begin - writer->offset());
      writer->skip(match.end - match.begin);
      writer->insert(content_);
    });
    if (!writer) return false;
    writer->copy(input.text.size() - writer->offset());
    return true;
  }

private:
  Pattern pattern_;
  std::string content_;
};

class LowercaseNormalizer final : public Normalizer {
public:
  bool apply(const Piece& input, AlignedText& output, RegexScratch&) const override {
    TextWriter writer(input, output);
    while (!writer.at_end()) {
      const auto lower = to_lower(character_at(input.text, writer.offset()));
      writer.replace(lower[0]);
      if (lower[1] != 0) writer.insert(lower[1]);
    }
    return true;
  }
};

class StripNormalizer final : public Normalizer {
public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}

  bool apply(const Piece& input, AlignedText& output, RegexScratch&) const override {
    size_t begin = 0;
    size_t end = input.text.size();
    while (left_ && begin < end && is_white_space(character_at(input.text, begin)))
      begin += character_size(input.text[begin]);
    while (right_ && begin < end) {
      const size_t last = previous_character(input.text, end);
      if (!is_white_space(character_at(input.text, last))) break;
      end = last;
    }
    if (begin == 0 && end == input.text.size()) return false;
    TextWriter writer(input, output);
    writer.skip(begin);
    writer.copy(end - begin);
    return true;
  }

private:
  bool left_;
  bool right_;
};

class SequenceNormalizer final : public Normalizer {
public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<const Normalizer>> steps)
      : steps_(std::move(steps)) {}

  bool apply(const Piece& input, AlignedText& output, RegexScratch& scratch) const override {
    bool changed = false;
    for (const auto& step : steps_) {
      AlignedText next;
      if (!step->apply(changed ? output.piece() : input, next, scratch)) continue;
      output = std::move(next);
      changed = true;
    }
    return changed;
  }

private:
  std::vector<std::unique_ptr<const Normalizer>> steps_;
};

std::unique_ptr<const Normalizer> read_sequence(const JsonView& view) {
  const JsonView list = view.at("normalizers");
  std::vector<std::unique_ptr<const Normalizer>> steps;
  for (size_t i = 0; i < list.size(); ++i)
    if (auto step = read_normalizer(list.at(i))) steps.push_back(std::move(step));
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

} // namespace

std::unique_ptr<const Normalizer> read_normalizer(const JsonView& view) {
  if (view.value().is_null()) return nullptr;
  const std::string& type = view.at("type").string();
  if (type == "NFC") return std::make_unique<FormNormalizer>(UnicodeForm::nfc);
  if (type == "NFD") return std::make_unique<FormNormalizer>(UnicodeForm::nfd);
  if (type == "NFKC") return std::make_unique<FormNormalizer>(UnicodeForm::nfkc);
  if (type == "NFKD") return std::make_unique<FormNormalizer>(UnicodeForm::nfkd);
  if (type == "Prepend") return std::make_unique<PrependNormalizer>(view.at("prepend").string());
  if (type == "Replace")
    return std::make_unique<ReplaceNormalizer>(read_pattern(view.at("pattern")),
                                               view.at("content").string());
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "Strip")
    return std::make_unique<StripNormalizer>(view.at("strip_left").boolean(),
                                             view.at("strip_right").boolean());
  if (type == "Sequence") return read_sequence(view);
  fail(Status::unsupported, "the normalizer '", type, "' at ", view.place(),
       " is not supported: expected NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip or "
       "Sequence");
}

} // namespace anet::io::tokenization
