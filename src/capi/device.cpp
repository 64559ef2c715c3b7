#include "capi/device.h"

#include "base/thread_pool.h"
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"

#include <algorithm>
#include <vector>

namespace anet::capi {

namespace {

constexpr uint32_t max_threads = 256;

static_assert(static_cast<anet_log_level>(LogLevel::error) == ANET_LOG_ERROR);
static_assert(static_cast<anet_log_level>(LogLevel::debug) == ANET_LOG_DEBUG);

const std::vector<backend::DeviceListing>& listings() {
  static const std::vector<backend::DeviceListing> list = backend::list_devices();
  return list;
}

void forward_message(void* sink, LogLevel level, const char* category, const char* text) {
  const auto* target = static_cast<const LogSink*>(sink);
  try {
    const std::string message = concat(category, ": ", text);
    target->callback(static_cast<anet_log_level>(level), message.c_str(), target->user_data);
  } catch (const std::bad_alloc&) {
    target->callback(static_cast<anet_log_level>(level), text, target->user_data);
  }
}

Logger make_logger(const anet_device_options& options, LogSink& sink) {
  const int32_t level = check_enumerator(options.log_level, ANET_LOG_OFF, ANET_LOG_DEBUG + 1,
                                         Status::unsupported_option, "options.log_level");
  if (level != ANET_LOG_OFF) require(options.log, "options.log");
  sink = {options.log, options.log_user_data};
  return Logger(static_cast<LogLevel>(level), level == ANET_LOG_OFF ? nullptr : forward_message,
                &sink);
}

// "auto": the Neural Engine where there is one, else the CPU.
std::string choose_device(const std::string& name) {
  if (name != "auto") return name;
  for (const char* preferred : {"ane", "cpu"})
    for (const backend::DeviceListing& listing : listings())
      if (listing.name == preferred && listing.available) return preferred;
  fail(Status::unavailable, "expected a device that is available, seen none");
}

std::unique_ptr<anet_device> open(const char* name, const anet_device_options& options) {
  if (options.threads > max_threads)
    fail(Status::out_of_range, "expected options.threads up to ", max_threads, ", seen ",
         options.threads);
  auto handle = std::make_unique<anet_device>();
  handle->logger = make_logger(options, handle->sink);
  handle->device = backend::open_device(choose_device(read_string(name, "name")),
                                        {.threads = static_cast<int>(options.threads)});
  const backend::Capabilities& capabilities = handle->device->capabilities();
  handle->logger.write(LogLevel::info, "device", "opened ", capabilities.name, ": ",
                       capabilities.description);
  return handle;
}

anet_device_info describe(backend::Device& device) {
  const backend::Capabilities& capabilities = device.capabilities();
  anet_device_info info{};
  info.threads = static_cast<uint32_t>(device.thread_pool().threads());
  info.name = capabilities.name.c_str();
  info.description = capabilities.description.c_str();
  info.buffer_alignment = capabilities.buffer_alignment;
  return info;
}

anet_device_listing describe(const backend::DeviceListing& listing) {
  anet_device_listing result{};
  result.available = listing.available;
  result.name = listing.name.c_str();
  result.description = listing.description.c_str();
  result.reason = listing.reason.c_str();
  return result;
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

size_t anet_device_listing_count(void) {
  size_t count = 0;
  if (guard(nullptr, [&] { count = listings().size(); }) != ANET_OK) return 0;
  return count;
}

anet_status anet_device_listing_get(size_t index, anet_device_listing* listing,
                                    anet_error** error) {
  return guard(error, [&] {
    const OutputStruct output(listing, "listing");
    check_index(index, listings().size(), "device");
    output.write(describe(listings()[index]));
  });
}

anet_status anet_device_open(const char* name, const anet_device_options* options,
                             anet_device** device, anet_error** error) {
  return guard_create(device, "device", error,
                      [&] { return open(name, read_optional_struct(options, "options")); });
}

anet_status anet_device_get_info(const anet_device* device, anet_device_info* info,
                                 anet_error** error) {
  return guard(error, [&] {
    const anet_device& handle = check_handle(device, "device");
    const OutputStruct output(info, "info");
    output.write(describe(*handle.device));
  });
}

void anet_device_retain(anet_device* device) { retain_handle(device); }

void anet_device_release(anet_device* device) { release_handle(device); }
