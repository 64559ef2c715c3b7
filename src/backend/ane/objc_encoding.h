// Objective-C type encodings: the C types of a method's result and parameters as the runtime spells
// them, "B36@0:8I16@20^@28". Two compilers spell one signature differently, so encodings are
// compared type by type: without frame offsets, qualifiers and the bodies of structs.
#pragma once

#include "backend/ane/objc.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace anet::backend::ane {

namespace encoding {

constexpr bool is_any_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

// in, out, const, byref and their like change no register.
constexpr std::string_view without_qualifiers(std::string_view text) {
  while (!text.empty() && is_any_of(text.front(), "rnNoORV")) text.remove_prefix(1);
  return text;
}

// Bytes up to the bracket that closes the first one, or all when none does.
constexpr size_t bracketed_size(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_any_of(text[i], "{([")) ++depth;
    if (is_any_of(text[i], "})]") && --depth == 0) return i + 1;
  }
  return text.size();
}

// Bytes of the first type in an encoding that begins with no qualifier; 0 at the end.
constexpr size_t type_size(std::string_view text) {
  size_t pointers = 0;
  while (pointers < text.size() && is_any_of(text[pointers], "^rnNoORV")) ++pointers;
  const std::string_view pointee = text.substr(pointers);
  if (pointee.empty()) return pointers;
  if (is_any_of(pointee[0], "{([")) return pointers + bracketed_size(pointee);
  size_t size = 1;
  if (pointee[0] == '@' && pointee.size() > 1 && pointee[1] == '?') size = 2;
  if (pointee[0] == '@' && pointee.size() > 1 && pointee[1] == '"')
    size =
        pointee.find('"', 2) == std::string_view::npos ? pointee.size() : pointee.find('"', 2) + 1;
  return pointers + size;
}

// Removes the first type and the frame offset behind it, and returns the type.
constexpr std::string_view take_type(std::string_view& rest) {
  rest = without_qualifiers(rest);
  const size_t size = type_size(rest);
  const std::string_view type = rest.substr(0, size);
  rest.remove_prefix(size);
  while (!rest.empty() && is_any_of(rest.front(), "+-0123456789")) rest.remove_prefix(1);
  return type;
}

// "{__IOSurface=}" -> "{__IOSurface", "@\"NSString\"" -> "@".
constexpr std::string_view without_detail(std::string_view type) {
  return type.substr(0, type.find_first_of(type.starts_with('@') ? "\"" : "=}"));
}

constexpr bool same_type(std::string_view expected, std::string_view seen) {
  while (expected.starts_with('^') && seen.starts_with('^')) {
    expected = without_qualifiers(expected.substr(1));
    seen = without_qualifiers(seen.substr(1));
  }
  // BOOL is bool, signed char or unsigned char, by processor and runtime.
  if (expected == "B") return seen.size() == 1 && is_any_of(seen[0], "BcC");
  return without_detail(expected) == without_detail(seen);
}

} // namespace encoding

// `expected` spells BOOL as B.
constexpr bool same_encoding(std::string_view expected, std::string_view seen) {
  for (;;) {
    const std::string_view type = encoding::take_type(expected);
    if (!encoding::same_type(type, encoding::take_type(seen))) return false;
    if (type.empty()) return true;
  }
}

// --- The encoding of a C++ signature, so that a call can be checked where it is compiled
// ----------

template <typename T>
inline constexpr std::string_view type_code = {};
template <>
inline constexpr std::string_view type_code<void> = "v";
template <>
inline constexpr std::string_view type_code<Bool> = "B";
template <>
inline constexpr std::string_view type_code<char> = "c";
template <>
inline constexpr std::string_view type_code<uint32_t> = "I";
template <>
inline constexpr std::string_view type_code<int64_t> = "q";
template <>
inline constexpr std::string_view type_code<uint64_t> = "Q";
template <>
inline constexpr std::string_view type_code<Id> = "@";
template <>
inline constexpr std::string_view type_code<Class> = "#";
template <>
inline constexpr std::string_view type_code<Selector> = ":";
template <>
inline constexpr std::string_view type_code<Id*> = "^@";
template <>
inline constexpr std::string_view type_code<const Id*> = "^@";
template <>
inline constexpr std::string_view type_code<const char*> = "*";
template <>
inline constexpr std::string_view type_code<const void*> = "^v";
template <>
inline constexpr std::string_view type_code<SurfaceReference> = "^{__IOSurface}";

// True when `known` is the encoding of a method with this result and these parameters.
template <typename Result, typename... Arguments>
constexpr bool has_signature(std::string_view known) {
  static_assert((!type_code<Result>.empty() && ... && !type_code<Arguments>.empty()),
                "a type that has no encoding here");
  const std::array<std::string_view, 3 + sizeof...(Arguments)> types = {
      type_code<Result>, type_code<Id>, type_code<Selector>, type_code<Arguments>...};
  for (const std::string_view type : types)
    if (!encoding::same_type(encoding::take_type(known), type)) return false;
  return known.empty();
}

} // namespace anet::backend::ane
