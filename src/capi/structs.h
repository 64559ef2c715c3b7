// Structs that the caller versions with `struct_size`.
//
// Struct sizes only grow. One that has grown since it was first published has a specialisation of
// `first_published_size` with the size it had then.
#pragma once

#include "capi/guard.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace anet::capi {

template <typename Struct>
inline constexpr size_t first_published_size = sizeof(Struct);
template <>
inline constexpr size_t first_published_size<anet_device_options> = 32;
template <>
inline constexpr size_t first_published_size<anet_device_info> = 32;
template <>
inline constexpr size_t first_published_size<anet_kernel_statistics> = 48;
template <>
inline constexpr size_t first_published_size<anet_model_config> = 64;
template <>
inline constexpr size_t first_published_size<anet_session_options> = 160;
template <>
inline constexpr size_t first_published_size<anet_parameter> = 96;
template <>
inline constexpr size_t first_published_size<anet_model_load_options> = 24;
template <>
inline constexpr size_t first_published_size<anet_generator_options> = 16;
template <>
inline constexpr size_t first_published_size<anet_batch> = 32;
template <>
inline constexpr size_t first_published_size<anet_fit_options> = 72;
template <>
inline constexpr size_t first_published_size<anet_sampling_options> = 48;
template <>
inline constexpr size_t first_published_size<anet_step_result> = 112;

// A size that no version will reach: it is garbage, and must not be read up to.
inline constexpr size_t max_struct_size = 4096;

// Throws invalid_struct_size, also for a size that would cut a field: every published one is a
// multiple of the struct's alignment.
void check_struct_size(size_t size, size_t first_published, size_t alignment, const char* argument);
// Throws unsupported_option unless the bytes between the known size and the caller's are zero.
void check_unknown_tail(const void* object, size_t known, size_t size, const char* argument);
[[noreturn]] void fail_reserved(const char* argument, const char* field);

// A copy of an input struct. Throws invalid_argument for NULL.
template <typename Struct>
Struct read_struct(const Struct* source, const char* argument) {
  const size_t size = require(source, argument).struct_size;
  check_struct_size(size, first_published_size<Struct>, alignof(Struct), argument);
  check_unknown_tail(source, sizeof(Struct), size, argument);
  Struct copy{};
  std::memcpy(&copy, source, std::min(size, sizeof(Struct)));
  copy.struct_size = sizeof(Struct);
  if constexpr (requires { copy.reserved; })
    if (copy.reserved != 0) fail_reserved(argument, "reserved");
  if constexpr (requires { copy.reserved2; })
    if (copy.reserved2 != 0) fail_reserved(argument, "reserved2");
  if constexpr (requires { copy.reserved3; })
    if (copy.reserved3 != 0) fail_reserved(argument, "reserved3");
  return copy;
}

// All defaults when the caller passes NULL.
template <typename Struct>
Struct read_optional_struct(const Struct* source, const char* argument) {
  if (source != nullptr) return read_struct(source, argument);
  Struct defaults{};
  defaults.struct_size = sizeof(Struct);
  return defaults;
}

// An output struct: checked before the work begins, written after it has succeeded.
template <typename Struct>
class OutputStruct {
public:
  OutputStruct(Struct* target, const char* argument) : target_(&require(target, argument)) {
    size_ = target->struct_size;
    check_struct_size(size_, first_published_size<Struct>, alignof(Struct), argument);
  }
  static OutputStruct optional(Struct* target, const char* argument) {
    return target == nullptr ? OutputStruct() : OutputStruct(target, argument);
  }

  void write(Struct value) const {
    if (target_ == nullptr) return;
    value.struct_size = static_cast<uint32_t>(size_);
    const size_t known = std::min(size_, sizeof(Struct));
    std::memcpy(target_, &value, known);
    std::memset(reinterpret_cast<std::byte*>(target_) + known, 0, size_ - known);
  }

private:
  OutputStruct() = default;

  Struct* target_ = nullptr;
  size_t size_ = 0;
};

} // namespace anet::capi
