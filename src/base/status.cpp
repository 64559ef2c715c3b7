#include "base/status.h"

#include <cerrno>
#include <cstring>
#include <system_error>

namespace anet {

const char* status_name(Status status) {
  switch (status) {
  case Status::ok:
    return "ok";
  case Status::invalid_argument:
    return "invalid argument";
  case Status::invalid_handle:
    return "invalid handle";
  case Status::invalid_struct_size:
    return "invalid struct size";
  case Status::unsupported_option:
    return "unsupported option";
  case Status::shape_mismatch:
    return "shape mismatch";
  case Status::type_mismatch:
    return "type mismatch";
  case Status::out_of_range:
    return "out of range";
  case Status::not_found:
    return "not found";
  case Status::invalid_state:
    return "invalid state";
  case Status::unavailable:
    return "unavailable";
  case Status::unsupported:
    return "unsupported";
  case Status::permission:
    return "permission denied";
  case Status::io:
    return "input/output error";
  case Status::disk_full:
    return "disk full";
  case Status::device:
    return "device failure";
  case Status::file_not_found:
    return "file not found";
  case Status::out_of_memory:
    return "out of memory";
  case Status::memory_limit:
    return "memory limit";
  case Status::compile_budget:
    return "compile budget";
  case Status::invalid_program:
    return "invalid program";
  case Status::invalid_blob:
    return "invalid blob";
  case Status::invalid_config:
    return "invalid config";
  case Status::invalid_checkpoint:
    return "invalid checkpoint";
  case Status::invalid_data:
    return "invalid data";
  case Status::checksum:
    return "checksum mismatch";
  case Status::version:
    return "version mismatch";
  case Status::numeric:
    return "numeric failure";
  case Status::cancelled:
    return "cancelled";
  case Status::busy:
    return "busy";
  case Status::callback:
    return "callback failed";
  case Status::internal:
    return "internal error";
  }
  return "unknown status";
}

namespace {

Status status_from_errno(int error) {
  switch (error) {
  case ENOENT:
  case ENOTDIR:
    return Status::file_not_found;
  case EACCES:
  case EPERM:
  case EROFS:
    return Status::permission;
  case ENOSPC:
  case EDQUOT:
    return Status::disk_full;
  case ENOMEM:
    return Status::out_of_memory;
  default:
    return Status::io;
  }
}

} // namespace

void fail_errno(std::string_view action, std::string_view path) {
  const int error = errno;
  throw Error(status_from_errno(error),
              concat("cannot ", action, " '", path, "': ", std::generic_category().message(error)),
              ErrorDetail{.domain = "errno", .code = error});
}

} // namespace anet
