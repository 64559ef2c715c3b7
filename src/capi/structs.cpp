#include "capi/structs.h"

#include "base/status.h"

namespace anet::capi {

void check_struct_size(size_t size, size_t first_published, size_t alignment,
                       const char* argument) {
  if (size < first_published || size > max_struct_size || size % alignment != 0)
    fail(Status::invalid_struct_size, "expected ", argument, ".struct_size between ",
         first_published, " and ", max_struct_size, ", a multiple of ", alignment, ", seen ", size);
}

void check_unknown_tail(const void* object, size_t known, size_t size, const char* argument) {
  const auto* bytes = static_cast<const std::byte*>(object);
  for (size_t i = known; i < size; ++i)
    if (bytes[i] != std::byte{0})
      fail(Status::unsupported_option, "expected zeros in '", argument, "' past the ", known,
           " bytes that this version knows, seen another value at byte ", i);
}

void fail_reserved(const char* argument, const char* field) {
  fail(Status::unsupported_option, "expected ", argument, ".", field, " to be 0");
}

} // namespace anet::capi

void anet_struct_init(void* object, size_t size) {
  if (object == nullptr) return;
  std::memset(object, 0, size);
  const auto stored = static_cast<uint32_t>(size);
  if (size >= sizeof(stored)) std::memcpy(object, &stored, sizeof(stored));
}
