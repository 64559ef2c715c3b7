// Schemes of quantization as words: "int8", "int4:64", "down_proj.weight=int8".
#pragma once

#include "args.h"
#include "handles.h"

#include <deque>
#include <string>
#include <vector>

namespace cli {

// "int4_block:32"; "fp32" for what is not compressed.
std::string scheme_name(anet_compression compression, int32_t block_size);

class QuantizeFlags {
public:
  // The option --<key> SCHEME, and --override PATTERN=SCHEME, which can be repeated.
  std::vector<Option> options(const std::string& key);

  bool given() const { return !scheme_.empty() || !overrides_.empty(); }
  // As one text, and back: what a checkpoint keeps.
  std::string to_text() const;
  void from_text(const std::string& text);
  // Borrows from this object and from `device`, whose threads work too.
  anet_quantize_options quantize_options(const Device& device) const;

private:
  void set_scheme(const std::string& flag, const std::string& text);
  void add_override(const std::string& text);

  std::string scheme_; // as it was given
  std::vector<std::string> overrides_;
  std::deque<std::string> patterns_; // what `parsed_` points to
  std::vector<anet_quantize_override> parsed_;
  anet_compression compression_ = ANET_COMPRESSION_DEFAULT;
  int32_t block_size_ = 0;
};

} // namespace cli
