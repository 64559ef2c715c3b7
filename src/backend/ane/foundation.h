// Foundation's values to and from C++. Objects that are made here are autoreleased: call inside
// Framework::guarded.
#pragma once

#include "backend/ane/framework.h"
#include "base/status.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::backend::ane {

Id make_string(const Framework& framework, const std::string& text);
Id make_data(const Framework& framework, std::span<const std::byte> bytes); // copies
Id make_number(const Framework& framework, int64_t value);
Id make_array(const Framework& framework, std::span<const Id> items);
Id make_dictionary(const Framework& framework, std::span<const std::pair<std::string, Id>> entries);

// True when the object is of the class that has the method, or of one derived from it.
template <Method method>
bool is_kind_of(const Framework& framework, Id object) {
  return is_true(framework.call<Method::object_is_kind_of, Bool>(object, framework.owner(method)));
}

// The text of an NSString on one line; "" for nil and for other objects.
std::string text_of(const Framework& framework, Id string);

// An NSError as ours: "<action>: <text> (<text of the underlying error>)" with its domain and code.
// nil, which a method that failed may leave, becomes "<action>: failed without an error".
Error to_error(const Framework& framework, Id error, Status status, std::string_view action);

// A value of a property list. Readers throw Error(device) that names where the value lies, what was
// expected and what was seen, because nothing promises that a private framework keeps its keys.
class Property {
public:
  Property(const Framework& framework, Id value, std::string where)
      : framework_(framework), value_(value), where_(std::move(where)) {}

  bool exists() const { return value_ != nullptr; }
  const std::string& where() const { return where_; }

  Property operator[](const std::string& key) const; // of a dictionary; may not exist
  size_t size() const;                               // of an array
  Property operator[](size_t index) const;
  std::vector<Property> items() const;
  std::string text() const;
  int64_t integer() const;
  int64_t integer_or(int64_t fallback) const; // when it does not exist

private:
  template <Method method>
  void require(const char* what) const;

  const Framework& framework_;
  Id value_;
  std::string where_;
};

} // namespace anet::backend::ane
