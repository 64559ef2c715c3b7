#include "support.h"

#include <algorithm>
#include <mutex>

using namespace test;

namespace {

struct Log {
  std::vector<std::pair<anet_log_level, std::string>> messages;
};

void record(anet_log_level level, const char* message, void* user_data) {
  static_cast<Log*>(user_data)->messages.emplace_back(level, message);
}

} // namespace

TEST_CASE("the listing knows the CPU") {
  bool cpu = false;
  for (size_t i = 0; i < anet_device_listing_count(); ++i) {
    auto listing = initialised<anet_device_listing>();
    must(anet_device_listing_get, i, &listing);
    const std::string reason = listing.reason;
    CHECK((listing.available == 1) == reason.empty());
    anet_device* device = nullptr;
    const anet_status status = attempt(anet_device_open, listing.name, nullptr, &device).status;
    CHECK((status == ANET_OK) == (listing.available == 1));
    anet_device_release(device);
    cpu = cpu || listing.name == std::string("cpu");
  }
  CHECK(cpu);
  auto listing = initialised<anet_device_listing>();
  CHECK(attempt(anet_device_listing_get, anet_device_listing_count(), &listing).status ==
        ANET_E_OUT_OF_RANGE);
}

TEST_CASE("auto opens a device that is available") {
  anet_device* handle = nullptr;
  must(anet_device_open, "auto", nullptr, &handle);
  const Device device(handle);
  auto info = initialised<anet_device_info>();
  must(anet_device_get_info, device.get(), &info);
  CHECK(info.threads >= 1);
  CHECK(info.buffer_alignment >= sizeof(float));
  CHECK_FALSE(std::string(info.description).empty());
}

TEST_CASE("threads are as asked for") {
  for (uint32_t threads : {1u, 3u}) {
    const Device device = open_device(threads);
    auto info = initialised<anet_device_info>();
    must(anet_device_get_info, device.get(), &info);
    CHECK(info.threads == threads);
  }
  auto options = initialised<anet_device_options>();
  options.threads = 257;
  anet_device* device = nullptr;
  const Outcome outcome = attempt(anet_device_open, "cpu", &options, &device);
  CHECK(outcome.status == ANET_E_OUT_OF_RANGE);
  CHECK(outcome.says("256"));
}

TEST_CASE("an unknown device is not found") {
  anet_device* device = nullptr;
  CHECK(attempt(anet_device_open, "gpu", nullptr, &device).status == ANET_E_NOT_FOUND);
  CHECK(device == nullptr);
}

TEST_CASE("log messages up to the level reach the callback") {
  Log log;
  auto options = initialised<anet_device_options>();
  options.threads = 1;
  options.log_level = ANET_LOG_INFO;
  options.log = record;
  options.log_user_data = &log;
  anet_device* handle = nullptr;
  must(anet_device_open, "cpu", &options, &handle);
  Device device(handle);
  CHECK(std::any_of(log.messages.begin(), log.messages.end(), [](const auto& message) {
    return message.first == ANET_LOG_INFO && message.second.find("cpu") != std::string::npos;
  }));

  // A session goes on logging through a device that the application has released.
  const Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  device.reset();
  const Folder folder;
  log.messages.clear();
  must(anet_session_save, session.get(), folder.path().c_str(), nullptr);
  CHECK_FALSE(log.messages.empty());
  for (const auto& message : log.messages) CHECK(message.first <= ANET_LOG_INFO);
}

TEST_CASE("a log is given back once, when nothing can log any more") {
  const auto count = [](void* user_data) { ++*static_cast<int*>(user_data); };
  int released = 0;
  auto options = initialised<anet_device_options>();
  options.log_user_data = &released;
  options.log_release = count;
  anet_device* handle = nullptr;
  must(anet_device_open, "cpu", &options, &handle);
  Device device(handle);
  {
    const Model model = create_model();
    const Session session = create_session(device.get(), model.get());
    device.reset();
    CHECK(released == 0); // the session still logs
  }
  CHECK(released == 1);

  CHECK(attempt(anet_device_open, "gpu", &options, &handle).status == ANET_E_NOT_FOUND);
  CHECK(released == 2);
  options.threads = 1000;
  CHECK(attempt(anet_device_open, "cpu", &options, &handle).status == ANET_E_OUT_OF_RANGE);
  CHECK(released == 3);
  anet_device** nowhere = nullptr;
  CHECK(attempt(anet_device_open, "cpu", &options, nowhere).status == ANET_E_INVALID_ARGUMENT);
  CHECK(released == 4);
}

TEST_CASE("a silent device calls nothing") {
  Log log;
  auto options = initialised<anet_device_options>();
  options.log = record;
  options.log_user_data = &log;
  anet_device* handle = nullptr;
  must(anet_device_open, "cpu", &options, &handle);
  const Device device(handle);
  CHECK(log.messages.empty());
}

TEST_CASE("log options that cannot be honoured are refused") {
  anet_device* device = nullptr;
  auto options = initialised<anet_device_options>();
  options.log_level = ANET_LOG_INFO;
  CHECK(attempt(anet_device_open, "cpu", &options, &device).status == ANET_E_INVALID_ARGUMENT);
  options.log_level = 9;
  options.log = record;
  CHECK(attempt(anet_device_open, "cpu", &options, &device).status == ANET_E_UNSUPPORTED_OPTION);
}
