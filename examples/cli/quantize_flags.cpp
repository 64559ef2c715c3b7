#include "quantize_flags.h"

#include "text.h"

namespace cli {
namespace {

constexpr const char* scheme_choices = "int8|int8-block|int4|palette4|fp32";

struct Scheme {
  anet_compression compression;
  int32_t block_size;
};

// "int4" or "int4:64".
Scheme parse_scheme(const std::string& flag, const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = parse_choice(flag, scheme_choices, text.substr(0, colon));
  anet_compression compression = ANET_COMPRESSION_NONE;
  if (name == "int8") compression = ANET_COMPRESSION_INT8_CHANNEL;
  if (name == "int8-block") compression = ANET_COMPRESSION_INT8_BLOCK;
  if (name == "int4") compression = ANET_COMPRESSION_INT4_BLOCK;
  if (name == "palette4") compression = ANET_COMPRESSION_PALETTE4;
  if (colon == std::string::npos) return {compression, 0};
  if (name == "int8" || name == "fp32")
    throw UsageError(flag + ": " + name + " has no blocks, got '" + text + "'");
  const int64_t size = parse_integer(flag, text.substr(colon + 1));
  if (size < 1 || size > 65536)
    throw UsageError(flag + " expects a block size from 1 to 65536, got '" + text + "'");
  return {compression, static_cast<int32_t>(size)};
}

} // namespace

std::string scheme_name(anet_compression compression, int32_t block_size) {
  const std::string name = anet_compression_name(compression);
  return block_size > 0 ? name + ":" + std::to_string(block_size) : name;
}

void QuantizeFlags::set_scheme(const std::string& flag, const std::string& text) {
  const Scheme scheme = parse_scheme(flag, text);
  scheme_ = text;
  compression_ = scheme.compression;
  block_size_ = scheme.block_size;
}

void QuantizeFlags::add_override(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError("--override expects PATTERN=SCHEME, as lm_head.weight=int8, got '" + text +
                     "'");
  const Scheme scheme = parse_scheme("--override", text.substr(equals + 1));
  overrides_.push_back(text);
  patterns_.push_back(text.substr(0, equals));
  parsed_.push_back({patterns_.back().c_str(), scheme.compression, scheme.block_size});
}

std::vector<Option> QuantizeFlags::options(const std::string& key) {
  return {{key, "SCHEME", "int8, int8-block, int4 or palette4, as int4:64 with the size of a block",
           [this, key](const std::string& text) { set_scheme(flag_of(key), text); }},
          {"override", "PATTERN=SCHEME",
           "another scheme, or fp32, for tensors: '*down_proj.weight=int8'; repeatable",
           [this](const std::string& text) { add_override(text); }}};
}

std::string QuantizeFlags::to_text() const {
  std::string text = scheme_;
  for (const std::string& override : overrides_) text += '\n' + override;
  return text;
}

void QuantizeFlags::from_text(const std::string& text) {
  size_t end = text.find('\n');
  if (end != 0 && !text.empty()) set_scheme("--quantize", text.substr(0, end));
  while (end != std::string::npos) {
    const size_t begin = end + 1;
    end = text.find('\n', begin);
    add_override(text.substr(begin, end == std::string::npos ? end : end - begin));
  }
}

anet_quantize_options QuantizeFlags::quantize_options(const Device& device) const {
  auto options = initialised<anet_quantize_options>();
  // Exceptions alone: everything else stays as it is.
  options.compression = scheme_.empty() ? ANET_COMPRESSION_NONE : compression_;
  options.block_size = block_size_;
  options.overrides = parsed_.data();
  options.override_count = parsed_.size();
  options.device = device.get();
  return options;
}

} // namespace cli
