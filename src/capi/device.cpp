#include "capi/device.h"

#include "backend/host_access.h"
#include "base/thread_pool.h"
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"

#include <algorithm>
#include <vector>

namespace anet::capi {

namespace {

using backend::AuditAction;
using backend::Part;
using backend::PlacementPolicy;

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

static_assert(static_cast<anet_placement>(PlacementPolicy::measured) == ANET_PLACEMENT_MEASURED);
static_assert(static_cast<anet_placement>(PlacementPolicy::engine) == ANET_PLACEMENT_ENGINE);
static_assert(static_cast<anet_placement>(PlacementPolicy::host) == ANET_PLACEMENT_HOST);
static_assert(static_cast<anet_audit_action>(AuditAction::fallback) == ANET_AUDIT_FALLBACK);
static_assert(static_cast<anet_audit_action>(AuditAction::error) == ANET_AUDIT_ERROR);

std::string optional_string(const char* text, const char* field) {
  return text == nullptr ? std::string() : read_string(text, field);
}

backend::AneOptions options_of(const anet_ane_options& options) {
  backend::AneOptions result;
  result.framework_path = optional_string(options.framework_path, "ane.framework_path");
  result.cache_directory = optional_string(options.cache_directory, "ane.cache_directory");
  result.audit_kernels = optional_string(options.audit_kernels, "ane.audit_kernels");
  result.compile_budget = options.compile_budget;
  result.qos = options.qos;
  const auto place = [&](Part part, anet_placement placement, const char* field) {
    result.placement[static_cast<size_t>(part)] = static_cast<PlacementPolicy>(
        check_enumerator(placement, 0, 3, Status::unsupported_option, field));
  };
  place(Part::other, options.programs, "ane.programs");
  place(Part::forward, options.forward, "ane.forward");
  place(Part::loss, options.loss, "ane.loss");
  place(Part::input_gradient, options.input_gradients, "ane.input_gradients");
  place(Part::weight_gradient, options.weight_gradients, "ane.weight_gradients");
  result.audit_every = options.audit_every;
  result.audit_action = static_cast<AuditAction>(
      check_enumerator(options.audit_action, 0, 2, Status::unsupported_option, "ane.audit_action"));
  result.audit_tolerance = options.audit_tolerance;
  return result;
}

// "auto": the Neural Engine where there is one, else the CPU.
std::shared_ptr<backend::Device> open_backend(const std::string& name,
                                              const anet_device_options& options) {
  backend::DeviceOptions device{.threads = static_cast<int>(options.threads)};
  if (options.ane != nullptr) device.ane = options_of(read_struct(options.ane, "options.ane"));
  if (name == "cpu" && options.ane != nullptr)
    fail(Status::unsupported_option, "expected options.ane only for the devices ane and auto, ",
         "seen it for cpu");
  if (name != "auto") return backend::open_device(name, device);
  try {
    return backend::open_device("ane", device);
  } catch (const Error& error) {
    if (error.status() != Status::unavailable) throw;
    return backend::open_device("cpu", {.threads = device.threads});
  }
}

std::unique_ptr<anet_device> open(const char* name, const anet_device_options& options,
                                  ReleaseCallback& log_release) {
  if (options.threads > max_threads)
    fail(Status::out_of_range, "expected options.threads up to ", max_threads, ", seen ",
         options.threads);
  auto handle = std::make_unique<anet_device>();
  handle->log_release = std::move(log_release);
  handle->logger = make_logger(options, handle->sink);
  handle->device = open_backend(read_string(name, "name"), options);
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
  info.has_f32 = backend::computes_fp32(device);
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
  if (device != nullptr) *device = nullptr;
  return guard(error, [&] {
    const anet_device_options settings = read_optional_struct(options, "options");
    // Before anything can fail: the log is then given back.
    ReleaseCallback log_release(settings.log_release, settings.log_user_data);
    require(device, "device");
    *device = open(name, settings, log_release).release();
  });
}

anet_status anet_device_get_info(const anet_device* device, anet_device_info* info,
                                 anet_error** error) {
  return guard(error, [&] {
    const anet_device& handle = check_handle(device, "device");
    const OutputStruct output(info, "info");
    output.write(describe(*handle.device));
  });
}

anet_status anet_device_get_report(const anet_device* device, char* json, size_t capacity,
                                   size_t* length, anet_error** error) {
  return guard(error, [&] {
    const anet_device& handle = check_handle(device, "device");
    require(length, "length");
    copy_string(handle.device->report(), json, capacity, length, "json");
  });
}

void anet_device_retain(anet_device* device) { retain_handle(device); }

void anet_device_release(anet_device* device) { release_handle(device); }
