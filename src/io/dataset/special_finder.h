// Special tokens by name, in texts and for display.
#pragma once

#include "base/json.h"
#include "io/tokenizer/tokenizer.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace anet::io {

// Immutable; usable from any thread. The tokenizer outlives it.
class SpecialFinder {
public:
  explicit SpecialFinder(const Tokenizer& tokenizer);

  // Whether the text has the name of a special token in it.
  bool in(std::string_view text) const;
  // In any string of the value; not in keys.
  bool in(const Json& value) const;
  // The tokens as text, special ones by their names, those without a name as "<|260|>".
  std::string spell(std::span<const int32_t> ids) const;

private:
  const Tokenizer& tokenizer_;
  std::array<std::vector<std::string>, 256> names_; // by their first byte
  std::unordered_map<int32_t, std::string> name_of_;
};

} // namespace anet::io
