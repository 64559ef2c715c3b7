// A struct and a JSON object through one table of fields: the same names read, write and report.
#pragma once

#include "base/json.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace anet {

// Enumerations are stored by name; the i-th name is the value i.
template <typename Struct, typename Enum>
struct EnumMember {
  Enum Struct::*member;
  std::span<const std::string_view> names;
};

template <typename Struct, typename... Enums>
struct JsonField {
  std::string_view name;
  std::variant<bool Struct::*, int32_t Struct::*, int64_t Struct::*, uint64_t Struct::*,
               double Struct::*, std::vector<std::string> Struct::*, EnumMember<Struct, Enums>...>
      member;
};

namespace detail {

template <typename T>
T read_field(const JsonView& view) {
  if constexpr (std::is_same_v<T, bool>) {
    return view.boolean();
  } else if constexpr (std::is_same_v<T, double>) {
    return view.number();
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    return view.unsigned_integer();
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    return view.strings();
  } else {
    return static_cast<T>(
        view.integer(std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  }
}

template <typename Enum>
Enum read_enum(const JsonView& view, std::span<const std::string_view> names) {
  const std::string& text = view.string();
  const auto found = std::find(names.begin(), names.end(), text);
  if (found != names.end()) return static_cast<Enum>(found - names.begin());
  std::string known;
  for (std::string_view name : names) known += concat(known.empty() ? "" : ", ", name);
  view.fail_here("expected one of ", known, ", seen '", text, "'");
}

} // namespace detail

// Members without a key keep their value; an unknown key is an error that names the nearest one.
template <typename Struct, typename... Enums>
void read_fields(const JsonView& view, std::span<const JsonField<Struct, Enums...>> fields,
                 Struct& object) {
  std::vector<std::string_view> names;
  for (const auto& field : fields) names.push_back(field.name);
  view.check_keys(names);
  for (const auto& field : fields) {
    const auto value = view.find(field.name);
    if (!value) continue;
    std::visit(
        [&](auto member) {
          if constexpr (std::is_member_object_pointer_v<decltype(member)>) {
            using Type = std::remove_reference_t<decltype(object.*member)>;
            object.*member = detail::read_field<Type>(*value);
          } else {
            using Enum = std::remove_reference_t<decltype(object.*(member.member))>;
            object.*(member.member) = detail::read_enum<Enum>(*value, member.names);
          }
        },
        field.member);
  }
}

template <typename Struct, typename... Enums>
Json write_fields(std::span<const JsonField<Struct, Enums...>> fields, const Struct& object) {
  Json json = Json::object();
  for (const auto& field : fields) {
    std::visit(
        [&](auto member) {
          if constexpr (std::is_same_v<decltype(member), std::vector<std::string> Struct::*>) {
            Json strings = Json::array();
            for (const std::string& each : object.*member) strings.push_back(Json(each));
            json.set(field.name, std::move(strings));
          } else if constexpr (std::is_member_object_pointer_v<decltype(member)>) {
            json.set(field.name, Json(object.*member));
          } else {
            json.set(field.name, Json(member.names[static_cast<size_t>(object.*(member.member))]));
          }
        },
        field.member);
  }
  return json;
}

} // namespace anet
