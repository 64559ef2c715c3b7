#include "bench_device_measure.h"

#include <algorithm>
#include <chrono>
#include <string_view>

namespace cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double time_once(const std::function<void()>& run) {
  const auto start = Clock::now();
  run();
  return seconds_since(start);
}

double quantile(const std::vector<double>& sorted, double share) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(last * share + 0.5)];
}

std::vector<Buffer> make_buffers(const Kernel& kernel, anet_direction direction,
                                 std::vector<anet_buffer*>& bound) {
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < anet_kernel_port_count(kernel.get(), direction); ++i) {
    buffers.push_back(create<Buffer>(anet_kernel_create_buffer, kernel.get(), direction, i));
    bound.push_back(buffers.back().get());
  }
  return buffers;
}

} // namespace

Timing time_runs(const std::function<void()>& run, const BenchLimits& limits) {
  Timing timing;
  timing.first = time_once(run);
  std::vector<double> samples;
  if (timing.first < limits.seconds) {
    const auto warm_up = Clock::now();
    while (seconds_since(warm_up) < limits.seconds / 10) run();
    const auto start = Clock::now();
    while (samples.size() < limits.most_runs &&
           (samples.size() < 3 || seconds_since(start) < limits.seconds)) {
      samples.push_back(time_once(run));
    }
  } else {
    samples.push_back(time_once(run));
  }
  std::sort(samples.begin(), samples.end());
  timing.runs = samples.size();
  timing.median = quantile(samples, 0.5);
  timing.p95 = quantile(samples, 0.95);
  timing.fastest = samples.front();
  return timing;
}

BoundKernel::BoundKernel(const Device& device, const Program& program) {
  const auto start = Clock::now();
  kernel_ = create<Kernel>(anet_kernel_compile, device.get(), program.get(), nullptr);
  compile_seconds_ = seconds_since(start);
  inputs_ = make_buffers(kernel_, ANET_INPUT, bound_inputs_);
  outputs_ = make_buffers(kernel_, ANET_OUTPUT, bound_outputs_);
}

void BoundKernel::run() {
  call(anet_kernel_run, kernel_.get(), bound_inputs_.data(), bound_inputs_.size(),
       bound_outputs_.data(), bound_outputs_.size());
}

void BoundKernel::fill_inputs(double weight_limit) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    auto port = initialised<anet_port>();
    call(anet_kernel_get_port, kernel_.get(), anet_direction{ANET_INPUT}, i, &port);
    if (port.desc.dtype != ANET_DTYPE_FP16) continue;
    const size_t bytes = dense_bytes(port.desc);
    const double limit = std::string_view(port.name) == "x" ? 1 : weight_limit;
    const std::vector<uint16_t> values = random_halves(bytes / 2, limit, i);
    call(anet_buffer_write, inputs_[i].get(), values.data(), bytes);
  }
}

void BoundKernel::describe(std::string& where, std::string& reason) const {
  const char* place = nullptr;
  const char* why = nullptr;
  call(anet_kernel_get_placement, kernel_.get(), &place, &why);
  where = place;
  reason = why;
}

size_t dense_bytes(const anet_tensor_desc& desc) {
  size_t bytes = anet_dtype_size(desc.dtype);
  for (uint32_t axis = 0; axis < desc.rank; ++axis) bytes *= static_cast<size_t>(desc.shape[axis]);
  return bytes;
}

} // namespace cli
