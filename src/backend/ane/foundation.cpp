#include "backend/ane/foundation.h"

#include <algorithm>

namespace anet::backend::ane {

namespace {

// Objects that were asked for and are nil mean that memory ran out.
Id created(Id object, const char* what) {
  if (object == nullptr) fail(Status::out_of_memory, "cannot create an ", what);
  return object;
}

std::string describe_error(const Framework& framework, Id error) {
  const std::string text = text_of(framework, framework.call<Method::error_text, Id>(error));
  return text.empty() ? text_of(framework, framework.call<Method::object_description, Id>(error))
                      : text;
}

Id underlying_error(const Framework& framework, Id error) {
  const Id info = framework.call<Method::error_user_info, Id>(error);
  if (!is_kind_of<Method::dictionary_object>(framework, info)) return nullptr;
  const Id cause =
      framework.call<Method::dictionary_object, Id>(info, framework.underlying_error_key());
  return is_kind_of<Method::error_domain>(framework, cause) ? cause : nullptr;
}

} // namespace

Id make_string(const Framework& framework, const std::string& text) {
  return created(framework.call_class<Method::string_with_utf8, Id>(text.c_str()), "NSString");
}

Id make_data(const Framework& framework, std::span<const std::byte> bytes) {
  return created(framework.call_class<Method::data_with_bytes, Id>(
                     static_cast<const void*>(bytes.data()), uint64_t{bytes.size()}),
                 "NSData");
}

Id make_number(const Framework& framework, int64_t value) {
  return created(framework.call_class<Method::number_with_integer, Id>(value), "NSNumber");
}

Id make_array(const Framework& framework, std::span<const Id> items) {
  return created(
      framework.call_class<Method::array_with_objects, Id>(items.data(), uint64_t{items.size()}),
      "NSArray");
}

Id make_dictionary(const Framework& framework,
                   std::span<const std::pair<std::string, Id>> entries) {
  std::vector<Id> keys;
  std::vector<Id> values;
  for (const auto& [key, value] : entries) {
    keys.push_back(make_string(framework, key));
    values.push_back(value);
  }
  return created(framework.call_class<Method::dictionary_with_objects, Id>(
                     static_cast<const Id*>(values.data()), static_cast<const Id*>(keys.data()),
                     uint64_t{keys.size()}),
                 "NSDictionary");
}

std::string text_of(const Framework& framework, Id string) {
  if (!is_kind_of<Method::string_utf8>(framework, string)) return "";
  const char* const characters = framework.call<Method::string_utf8, const char*>(string);
  std::string text = characters == nullptr ? "" : characters;
  // Messages of ours are one line.
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

Error to_error(const Framework& framework, Id error, Status status, std::string_view action) {
  if (!is_kind_of<Method::error_domain>(framework, error))
    return Error(status, concat(action, ": failed without an error"));
  std::string text = concat(action, ": ", describe_error(framework, error));
  if (const Id cause = underlying_error(framework, error))
    text += concat(" (", describe_error(framework, cause), ")");
  return Error(
      status, std::move(text),
      ErrorDetail{.domain = text_of(framework, framework.call<Method::error_domain, Id>(error)),
                  .code = framework.call<Method::error_code, int64_t>(error)});
}

template <Method method>
void Property::require(const char* what) const {
  if (is_kind_of<method>(framework_, value_)) return;
  fail(Status::device, where_, " is ",
       value_ == nullptr ? "missing" : concat("a ", framework_.class_name(value_)), ", expected ",
       what);
}

Property Property::operator[](const std::string& key) const {
  require<Method::dictionary_object>("a dictionary");
  return {framework_,
          framework_.call<Method::dictionary_object, Id>(value_, make_string(framework_, key)),
          where_ + "." + key};
}

size_t Property::size() const {
  require<Method::array_count>("an array");
  return framework_.call<Method::array_count, uint64_t>(value_);
}

Property Property::operator[](size_t index) const {
  if (index >= size())
    fail(Status::device, where_, " has ", size(), " elements, expected more than ", index);
  return {framework_, framework_.call<Method::array_at, Id>(value_, uint64_t{index}),
          concat(where_, "[", index, "]")};
}

std::vector<Property> Property::items() const {
  std::vector<Property> result;
  const size_t count = size();
  for (size_t i = 0; i < count; ++i) result.push_back((*this)[i]);
  return result;
}

std::string Property::text() const {
  require<Method::string_utf8>("a string");
  return text_of(framework_, value_);
}

int64_t Property::integer() const {
  require<Method::number_integer>("a number");
  return framework_.call<Method::number_integer, int64_t>(value_);
}

int64_t Property::integer_or(int64_t fallback) const { return exists() ? integer() : fallback; }

} // namespace anet::backend::ane
