#include "backend/cpu/device.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/int8_product.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/library_product.h"
#include "backend/cpu/lowering.h"
#include "backend/view_checks.h"
#include "base/json.h"
#include "base/status.h"
#include "mil/passes.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <new>

namespace anet::backend::cpu {

namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.rfind("model name", 0) == 0 && colon + 2 < line.size()) return line.substr(colon + 2);
  }
#if defined(__APPLE__)
  return "Apple silicon or Intel Mac";
#else
  return "unknown processor";
#endif
}

// Owned memory, or memory that the caller keeps.
class CpuBuffer final : public Buffer {
public:
  CpuBuffer(const Layout& layout, size_t size)
      : Buffer(layout, size), owned_(allocate_aligned(static_cast<int64_t>(size))),
        data_(owned_.get()) {
    std::memset(data_, 0, size);
  }
  CpuBuffer(const Layout& layout, std::byte* data, size_t size)
      : Buffer(layout, size), data_(data) {}

  std::byte* data() override { return data_; }
  void map(bool) override { mappings_.fetch_add(1, std::memory_order_acq_rel); }
  void unmap() override {
    if (mappings_.load(std::memory_order_acquire) == 0) {
      fail(Status::invalid_state, "expected a mapped buffer to unmap");
    }
    mappings_.fetch_sub(1, std::memory_order_acq_rel);
  }

private:
  AlignedMemory owned_;
  std::byte* data_;
};

class CpuDevice final : public Device {
public:
  explicit CpuDevice(const DeviceOptions& options)
      : pool_(std::make_shared<ThreadPool>(options.threads)) {
    capabilities_.name = "cpu";
    capabilities_.description = describe(pool_->threads());
    capabilities_.host_memory = true;
    capabilities_.accumulate = true;
    capabilities_.fused_attention = true;
    capabilities_.compute = {DataType::fp32};
    capabilities_.max_rank = static_cast<int64_t>(max_loop_rank / 2);
  }

  const Capabilities& capabilities() const override { return capabilities_; }

  ThreadPool& thread_pool() override { return *pool_; }

  Support supports(const mil::Function& function, const mil::Operation& op) const override {
    std::string reason = why_unsupported(function, op);
    return {reason.empty(), std::move(reason)};
  }

  std::unique_ptr<Buffer> allocate(const Layout& layout) override {
    return std::make_unique<CpuBuffer>(layout, static_cast<size_t>(layout.span_bytes()));
  }

  std::unique_ptr<Buffer> import(std::byte* data, size_t size, const Layout& layout) override {
    if (data == nullptr) fail(Status::invalid_argument, "expected memory to import, got null");
    if (static_cast<size_t>(layout.span_bytes()) > size) {
      fail(Status::invalid_argument, "expected at least ", layout.span_bytes(),
           " bytes for the layout, got ", size);
    }
    const auto element = static_cast<uintptr_t>(element_size(layout.dtype));
    if (reinterpret_cast<uintptr_t>(data) % element != 0) {
      fail(Status::invalid_argument, "expected memory aligned to ", element, " bytes");
    }
    return std::make_unique<CpuBuffer>(layout, data, size);
  }

  std::shared_ptr<Workspace> make_workspace() override { return std::make_shared<CpuWorkspace>(); }

  std::unique_ptr<Kernel> compile(const mil::Function& function,
                                  const CompileOptions& options) override {
    check_compile_options(function, options);
    auto workspace = std::make_shared<CpuWorkspace>();
    if (options.workspace) {
      workspace = std::dynamic_pointer_cast<CpuWorkspace>(options.workspace);
      if (!workspace) {
        fail(Status::invalid_argument, "expected a workspace of the cpu device");
      }
    }
    try {
      const mil::Function optimized = mil::optimize(function);
      auto kernel = std::make_unique<CpuKernel>(make_plan(optimized, options, pool_->threads()),
                                                workspace, pool_);
      if (!options.workspace) workspace->reserve();
      return kernel;
    } catch (const std::bad_alloc&) {
      fail(Status::out_of_memory, "cannot allocate what the kernel ", options.label, " needs");
    }
  }

  std::unique_ptr<Buffer> import_native(void*, const Layout&) override {
    fail(Status::unsupported, "expected a device that shares the platform's surfaces, seen cpu");
  }

  std::string report() const override {
    Json json = Json::object();
    json.set("device", Json(capabilities_.name));
    json.set("description", Json(capabilities_.description));
    Json products = Json::object();
    const auto set = [&](const char* type, const std::string& reason) {
      products.set(type, Json(reason.empty() ? product_library() : reason));
    };
    products.set("fp32", Json(gemm_library()));
    set("bf16", why_no_bf16_products());
    set("int8", why_no_int8_products());
    json.set("products", std::move(products));
    return json.to_string(2);
  }

private:
  std::shared_ptr<ThreadPool> pool_;
  Capabilities capabilities_;
};

} // namespace

std::shared_ptr<Device> open_device(const DeviceOptions& options) {
  if (options.threads < 0) {
    fail(Status::invalid_argument, "expected 0 or more threads, got ", options.threads);
  }
  return std::make_shared<CpuDevice>(options);
}

std::string describe(int threads) {
  return concat(cpu_model(), ", ", threads, threads == 1 ? " thread, " : " threads, ",
                simd_target());
}

} // namespace anet::backend::cpu
