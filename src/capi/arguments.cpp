#include "capi/arguments.h"

#include "base/utf8.h"

#include <cstring>

namespace anet::capi {

std::string read_string(const char* text, const char* argument) {
  const std::string_view view = &require(text, argument);
  const size_t invalid = find_invalid_utf8(view);
  if (invalid != std::string_view::npos)
    fail(Status::invalid_argument, "expected UTF-8 in '", argument, "', seen another byte at ",
         invalid);
  return std::string(view);
}

std::string read_path(const char* path, const char* argument) {
  std::string text = read_string(path, argument);
  if (text.empty())
    fail(Status::invalid_argument, "expected a path in '", argument, "', seen an empty string");
  return text;
}

std::string_view read_text(const char* text, size_t length, const char* argument) {
  if (length == 0) return {};
  const char* bytes = &require(text, argument);
  return length == SIZE_MAX ? std::string_view(bytes) : std::string_view(bytes, length);
}

int32_t check_enumerator(int32_t value, int32_t first, int32_t count, Status status,
                         const char* argument) {
  if (value < first || value - first >= count)
    fail(status, "expected ", argument, " between ", first, " and ", first + count - 1, ", seen ",
         value);
  return value;
}

bool check_flag(int32_t value, Status status, const char* argument) {
  return check_enumerator(value, 0, 2, status, argument) == 1;
}

void check_index(size_t index, size_t count, const char* what) {
  if (index >= count)
    fail(Status::out_of_range, "expected an index below ", count, ", the number of ", what,
         "s, seen ", index);
}

bool check_capacity(size_t needed, const void* values, size_t capacity, size_t* count,
                    const char* argument) {
  if (capacity != 0 && values == nullptr) fail_null(argument);
  *count = needed;
  if (values == nullptr) return false;
  if (capacity < needed)
    fail(Status::out_of_range, "expected a capacity of at least ", needed, " for '", argument,
         "', seen ", capacity);
  return true;
}

void copy_string(std::string_view text, char* target, size_t capacity, size_t* length,
                 const char* argument) {
  const bool wanted = target != nullptr;
  if (capacity != 0 && !wanted) fail_null(argument);
  *length = text.size();
  if (!wanted) return;
  if (capacity < text.size() + 1)
    fail(Status::out_of_range, "expected a capacity of at least ", text.size() + 1, " for '",
         argument, "', seen ", capacity);
  std::memcpy(target, text.data(), text.size());
  target[text.size()] = '\0';
}

} // namespace anet::capi
