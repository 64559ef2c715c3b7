// Failure inside the library: one exception type, carrying the status that crosses the C ABI.
#pragma once

#include <cstdint>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace anet {

// The numbers are those of ANET_* in include/ane_train.h; src/capi asserts that they agree.
enum class Status : int32_t {
  ok = 0,
  // 1-19: the caller's mistakes.
  invalid_argument = 1,
  invalid_handle = 2,
  invalid_struct_size = 3,
  unsupported_option = 4,
  shape_mismatch = 5,
  type_mismatch = 6,
  out_of_range = 7,
  not_found = 8,
  invalid_state = 9,
  // 20-39: the environment.
  unavailable = 20,
  unsupported = 21,
  permission = 22,
  io = 23,
  disk_full = 24,
  file_not_found = 25,
  device = 26,
  // 40-59: resources.
  out_of_memory = 40,
  memory_limit = 41,
  compile_budget = 42,
  // 60-79: data.
  invalid_program = 60,
  invalid_blob = 61,
  invalid_config = 62,
  invalid_checkpoint = 63,
  invalid_data = 64,
  checksum = 65,
  version = 66,
  numeric = 67,
  // 80-89: control.
  cancelled = 80,
  busy = 81,
  callback = 82,
  // 90-99: our own defects.
  internal = 90,
};

const char* status_name(Status status);

// What the system or the MIL text said: errno, NSError domain and code, line and column.
struct ErrorDetail {
  std::string domain;
  int64_t code = 0;
  int32_t line = 0;
  int32_t column = 0;
};

class Error : public std::exception {
public:
  Error(Status status, std::string message, ErrorDetail detail = {})
      : status_(status), message_(std::move(message)), detail_(std::move(detail)) {}

  Status status() const { return status_; }
  const std::string& message() const { return message_; }
  const ErrorDetail& detail() const { return detail_; }
  const char* what() const noexcept override { return message_.c_str(); }

private:
  Status status_;
  std::string message_;
  ErrorDetail detail_;
};

// concat("expected ", 3, " inputs") == "expected 3 inputs".
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  out.exceptions(std::ios::badbit); // what operators of streams catch: out of memory
  (out << ... << parts);
  return std::move(out).str();
}

// Throws an Error. The message is one line, starts in lower case, says what was expected and what
// was seen, and has no full stop at its end.
template <typename... Parts>
[[noreturn]] void fail(Status status, const Parts&... parts) {
  throw Error(status, concat(parts...));
}

// Throws an Error that carries errno of the call that just failed.
[[noreturn]] void fail_errno(std::string_view action, std::string_view path);

} // namespace anet
