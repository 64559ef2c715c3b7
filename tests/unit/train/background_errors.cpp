// Errors of a device's background reach the session whose work failed.
#include "support.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::test;

namespace {

// Told to fail, it runs as ever and says so when it is synchronized.
class LateKernel final : public backend::Kernel {
public:
  LateKernel(std::unique_ptr<backend::Kernel> kernel, bool& fails)
      : kernel_(std::move(kernel)), fails_(fails) {
    inputs_ = kernel_->inputs();
    outputs_ = kernel_->outputs();
    statistics_ = kernel_->statistics();
  }
  void run(std::span<const backend::View> inputs, std::span<const backend::View> outputs,
           const backend::RunOptions& options) override {
    kernel_->run(inputs, outputs, options);
    failed_ |= std::exchange(fails_, false);
  }
  void synchronize() override {
    if (std::exchange(failed_, false)) fail(Status::device, "told to fail");
  }
  bool overflowed() const override { return kernel_->overflowed(); }
  backend::RunTotals totals() const override { return kernel_->totals(); }
  backend::Placement placement() const override { return kernel_->placement(); }

private:
  std::unique_ptr<backend::Kernel> kernel_;
  bool& fails_;
  bool failed_ = false;
};

class LateDevice final : public backend::Device {
public:
  const backend::Capabilities& capabilities() const override { return cpu_->capabilities(); }
  ThreadPool& thread_pool() override { return cpu_->thread_pool(); }
  backend::Support supports(const mil::Function& function,
                            const mil::Operation& op) const override {
    return cpu_->supports(function, op);
  }
  std::unique_ptr<backend::Buffer> allocate(const backend::Layout& layout) override {
    return cpu_->allocate(layout);
  }
  std::unique_ptr<backend::Buffer> import(std::byte* data, size_t size,
                                          const backend::Layout& layout) override {
    return cpu_->import(data, size, layout);
  }
  std::unique_ptr<backend::Buffer> import_native(void* handle,
                                                 const backend::Layout& layout) override {
    return cpu_->import_native(handle, layout);
  }
  std::shared_ptr<backend::Workspace> make_workspace() override { return cpu_->make_workspace(); }
  std::unique_ptr<backend::Kernel> compile(const mil::Function& function,
                                           const backend::CompileOptions& options) override {
    return std::make_unique<LateKernel>(cpu_->compile(function, options), fails);
  }
  std::string report() const override { return cpu_->report(); }

  bool fails = false; // the next run of any kernel

private:
  std::shared_ptr<backend::Device> cpu_ = backend::open_device("cpu", {.threads = 2});
};

} // namespace

TEST_CASE("of two sessions on a device the one whose work failed hears of it, and goes on") {
  const auto device = std::make_shared<LateDevice>();
  const auto session = [&](uint64_t seed) {
    return std::make_unique<train::Session>(device, small_model(seed), small_options());
  };
  const auto one = session(1), other = session(2), control = session(1), other_control = session(2);
  const OwnedBatch owned(7);
  const std::vector<train::Batch> batch = {owned.view()};
  for (const auto& each : {&one, &other, &control, &other_control}) (*each)->step(batch);
  for (int round = 0; round < 3; ++round) {
    device->fails = true;
    CHECK(status_of([&] { one->step(batch); }) == Status::device);
    CHECK_FALSE(device->fails);
    CHECK(status_of([&] { other->step(batch); }) == Status::ok);
    CHECK(status_of([&] { one->step(batch); }) == Status::ok);
    control->step(batch);
    other_control->step(batch);
    CHECK(copy(one->weights()) == copy(control->weights()));
    CHECK(copy(other->weights()) == copy(other_control->weights()));
    CHECK(one->steps_done() == control->steps_done());
  }
}
