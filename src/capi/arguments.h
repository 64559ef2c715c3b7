// Reading the arguments of calls: strings, counted arrays, enumerations, and output buffers that
// the caller may have made too small.
#pragma once

#include "base/status.h"
#include "capi/guard.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace anet::capi {

// A null-terminated string. Throws invalid_argument for NULL and for text that is not UTF-8.
std::string read_string(const char* text, const char* argument);
// The same for a path, which may not be empty.
std::string read_path(const char* path, const char* argument);
// `length` bytes of any content; SIZE_MAX: null-terminated.
std::string_view read_text(const char* text, size_t length, const char* argument);

// Throws invalid_argument for NULL with a count.
template <typename T>
std::span<T> read_array(T* values, size_t count, const char* argument) {
  if (count == 0) return {};
  return {&require(values, argument), count};
}

// Throws `status` unless the value is one of 0 to count - 1, or first to first + count - 1.
int32_t check_enumerator(int32_t value, int32_t first, int32_t count, Status status,
                         const char* argument);
// 0 or 1. Throws `status`.
bool check_flag(int32_t value, Status status, const char* argument);

// Throws out_of_range.
void check_index(size_t index, size_t count, const char* what);

// How many elements a caller asked for fit; see anet_tokenizer_encode. Stores `needed` in `count`;
// false: the caller passed no array and asked for the count alone. Throws out_of_range when
// `capacity` is less than `needed`.
bool check_capacity(size_t needed, const void* values, size_t capacity, size_t* count,
                    const char* argument);
// Copies a string and its terminator.
void copy_string(std::string_view text, char* target, size_t capacity, size_t* length,
                 const char* argument);

} // namespace anet::capi
