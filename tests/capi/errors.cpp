// Version, statuses and error objects.
#include "support.h"

#include <set>

using namespace test;

TEST_CASE("the version agrees with the header") {
  CHECK(anet_version_number() == ANET_VERSION_NUMBER);
  CHECK(anet_abi_version() == ANET_ABI_VERSION);
  const std::string expected = std::to_string(ANET_VERSION_MAJOR) + "." +
                               std::to_string(ANET_VERSION_MINOR) + "." +
                               std::to_string(ANET_VERSION_PATCH);
  CHECK(anet_version_string() == expected);
  const std::string info = anet_build_info();
  CHECK(info.find(expected) != std::string::npos);
  CHECK(info.find("cpu") != std::string::npos);
  CHECK(info.find('\n') == std::string::npos);
}

TEST_CASE("every status has a name of its own") {
  const anet_status statuses[] = {ANET_OK,
                                  ANET_E_INVALID_ARGUMENT,
                                  ANET_E_INVALID_HANDLE,
                                  ANET_E_INVALID_STRUCT_SIZE,
                                  ANET_E_UNSUPPORTED_OPTION,
                                  ANET_E_SHAPE_MISMATCH,
                                  ANET_E_TYPE_MISMATCH,
                                  ANET_E_OUT_OF_RANGE,
                                  ANET_E_NOT_FOUND,
                                  ANET_E_INVALID_STATE,
                                  ANET_E_UNAVAILABLE,
                                  ANET_E_UNSUPPORTED,
                                  ANET_E_PERMISSION,
                                  ANET_E_IO,
                                  ANET_E_DISK_FULL,
                                  ANET_E_FILE_NOT_FOUND,
                                  ANET_E_DEVICE,
                                  ANET_E_OUT_OF_MEMORY,
                                  ANET_E_MEMORY_LIMIT,
                                  ANET_E_COMPILE_BUDGET,
                                  ANET_E_INVALID_PROGRAM,
                                  ANET_E_INVALID_BLOB,
                                  ANET_E_INVALID_CONFIG,
                                  ANET_E_INVALID_CHECKPOINT,
                                  ANET_E_INVALID_DATA,
                                  ANET_E_CHECKSUM,
                                  ANET_E_VERSION,
                                  ANET_E_NUMERIC,
                                  ANET_E_CANCELLED,
                                  ANET_E_BUSY,
                                  ANET_E_CALLBACK,
                                  ANET_E_INTERNAL};
  std::set<std::string> names;
  for (anet_status status : statuses) names.insert(anet_status_name(status));
  CHECK(names.size() == std::size(statuses));
  CHECK(names.count(anet_status_name(12345)) == 0);
  CHECK(anet_status_name(ANET_E_SHAPE_MISMATCH) == std::string("shape mismatch"));
  CHECK(anet_status_name(-1) != nullptr);
}

TEST_CASE("only passing troubles are retryable") {
  for (anet_status status :
       {ANET_E_BUSY, ANET_E_OUT_OF_MEMORY, ANET_E_DISK_FULL, ANET_E_COMPILE_BUDGET})
    CHECK(anet_status_is_retryable(status) == 1);
  const anet_status lasting[] = {ANET_OK,          ANET_E_INVALID_ARGUMENT,
                                 ANET_E_CANCELLED, ANET_E_MEMORY_LIMIT,
                                 ANET_E_INTERNAL,  12345};
  for (anet_status status : lasting) CHECK(anet_status_is_retryable(status) == 0);
}

TEST_CASE("a NULL error reads as success") {
  CHECK(anet_error_status(nullptr) == ANET_OK);
  CHECK(anet_error_message(nullptr) == std::string());
  CHECK(anet_error_domain(nullptr) == std::string());
  CHECK(anet_error_native_code(nullptr) == 0);
  CHECK(anet_error_line(nullptr) == 0);
  CHECK(anet_error_column(nullptr) == 0);
  anet_error_release(nullptr);
}

TEST_CASE("the error argument may be NULL, and success clears it") {
  anet_device* device = reinterpret_cast<anet_device*>(0x10);
  CHECK(anet_device_open("abacus", nullptr, &device, nullptr) == ANET_E_NOT_FOUND);
  CHECK(device == nullptr);
  auto* error = reinterpret_cast<anet_error*>(0x10);
  CHECK(anet_device_open("cpu", nullptr, &device, &error) == ANET_OK);
  CHECK(error == nullptr);
  anet_device_release(device);
}

TEST_CASE("a failed system call leaves its errno in the error") {
  anet_program* program = nullptr;
  const Outcome outcome = attempt(anet_program_load, "/nonexistent/model.mil", &program);
  CHECK(outcome.status == ANET_E_FILE_NOT_FOUND);
  CHECK(outcome.domain == "errno");
  CHECK(outcome.native_code == ENOENT);
  CHECK(outcome.says("/nonexistent/model.mil"));
}

TEST_CASE("struct_init zeroes and stores the size") {
  anet_batch batch;
  std::memset(&batch, 0xff, sizeof(batch));
  anet_struct_init(&batch, sizeof(batch));
  CHECK(batch.struct_size == sizeof(batch));
  CHECK(batch.tokens == nullptr);
  CHECK(batch.sequence_count == 0);
  anet_struct_init(nullptr, 100);
}
