#include "backend/backend.h"

#include "backend/cpu/device.h"
#include "base/status.h"

#include <algorithm>
#include <thread>

namespace anet::backend {

namespace {

constexpr const char* no_ane = "this build has no Neural Engine backend on this platform";

int64_t element_bytes(DataType dtype) { return std::max(1, mil::data_type_bits(dtype) / 8); }

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
  if (name == "cpu") return cpu::open_device(options);
  if (name == "ane") fail(Status::unavailable, no_ane);
  fail(Status::not_found, "expected a device named cpu or ane, got '", name, "'");
}

std::vector<DeviceListing> list_devices() {
  const int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return {
      {"cpu", cpu::describe(threads), true, ""},
      {"ane", "Apple Neural Engine", false, no_ane},
  };
}

} // namespace anet::backend
