// Jinja templates as chat models use them: the language of Jinja 3 with trim_blocks and
// lstrip_blocks, which Hugging Face models assume, in its sandbox that changes no list or object.
// A template is data from outside: rendering it is bounded in work and memory, reads no file and
// has no side effect. docs/chat-templates.md lists what is offered.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io::jinja {

// Reaching one is an error. Text that is made or read counts as steps by its length, so that steps
// bound the time and the memory of a rendering.
struct RenderLimits {
  int64_t steps = 10'000'000; // evaluated nodes, loop rounds, elements, every 32 bytes of text
  int64_t depth = 200;        // nested calls, blocks, expressions and values
  int64_t output_bytes = int64_t{64} << 20; // of the whole, and of any string
};

struct RenderOptions {
  RenderLimits limits;
  // What strftime_now prints. nullopt: the local time of the call.
  std::optional<std::tm> now;
};

// Bytes [begin, end) of a rendered text.
struct RenderedSpan {
  size_t begin = 0;
  size_t end = 0;
  bool operator==(const RenderedSpan&) const = default;
};

// Immutable; usable from any thread.
class Template {
public:
  // Throws invalid_config with line and column for text that is no template; unsupported, by name,
  // for a tag, filter, test, method or function of Jinja that is not offered.
  explicit Template(std::string_view text);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  // `context` is an object: the global names. Members keep their order (`tojson` prints it).
  // Throws invalid_data with the template's own words when it calls raise_exception, and with line
  // and column for a type that does not fit or a limit that is reached. `generations`, if given,
  // receives where the bodies of {% generation %} are, in order; those inside of macros, calls and
  // captured blocks have no place of their own and are left out.
  std::string render(const Json& context, const RenderOptions& options = {},
                     std::vector<RenderedSpan>* generations = nullptr) const;

  bool mentions(std::string_view name) const; // anywhere as a name
  bool has_generation() const;                // a {% generation %} anywhere
  bool uses_date() const;                     // strftime_now anywhere: the text depends on the day

private:
  struct Program;
  std::unique_ptr<const Program> program_;
};

} // namespace anet::io::jinja
