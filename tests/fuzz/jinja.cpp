// Templates from outside: the text is parsed and rendered over a conversation, with limits that
// keep one input short. Anything but anet::Error is a finding.
#include "io/jinja/template.h"

#include "base/status.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

const anet::Json& context() {
  static const anet::Json json = anet::Json::parse(R"({
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "H\u00e9llo \ud83d\udc4b"},
      {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi", "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"x": [1, 2.5, null, true]}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
    "a": 1, "b": 2.5, "s": "text", "n": null, "l": [3, 1, 2], "d": {"k": {"j": []}}})");
  return json;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  anet::io::jinja::RenderOptions options;
  options.limits.steps = 200'000;
  options.limits.output_bytes = 1 << 20;
  options.now.emplace();
  try {
    const anet::io::jinja::Template text(
        std::string_view(reinterpret_cast<const char*>(data), size));
    text.render(context(), options);
  } catch (const anet::Error&) {
  }
  return 0;
}
