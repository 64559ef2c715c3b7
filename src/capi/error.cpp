#include "base/status.h"
#include "capi/guard.h"

#include <cerrno>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

namespace {

constexpr uint64_t error_tag = 0x616e65745f657272;

} // namespace

struct anet_error {
  uint64_t tag = error_tag;
  anet::Error error;
};

namespace anet::capi {

namespace {

// Both lists spell every number out: neither may change alone.
constexpr bool same(Status status, anet_status number) {
  return static_cast<anet_status>(status) == number;
}
static_assert(same(Status::ok, ANET_OK));
static_assert(same(Status::invalid_argument, ANET_E_INVALID_ARGUMENT));
static_assert(same(Status::invalid_handle, ANET_E_INVALID_HANDLE));
static_assert(same(Status::invalid_struct_size, ANET_E_INVALID_STRUCT_SIZE));
static_assert(same(Status::unsupported_option, ANET_E_UNSUPPORTED_OPTION));
static_assert(same(Status::shape_mismatch, ANET_E_SHAPE_MISMATCH));
static_assert(same(Status::type_mismatch, ANET_E_TYPE_MISMATCH));
static_assert(same(Status::out_of_range, ANET_E_OUT_OF_RANGE));
static_assert(same(Status::not_found, ANET_E_NOT_FOUND));
static_assert(same(Status::invalid_state, ANET_E_INVALID_STATE));
static_assert(same(Status::unavailable, ANET_E_UNAVAILABLE));
static_assert(same(Status::unsupported, ANET_E_UNSUPPORTED));
static_assert(same(Status::permission, ANET_E_PERMISSION));
static_assert(same(Status::io, ANET_E_IO));
static_assert(same(Status::disk_full, ANET_E_DISK_FULL));
static_assert(same(Status::file_not_found, ANET_E_FILE_NOT_FOUND));
static_assert(same(Status::device, ANET_E_DEVICE));
static_assert(same(Status::out_of_memory, ANET_E_OUT_OF_MEMORY));
static_assert(same(Status::memory_limit, ANET_E_MEMORY_LIMIT));
static_assert(same(Status::compile_budget, ANET_E_COMPILE_BUDGET));
static_assert(same(Status::invalid_program, ANET_E_INVALID_PROGRAM));
static_assert(same(Status::invalid_blob, ANET_E_INVALID_BLOB));
static_assert(same(Status::invalid_config, ANET_E_INVALID_CONFIG));
static_assert(same(Status::invalid_checkpoint, ANET_E_INVALID_CHECKPOINT));
static_assert(same(Status::invalid_data, ANET_E_INVALID_DATA));
static_assert(same(Status::checksum, ANET_E_CHECKSUM));
static_assert(same(Status::version, ANET_E_VERSION));
static_assert(same(Status::numeric, ANET_E_NUMERIC));
static_assert(same(Status::cancelled, ANET_E_CANCELLED));
static_assert(same(Status::busy, ANET_E_BUSY));
static_assert(same(Status::callback, ANET_E_CALLBACK));
static_assert(same(Status::internal, ANET_E_INTERNAL));

// Made without allocating: its strings are short enough to lie inside the object.
anet_error* out_of_memory_error() noexcept {
  static anet_error permanent{error_tag, Error(Status::out_of_memory, "out of memory")};
  return &permanent;
}

bool is_valid(const anet_error* error) { return error != nullptr && error->tag == error_tag; }

anet_status report(const Error& failure, anet_error** error) {
  const auto status = static_cast<anet_status>(failure.status());
  if (error != nullptr) *error = new anet_error{error_tag, failure};
  return status;
}

Status status_of(const std::error_code& code) {
  if (code == std::errc::no_such_file_or_directory) return Status::file_not_found;
  if (code == std::errc::permission_denied) return Status::permission;
  if (code == std::errc::no_space_on_device) return Status::disk_full;
  if (code == std::errc::not_enough_memory) return Status::out_of_memory;
  if (code == std::errc::resource_unavailable_try_again) return Status::out_of_memory; // threads
  return Status::io;
}

Error describe(const std::system_error& failure) {
  return Error(status_of(failure.code()), failure.what(),
               ErrorDetail{.domain = "errno", .code = failure.code().value()});
}

anet_status report_current(anet_error** error) {
  try {
    throw;
  } catch (const Error& failure) {
    return report(failure, error);
  } catch (const std::system_error& failure) {
    return report(describe(failure), error);
  } catch (const std::length_error&) {
    // A container that was asked for more than the address space holds.
    return report(Error(Status::out_of_memory, "expected a size that fits the address space"),
                  error);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& failure) {
    return report(Error(Status::internal, concat("unexpected failure: ", failure.what())), error);
  } catch (...) {
    return report(Error(Status::internal, "unexpected failure of an unknown type"), error);
  }
}

} // namespace

anet_status report_exception(anet_error** error) noexcept {
  try {
    return report_current(error);
  } catch (...) {
    // Also when only the description found no memory: the status says what must be remedied first.
    if (error != nullptr) *error = out_of_memory_error();
    return ANET_E_OUT_OF_MEMORY;
  }
}

void fail_null(const char* argument) {
  fail(Status::invalid_argument, "expected a pointer in '", argument, "', seen NULL");
}

} // namespace anet::capi

using anet::capi::is_valid;

const char* anet_status_name(anet_status status) {
  return anet::status_name(static_cast<anet::Status>(status));
}

int32_t anet_status_is_retryable(anet_status status) {
  return status == ANET_E_BUSY || status == ANET_E_OUT_OF_MEMORY || status == ANET_E_DISK_FULL ||
         status == ANET_E_COMPILE_BUDGET;
}

anet_status anet_error_status(const anet_error* error) {
  return is_valid(error) ? static_cast<anet_status>(error->error.status()) : ANET_OK;
}

const char* anet_error_message(const anet_error* error) {
  return is_valid(error) ? error->error.message().c_str() : "";
}

const char* anet_error_domain(const anet_error* error) {
  return is_valid(error) ? error->error.detail().domain.c_str() : "";
}

int64_t anet_error_native_code(const anet_error* error) {
  return is_valid(error) ? error->error.detail().code : 0;
}

int32_t anet_error_line(const anet_error* error) {
  return is_valid(error) ? error->error.detail().line : 0;
}

int32_t anet_error_column(const anet_error* error) {
  return is_valid(error) ? error->error.detail().column : 0;
}

void anet_error_release(anet_error* error) {
  if (!is_valid(error) || error == anet::capi::out_of_memory_error()) return;
  error->tag = 0;
  delete error;
}
