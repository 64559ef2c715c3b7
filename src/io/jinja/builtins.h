// The names that every template knows.
#pragma once

#include "io/jinja/callable.h"

#include <memory>
#include <span>
#include <string_view>

namespace anet::io::jinja {

// A filter or a test: the value it applies to is the first argument.
struct NamedFunction {
  std::string_view name;
  NativeFunction function;
};

// nullptr if there is none of this name.
NativeFunction find_filter(std::string_view name);
NativeFunction find_test(std::string_view name);
NativeFunction find_function(std::string_view name);
// Of text, sequences and dictionaries.
Method find_method(const Value& object, std::string_view name);

// Jinja and Python have it, we do not.
bool is_known_function(std::string_view name);
bool is_known_method(std::string_view name);
// Methods that change a list or a dictionary, which the sandbox refuses.
bool is_changing_method(const Value& object, std::string_view name);

namespace detail {

// Of one file each.
std::span<const NamedFunction> text_filters();
std::span<const NamedFunction> sequence_filters();

NativeFunction find_named(std::span<const NamedFunction> functions, std::string_view name);

} // namespace detail
} // namespace anet::io::jinja
