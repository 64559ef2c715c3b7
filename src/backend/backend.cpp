#include "backend/backend.h"

#ifndef ANET_WITHOUT_ANE
#include "backend/ane/device.h"
#endif
#include "backend/cpu/device.h"
#include "base/available_cores.h"
#include "base/status.h"

#include <algorithm>

namespace anet::backend {

namespace {

int64_t element_bytes(DataType dtype) { return std::max(1, mil::data_type_bits(dtype) / 8); }

// Apps for a store cannot carry the names of private classes: such builds go without.
#ifdef ANET_WITHOUT_ANE
[[noreturn]] void fail_without_ane() {
  fail(Status::unavailable, "this build has no Neural Engine backend");
}
std::shared_ptr<Device> open_ane(const DeviceOptions&) { fail_without_ane(); }
std::string describe_ane() { fail_without_ane(); }
#else
std::shared_ptr<Device> open_ane(const DeviceOptions& options) { return ane::open_device(options); }
std::string describe_ane() { return ane::describe({}); }
#endif

DeviceListing list_ane() {
  try {
    return {"ane", describe_ane(), true, ""};
  } catch (const Error& error) {
    return {"ane", "Apple Neural Engine", false, error.message()};
  }
}

std::shared_ptr<Device> open_cpu(const DeviceOptions& options) {
  if (options.ane != AneOptions{})
    fail(Status::unsupported_option, "expected no Neural Engine options for the device cpu");
  return cpu::open_device(options);
}

} // namespace

Layout Layout::contiguous(DataType dtype, Shape shape) {
  Layout layout;
  layout.dtype = dtype;
  layout.strides = mil::contiguous_strides(shape);
  for (int64_t& stride : layout.strides) stride *= element_bytes(dtype);
  layout.shape = std::move(shape);
  return layout;
}

bool Layout::is_contiguous() const { return strides == contiguous(dtype, shape).strides; }

int64_t Layout::span_bytes() const {
  int64_t last = element_bytes(dtype);
  for (size_t d = 0; d < shape.size(); ++d) last += (shape[d] - 1) * strides[d];
  return last;
}

std::unique_ptr<Buffer> Device::import_native_id(uint32_t id, const Layout&) {
  fail(Status::unsupported, "expected a device that shares the platform's surfaces to find number ",
       id, ", seen ", capabilities().name);
}

std::shared_ptr<Device> open_device(const std::string& name, const DeviceOptions& options) {
  if (name == "cpu") return open_cpu(options);
  if (name == "ane") return open_ane(options);
  fail(Status::not_found, "expected a device named cpu or ane, got '", name, "'");
}

std::vector<DeviceListing> list_devices() {
  return {
      {"cpu", cpu::describe(available_cores()), true, ""},
      list_ane(),
  };
}

} // namespace anet::backend
