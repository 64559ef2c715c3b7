#include "backend/ane/device.h"

#include "backend/ane/buffer.h"
#include "backend/ane/environment.h"
#include "backend/ane/kernel_builder.h"
#include "backend/ane/lower.h"
#include "backend/ane/probe_cache.h"
#include "backend/ane/report.h"
#include "backend/cpu/device.h"
#include "base/status.h"

#include <algorithm>
#include <new>

namespace anet::backend::ane {

namespace {

// The limit is near 119; the rest is for what else the process compiles (ane-facts.md 5.2, R).
constexpr int32_t default_budget = 110;
constexpr int32_t default_qos = 21; // ane-facts.md 1.7
constexpr int32_t max_qos = 63;     // what the framework accepts (ane-facts.md 1.7, R)
constexpr double default_tolerance = 0.05;

void check_enumerators(const AneOptions& options) {
  for (size_t i = 0; i < options.placement.size(); ++i) {
    const auto value = static_cast<int32_t>(options.placement[i]);
    if (value < 0 || value > static_cast<int32_t>(PlacementPolicy::host))
      fail(Status::invalid_argument, "expected a placement of 0 to 2 for part ", i, ", seen ",
           value);
  }
  const auto action = static_cast<int32_t>(options.audit_action);
  if (action < 0 || action > static_cast<int32_t>(AuditAction::error))
    fail(Status::invalid_argument, "expected an audit_action of 0 or 1, seen ", action);
}

// Defaults in place of zeros.
AneOptions resolve(AneOptions options) {
  check_enumerators(options);
  if (options.compile_budget < 0)
    fail(Status::out_of_range, "expected a compile_budget of 0 or more, seen ",
         options.compile_budget);
  if (options.qos < 0 || options.qos > max_qos)
    fail(Status::out_of_range, "expected a qos of 0 to ", max_qos, ", seen ", options.qos);
  if (options.audit_every < 0)
    fail(Status::out_of_range, "expected audit_every of 0 or more, seen ", options.audit_every);
  if (!(options.audit_tolerance >= 0))
    fail(Status::out_of_range, "expected an audit_tolerance of 0 or more, seen ",
         options.audit_tolerance);
  if (options.compile_budget == 0) options.compile_budget = default_budget;
  if (options.qos == 0) options.qos = default_qos;
  if (options.audit_tolerance == 0) options.audit_tolerance = default_tolerance;
  return options;
}

std::shared_ptr<Engine> open(const AneOptions& options) {
  EngineOptions engine;
  engine.framework_path = options.framework_path;
  engine.qos = static_cast<uint32_t>(options.qos);
  return open_engine(engine);
}

std::string describe(const EngineInfo& info) {
  return concat("Apple Neural Engine ", info.architecture, ", ", info.cores, " cores, system ",
                info.os_build);
}

class AneDevice final : public Device {
public:
  AneDevice(std::shared_ptr<Environment> environment)
      : environment_(std::move(environment)), capabilities_(environment_->host().capabilities()) {
    capabilities_.description =
        concat(describe(environment_->engine()->info()), "; host: ", capabilities_.description);
    capabilities_.name = "ane";
    capabilities_.compute = {DataType::fp16};
    capabilities_.prefers_constants = true;
    capabilities_.narrow_gradients = true;
    capabilities_.leaves_host_free = true;
    capabilities_.transposed_parameters = environment_->rules().parameter_convolution;
    capabilities_.stacks_products = environment_->rules().has_concat;
    capabilities_.joins_products =
        environment_->rules().parameter_convolution && environment_->rules().has_concat;
    capabilities_.max_ports = environment_->rules().max_ports;
    // Ops do not fuse (docs/neural-engine.md, Cost model): a tap goes out and in through ports, at
    // half the bandwidth that there is between ops or more.
    capabilities_.tap_costs = {.tap = 5, .recomputed = 2};
    capabilities_.transposed_operands = transposed_operands(environment_->rules());
    capabilities_.logit_bytes = int64_t{256} << 20; // the head moves through ports every time
  }

