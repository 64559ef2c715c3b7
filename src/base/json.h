// JSON values, parser, writer and typed reading with key paths in errors.
//
// Stricter than cJSON, which does the parsing: duplicate keys, invalid UTF-8, NUL in strings,
// control characters in strings, leading zeros and text after the value are errors.
// Numbers are exact: an integer that fits 64 bits, signed or unsigned, keeps all its bits in both
// directions. A larger one (Hugging Face writes 1e30 out in digits) is read as the nearest double,
// and asking for it as an integer is an error.
#pragma once

#include "base/status.h"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace anet {

struct JsonLimits {
  size_t max_size = size_t{64} << 20; // bytes of text
  int max_depth = 64;                 // nested arrays and objects; at most 512
};

struct JsonMember;

class Json {
public:
  enum class Kind { null, boolean, number, string, array, object };
  using Array = std::vector<Json>;
  using Object = std::vector<JsonMember>; // in the order of the text; keys are unique

  // Everything that makes or destroys the variant is defined where JsonMember is complete.
  Json(); // null
  Json(std::nullptr_t);
  Json(bool value);
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Json(Integer value) : Json() {
    if (std::in_range<int64_t>(value))
      assign(static_cast<int64_t>(value));
    else
      assign(static_cast<uint64_t>(value));
  }
  Json(double value);
  Json(std::string value);
  Json(std::string_view value);
  Json(const char* value);
  Json(Array values);
  Json(Object members);
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();

  static Json array();
  static Json object();

  // Throws `status` with "line 3, column 7: ..." and both in the detail; `source` names the text.
  static Json parse(std::string_view text, std::string_view source = "JSON text",
                    Status status = Status::invalid_config, JsonLimits limits = {});

  Kind kind() const;
  bool is_null() const { return kind() == Kind::null; }
  // The integer, if it is one and fits. 3.0 is not an integer.
  std::optional<int64_t> to_int64() const;
  std::optional<uint64_t> to_uint64() const;
  std::optional<double> to_double() const; // any number, rounded to nearest

  // nullptr if the value is of another kind.
  const bool* if_boolean() const { return std::get_if<bool>(&value_); }
  const std::string* if_string() const { return std::get_if<std::string>(&value_); }
  const Array* if_array() const { return std::get_if<Array>(&value_); }
  const Object* if_object() const { return std::get_if<Object>(&value_); }

  // nullptr if this is no object or has no such key. Linear in the number of keys.
  const Json* find(std::string_view key) const;
  // Replaces or appends; the value must be an object or null, which becomes one. Returns *this.
  Json& set(std::string_view key, Json value);
  // Appends; the value must be an array or null, which becomes one. Returns *this.
  Json& push_back(Json value);

  // Members in their order, doubles in the shortest form that reads back equal. indent 0: one line.
  // NaN, infinities and text that is not UTF-8 are errors (invalid_argument).
  std::string to_string(int indent = 0) const;

  // Integers equal integers, doubles equal doubles; the order of keys counts.
  bool operator==(const Json& other) const;

private:
  void assign(int64_t value);
  void assign(uint64_t value);

  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string key;
  Json value;
  bool operator==(const JsonMember&) const = default;
};

const char* json_kind_name(Json::Kind kind); // "a number", "an object", ...

// Reads a value and names its place when it is not what was expected:
// "expected a number at 'optimizer.beta1', seen a string". The Json must outlive it.
class JsonView {
public:
  explicit JsonView(const Json& value, Status status = Status::invalid_config,
                    std::string path = {})
      : value_(&value), status_(status), path_(std::move(path)) {}

  const Json& value() const { return *value_; }
  const std::string& path() const { return path_; }

  bool boolean() const;
  double number() const;
  int64_t integer() const;
  int64_t integer(int64_t minimum, int64_t maximum) const; // inclusive
  uint64_t unsigned_integer() const;
  const std::string& string() const;

  // Arrays.
  size_t size() const;
  JsonView at(size_t index) const;
  std::vector<int64_t> integers() const;
  std::vector<std::string> strings() const;

  // Objects. at(): the key must be there. find(): nullopt if it is missing or null.
  JsonView at(std::string_view key) const;
  std::optional<JsonView> find(std::string_view key) const;
  const Json::Object& members() const;
  bool boolean_or(std::string_view key, bool fallback) const;
  double number_or(std::string_view key, double fallback) const;
  int64_t integer_or(std::string_view key, int64_t fallback) const;
  std::string string_or(std::string_view key, std::string_view fallback) const;
  // Fails on the first key that is not known: "unknown key 'lerning_rate', did you mean
  // 'learning_rate'".
  void check_keys(std::span<const std::string_view> known) const;
  void check_keys(std::initializer_list<std::string_view> known) const;

  // Where this is, for messages: "'optimizer.beta1'" or "the top level".
  std::string place() const;
  // Throws with this view's status; the message ends with the place.
  template <typename... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail(status_, parts..., " at ", place());
  }

private:
  JsonView child(std::string_view key, const Json& value) const;
  [[noreturn]] void fail_kind(std::string_view expected) const;

  const Json* value_;
  Status status_;
  std::string path_;
};

// The known key with the least edit distance, if that is at most a third of its length; else
// nullopt.
std::optional<std::string_view> nearest_key(std::string_view unknown,
                                            std::span<const std::string_view> known);

} // namespace anet
