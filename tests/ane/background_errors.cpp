// Errors in what kernels leave to the background reach the kernel whose work failed.
#include "backend/ane/engine.h"
#include "backend/ane/kernel.h"
#include "backend/ane/kernel_builder.h"
#include "backend/cpu/device.h"
#include "device_support.h"

#include <doctest/doctest.h>

#include <atomic>

using namespace anet;
using namespace anet::backend;
using namespace anet::test;

namespace {

// Runs as the CPU does, and fails the next run of all its kernels when told to.
class FailingKernel final : public Kernel {
public:
  FailingKernel(std::unique_ptr<Kernel> kernel, std::shared_ptr<std::atomic<bool>> fails)
      : kernel_(std::move(kernel)), fails_(std::move(fails)) {
    inputs_ = kernel_->inputs();
    outputs_ = kernel_->outputs();
    statistics_ = kernel_->statistics();
  }
  using Kernel::run;
  void run(std::span<const View> inputs, std::span<const View> outputs,
           const RunOptions& options) override {
    if (fails_->exchange(false)) fail(Status::out_of_range, "told to fail");
    kernel_->run(inputs, outputs, options);
  }
  bool overflowed() const override { return kernel_->overflowed(); }
  RunTotals totals() const override { return kernel_->totals(); }
  Placement placement() const override { return kernel_->placement(); }

private:
  std::unique_ptr<Kernel> kernel_;
  std::shared_ptr<std::atomic<bool>> fails_;
};

class FailingHost final : public Device {
public:
  const Capabilities& capabilities() const override { return host_->capabilities(); }
  ThreadPool& thread_pool() override { return host_->thread_pool(); }
  Support supports(const mil::Function& function, const mil::Operation& op) const override {
    return host_->supports(function, op);
  }
  std::unique_ptr<Buffer> allocate(const Layout& layout) override {
    return host_->allocate(layout);
  }
  std::unique_ptr<Buffer> import(std::byte* data, size_t size, const Layout& layout) override {
    return host_->import(data, size, layout);
  }
  std::unique_ptr<Buffer> import_native(void* handle, const Layout& layout) override {
    return host_->import_native(handle, layout);
  }
  std::shared_ptr<Workspace> make_workspace() override { return host_->make_workspace(); }
  std::unique_ptr<Kernel> compile(const mil::Function& function,
                                  const CompileOptions& options) override {
    return std::make_unique<FailingKernel>(host_->compile(function, options), fails);
  }
  std::string report() const override { return host_->report(); }

  std::shared_ptr<std::atomic<bool>> fails = std::make_shared<std::atomic<bool>>(false);

private:
  std::shared_ptr<Device> host_ = cpu::open_device({.threads = 1});
};

// y, and the sum d that the background adds to.
mil::Function summed() {
  mil::Builder b;
  const mil::ValueId x = b.input("x", {mil::DataType::fp16, {1, 64, 1, 24}, {}});
  const mil::ValueId w = b.input("w", {mil::DataType::fp16, {48, 64, 1, 1}, {}});
  const mil::ValueId y = b.linear(x, w);
  b.output(y, "y");
  const mil::ValueId flat = b.reshape(y, {1, 1, 48, 24});
  b.output(b.cast(b.matmul(flat, flat, false, true), mil::DataType::fp32), "d");
  return std::move(b).finish();
}

CompileOptions summing() {
  CompileOptions options;
  options.accumulate = {"d"};
  options.role = Role::backward;
  return options;
}

struct Summing {
  ane::AneKernel kernel;
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<View> inputs, outputs;

  Summing(const std::shared_ptr<ane::Environment>& environment, const mil::Function& function)
      : kernel(environment, ane::KernelBuilder(environment, function, summing()).build()) {
    for (const Port& port : kernel.inputs())
      inputs.emplace_back(*buffers.emplace_back(environment->allocate(port.layout)));
    for (const Port& port : kernel.outputs())
      outputs.emplace_back(*buffers.emplace_back(environment->allocate(port.layout)));
  }
  void run() { kernel.run(inputs, outputs); }
  Status synchronize() {
    try {
      kernel.synchronize();
      return Status::ok;
    } catch (const Error& error) {
      return error.status();
    }
  }
};

} // namespace

TEST_CASE("an error of the background reaches the kernel whose work failed, once") {
  EngineFixture fixture;
  AneOptions options = placed(PlacementPolicy::engine);
  options.compile_budget = 10;
  const auto background = std::make_shared<FailingHost>();
  const auto environment = std::make_shared<ane::Environment>(
      options, fixture.open(), cpu::open_device({.threads = 2}), background);
  const mil::Function function = summed();
  Summing one(environment, function), other(environment, function);
  for (int round = 0; round < 3; ++round) {
    *background->fails = true;
    one.run();
    environment->background()->drain();
    CHECK_FALSE(background->fails->load()); // it is one's that failed
    other.run();
    CHECK(other.synchronize() == Status::ok);
    one.run(); // goes on, but nobody can take it for good
    CHECK(one.synchronize() == Status::out_of_range);
    CHECK(one.synchronize() == Status::ok);
    one.run();
    CHECK(one.synchronize() == Status::ok);
  }
}
