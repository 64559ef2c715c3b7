// Jinja templates as chat models use them: the language of Jinja 3 with trim_blocks and
// lstrip_blocks, which Hugging Face models assume. A template is data from outside: rendering it is
// bounded in work and memory, reads no file and has no side effect.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace anet::io::jinja {

struct RenderLimits {
  int64_t steps = 10'000'000; // evaluated nodes and loop rounds
  int64_t depth = 200;        // nested calls, blocks and expressions
  int64_t output_bytes = int64_t{64} << 20;
};

// Immutable; usable from any thread.
class Template {
public:
  // Throws invalid_config with line and column for text that is no template; unsupported, by name,
  // for a tag, filter, test, method or function that is not offered.
  explicit Template(std::string_view text);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  // `context` is an object: the global names. Members keep their order (`tojson` prints it).
  // Throws invalid_data with the template's own words when it calls raise_exception, and with line
  // and column for a type that does not fit or a limit that is reached.
  std::string render(const Json& context, const RenderLimits& limits = {}) const;

private:
  struct Program;
  std::unique_ptr<const Program> program_;
};

} // namespace anet::io::jinja
