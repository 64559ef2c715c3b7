#include "io/jinja/value.h"

#include "io/jinja/callable.h"

#include <algorithm>

namespace anet::io::jinja {

const void* Value::identity() const {
  return std::visit(
      [](const auto& alternative) -> const void* {
        if constexpr (requires { alternative.get(); })
          return alternative.get();
        else
          return nullptr;
      },
      value_);
}

const Value* Dictionary::find(std::string_view key) const {
  if (!index.empty()) {
    const auto found = index.find(key);
    return found == index.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    const std::string* text = name.if_string();
    if (text != nullptr && *text == key) return &value;
  }
  return nullptr;
}

const Value* Namespace::find(std::string_view name) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == attributes.end() ? nullptr : &found->second;
}

const char* kind_name(const Value& value) {
  switch (value.kind()) {
  case Value::Kind::undefined:
    return "an undefined value";
  case Value::Kind::none:
    return "None";
  case Value::Kind::boolean:
    return "a boolean";
  case Value::Kind::integer:
    return "an integer";
  case Value::Kind::floating:
    return "a float";
  case Value::Kind::string:
    return "a string";
  case Value::Kind::sequence:
    switch (value.if_sequence()->flavor) {
    case Sequence::Flavor::list:
      return "a list";
    case Sequence::Flavor::tuple:
      return "a tuple";
    case Sequence::Flavor::range:
      return "a range";
    case Sequence::Flavor::keys:
    case Sequence::Flavor::values:
    case Sequence::Flavor::items:
      return "a view of a dictionary";
    case Sequence::Flavor::generator:
      return "a generator";
    }
    return "a sequence";
  case Value::Kind::dictionary:
    return "a dictionary";
  case Value::Kind::name_space:
    return "a namespace";
  case Value::Kind::callable:
    return "a function";
  case Value::Kind::loop:
    return "a loop";
  }
  return "a value";
}

const char* type_name(const Value& value) {
  switch (value.kind()) {
  case Value::Kind::undefined:
    return "Undefined";
  case Value::Kind::none:
    return "NoneType";
  case Value::Kind::boolean:
    return "bool";
  case Value::Kind::integer:
    return "int";
  case Value::Kind::floating:
    return "float";
  case Value::Kind::string:
    return "str";
  case Value::Kind::sequence:
    switch (value.if_sequence()->flavor) {
    case Sequence::Flavor::list:
      return "list";
    case Sequence::Flavor::tuple:
      return "tuple";
    case Sequence::Flavor::range:
      return "range";
    case Sequence::Flavor::keys:
      return "dict_keys";
    case Sequence::Flavor::values:
      return "dict_values";
    case Sequence::Flavor::items:
      return "dict_items";
    case Sequence::Flavor::generator:
      return "generator";
    }
    return "list";
  case Value::Kind::dictionary:
    return "dict";
  case Value::Kind::name_space:
    return "Namespace";
  case Value::Kind::callable:
    return "function";
  case Value::Kind::loop:
    return "LoopContext";
  }
  return "object";
}

} // namespace anet::io::jinja
