#include "io/tokenizer/pattern.h"

#include "base/status.h"

namespace anet::io::tokenization {

Pattern read_pattern(const JsonView& view) {
  if (const auto text = view.find("String")) {
    if (text->string().empty())
      fail(Status::unsupported, "expected a pattern at ", text->place(), ", seen an empty one");
    return Pattern(text->string());
  }
  const JsonView regex = view.at("Regex");
  return Pattern(Regex::compile(regex.string(), regex.path()));
}

} // namespace anet::io::tokenization
