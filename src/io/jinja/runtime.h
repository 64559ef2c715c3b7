// What built-in functions need of a rendering: its budget, its options, and calls back into it.
#pragma once

#include "base/status.h"
#include "io/jinja/lexer.h"
#include "io/jinja/template.h"
#include "io/jinja/value.h"

#include <array>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::io::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Runtime {
public:
  explicit Runtime(const RenderOptions& options)
      : options_(options), steps_left_(options.limits.steps) {}
  virtual ~Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // A macro, bound method or function.
  virtual Value call(const Value& callee, const Arguments& arguments) = 0;

  const RenderOptions& options() const { return options_; }
  const RenderLimits& limits() const { return options_.limits; }

  void charge(int64_t steps) {
    steps_left_ -= steps;
    if (steps_left_ < 0) fail_steps();
  }
  void charge_elements(size_t count) { charge(static_cast<int64_t>(count)); }
  void charge_text(size_t bytes) { charge(static_cast<int64_t>(bytes / 32) + 1); }
  // Values of this depth nest too deep.
  void check_depth(int32_t depth) const;
  // Before text of this size is made.
  void check_text_size(size_t bytes);

  Value text(std::string text);
  Value text(std::string_view text) { return this->text(std::string(text)); }
  Value text(const char* text) { return this->text(std::string(text)); }
  Value list(std::vector<Value> elements, Sequence::Flavor flavor = Sequence::Flavor::list);
  // A later entry replaces an earlier one with an equal key, in its place.
  Value dictionary(std::vector<std::pair<Value, Value>> entries);
  Value name_space(std::vector<std::pair<std::string, Value>> attributes);
  Value undefined(std::string reason) const;

  // Throws invalid_data at the position of the operation.
  template <typename... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail_at(position, Status::invalid_data, concat(parts...));
  }
  [[noreturn]] void fail_undefined(const Value& value) const;

  // The operation that is under way.
  Position position;

protected:
  // Deepest of these; fails if one more level is too many.
  int32_t depth_of_elements(const std::vector<Value>& elements) const;

  // Namespaces may contain themselves: whoever ends the rendering takes them apart.
  std::vector<std::shared_ptr<Namespace>> namespaces_;

private:
  [[noreturn]] void fail_steps() const;

  const RenderOptions& options_;
  int64_t steps_left_;
};

// How deep values are nested in this one; 0 for plain ones.
int32_t depth_of(const Value& value);

// Counts nested work and fails at RenderLimits::depth.
class DepthGuard {
public:
  DepthGuard(const Runtime& runtime, int64_t& depth) : depth_(depth) {
    if (++depth_ > runtime.limits().depth) {
      --depth_;
      runtime.fail_here("nested deeper than the limit of ", runtime.limits().depth);
    }
  }
  ~DepthGuard() { --depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

private:
  int64_t& depth_;
};

// Arguments in the order of a signature. Fails, naming the function, for one that is missing,
// unknown or given twice.
class Parameters {
public:
  static constexpr size_t max_count = 6;
  Parameters(const Runtime& runtime, std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required);

  bool has(size_t i) const { return values_[i] != nullptr; }
  const Value& operator[](size_t i) const { return *values_[i]; }
  // Of the expected type; the fallback if it was not given.
  bool truth(size_t i, bool fallback) const;
  int64_t integer(size_t i, int64_t fallback) const;
  std::string_view string(size_t i, std::string_view fallback) const;
  bool is_none_or_missing(size_t i) const { return !has(i) || values_[i]->is_none(); }

private:
  [[noreturn]] void fail_type(size_t i, std::string_view expected) const;

  const Runtime& runtime_;
  std::string_view function_;
  std::array<std::string_view, max_count> names_;
  std::array<const Value*, max_count> values_{};
};

} // namespace anet::io::jinja
