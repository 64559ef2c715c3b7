// The CPU as a device.
#pragma once

#include "backend/backend.h"

namespace anet::backend::cpu {

std::shared_ptr<Device> open_device(const DeviceOptions& options);
// "AMD EPYC, 2 threads, AVX3"
std::string describe(int threads);

} // namespace anet::backend::cpu
