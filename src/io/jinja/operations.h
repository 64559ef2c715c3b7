// Python's operations on values. Work is charged to the runtime; what does not fit fails there.
#pragma once

#include "io/jinja/runtime.h"
#include "io/jinja/value.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io::jinja {

bool truth(const Value& value);
bool equal(Runtime& runtime, const Value& a, const Value& b);
// Negative, 0 or positive; fails for types without an order.
int compare(Runtime& runtime, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& element);
// nullopt for what has no length.
std::optional<int64_t> length_of(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);
// Elements of a sequence, keys of a dictionary, characters of text, none of undefined. A generator
// gives what is left of it, once.
std::vector<Value> iterate(Runtime& runtime, const Value& value);

enum class BinaryOperator : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power
};
Value binary(Runtime& runtime, BinaryOperator operation, const Value& a, const Value& b);
Value negate(Runtime& runtime, const Value& value);

// `a.name` and `a[key]`: each looks for what the other finds if there is nothing, as Jinja does.
Value attribute(Runtime& runtime, const Value& object, const std::string& name);
Value item(Runtime& runtime, const Value& object, const Value& key);
struct SliceBounds {
  std::optional<int64_t> start, stop, step;
};
Value slice(Runtime& runtime, const Value& object, const SliceBounds& bounds);

// At most `limit` times; every time if it is negative. An empty `old` stands between characters.
std::string replace_text(Runtime& runtime, std::string_view text, std::string_view old,
                         std::string_view replacement, int64_t limit);
// keys, values or items.
Value dictionary_view(Runtime& runtime, const Dictionary& dictionary, Sequence::Flavor flavor);

// As str() and repr() of Python.
std::string to_text(Runtime& runtime, const Value& value);
std::string to_repr(Runtime& runtime, const Value& value);
void append_text(Runtime& runtime, std::string& out, const Value& value);

struct JsonFormat {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent; // one level's white space
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// As json.dumps of Python.
std::string to_json(Runtime& runtime, const Value& value, const JsonFormat& format);

// `format % arguments` of Python.
std::string format_percent(Runtime& runtime, std::string_view format, const Value& arguments);
// str.format of Python: "{}", "{0}", "{name}" and a specification of width, precision and type.
std::string format_braces(Runtime& runtime, std::string_view format, const Arguments& arguments);
// strftime of C's locale.
std::string format_date(Runtime& runtime, std::string_view format, const std::tm& date);

} // namespace anet::io::jinja