  ~AneDevice() override { environment_->background()->drain(); }

  const Capabilities& capabilities() const override { return capabilities_; }

  ThreadPool& thread_pool() override { return environment_->host().thread_pool(); }

  // The host takes what the engine does not.
  Support supports(const mil::Function& function, const mil::Operation& op) const override {
    return environment_->host().supports(function, op);
  }

  std::unique_ptr<Buffer> allocate(const Layout& layout) override {
    return environment_->allocate(layout);
  }

  std::unique_ptr<Buffer> import(std::byte* data, size_t size, const Layout& layout) override {
    return std::make_unique<PlainBuffer>(environment_->host().import(data, size, layout),
                                         environment_->background());
  }

  std::unique_ptr<Buffer> import_native(void* handle, const Layout& layout) override {
    if (handle == nullptr)
      fail(Status::invalid_argument, "expected an IOSurface to import, seen null");
    return wrap(environment_->engine()->import_surface(handle), layout);
  }

  std::unique_ptr<Buffer> import_native_id(uint32_t id, const Layout& layout) override {
    return wrap(environment_->engine()->find_surface(id), layout);
  }

  std::shared_ptr<Workspace> make_workspace() override {
    return std::make_shared<AneWorkspace>(environment_);
  }

  std::unique_ptr<Kernel> compile(const mil::Function& function,
                                  const CompileOptions& options) override {
    try {
      KernelParts parts = KernelBuilder(environment_, function, options).build();
      return std::make_unique<AneKernel>(environment_, std::move(parts));
    } catch (const std::bad_alloc&) {
      fail(Status::out_of_memory, "cannot allocate what the kernel ", options.label, " needs");
    }
  }

  int64_t programs_left() const override { return environment_->slots()->remaining(); }

  std::string report() const override {
    return make_report(*environment_, capabilities_).to_string(2);
  }

private:
  std::unique_ptr<Buffer> wrap(std::shared_ptr<Surface> surface, const Layout& layout) const {
    if (static_cast<size_t>(layout.span_bytes()) > surface->size_bytes())
      fail(Status::out_of_range, "expected at least ", layout.span_bytes(),
           " bytes for the layout, seen a surface of ", surface->size_bytes());
    return environment_->wrap(layout, std::move(surface));
  }

  std::shared_ptr<Environment> environment_;
  Capabilities capabilities_;
};

// Half of the budget at most goes into questions; the safe answers cost nothing.
Probed ask(Engine& engine, const AneOptions& options) {
  const ProbeCache cache(options.cache_directory, engine.info());
  if (auto probed = cache.load()) return std::move(*probed);
  if (options.compile_budget - engine.compile_count() < 2 * probe_compilations) {
    Probed probed;
    probed.warning = concat("not probed: the compile budget of ", options.compile_budget,
                            " leaves no room for questions");
    return probed;
  }
  Probed probed = probe(engine);
  cache.store(probed);
  return probed;
}

} // namespace

std::shared_ptr<Device> open_device(const DeviceOptions& options) {
  const AneOptions resolved = resolve(options.ane);
  auto host = cpu::open_device({.threads = options.threads});
  // The background moves and adds, which memory bounds: one thread, beside those of the host.
  auto background_host = cpu::open_device({.threads = 1});
  auto environment = std::make_shared<Environment>(resolved, open(resolved), std::move(host),
                                                   std::move(background_host));
  environment->set_probed(ask(*environment->engine(), resolved));
  const Rules& rules = environment->rules();
  if (!rules.available) {
    std::string reason = "the Neural Engine does not compute as it should";
    for (const ProbeAnswer& answer : environment->probed().answers)
      if (!answer.answer && answer.question == "parameter_matmul") reason += ": " + answer.detail;
    fail(Status::unavailable, reason);
  }
  return std::make_shared<AneDevice>(std::move(environment));
}

std::string describe(const AneOptions& options) { return describe(open(resolve(options))->info()); }

} // namespace anet::backend::ane
