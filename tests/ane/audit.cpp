// Engine results against the host's: what counts as a difference, and what happens then.
#include "backend/ane/tensor_check.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "device_support.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::ane;
using namespace anet::test;
using backend::testing::Runner;
using mil::TensorMap;

namespace {

const Layout padded{DataType::fp16, {1, 3, 1, 5}, {192, 64, 64, 2}};

// The elements in rows of 64 bytes; what lies between them is neither zero nor finite.
std::vector<std::byte> halves(const std::vector<double>& values) {
  std::vector<std::byte> bytes(192, std::byte{0x7f});
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = double_to_half(values[i]);
    std::memcpy(bytes.data() + i / 5 * 64 + i % 5 * 2, &half, 2);
  }
  return bytes;
}

std::vector<double> ramp() {
  std::vector<double> values;
  for (int i = 0; i < 15; ++i) values.push_back(i - 4);
  return values;
}

struct Setup {
  explicit Setup(const AneOptions& changes) {
    DeviceOptions options = fixture.options();
    options.ane.audit_every = changes.audit_every;
    options.ane.audit_action = changes.audit_action;
    options.ane.audit_kernels = changes.audit_kernels;
    options.ane.audit_tolerance = changes.audit_tolerance;
    device = fixture.open(options);
    CompileOptions compile;
    compile.label = "product";
    runner = std::make_unique<Runner>(*device, function, compile);
  }
  void check(const std::string& what) {
    check_near(runner->run(inputs), mil::interpret(function, inputs, mil::Precision::f16), 1e-2,
               what);
  }
  DeviceFixture fixture;
  mil::Function function = product_function(24);
  TensorMap inputs = model_inputs(function, small_models().front().config, 2);
  std::shared_ptr<Device> device;
  std::unique_ptr<Runner> runner;
};

AneOptions every(int32_t runs, AuditAction action = AuditAction::fallback) {
  AneOptions options;
  options.audit_every = runs;
  options.audit_action = action;
  return options;
}

} // namespace

TEST_CASE("inspecting a tensor sees its elements and nothing between them") {
  ThreadPool pool(2);
  const auto contents = [&](const std::vector<double>& values) {
    return Inspection(padded).run(halves(values).data(), pool);
  };
  std::vector<double> values(15, 0.0);
  CHECK(contents(values).all_zero);
  CHECK(contents(values).finite);
  values[14] = -0.0;
  CHECK(contents(values).all_zero);
  values[14] = 0x1p-24;
  CHECK_FALSE(contents(values).all_zero);
  values[7] = INFINITY;
  CHECK_FALSE(contents(values).finite);
  values[7] = 65504;
  CHECK(contents(values).finite);
}

TEST_CASE("a comparison is relative to the largest value") {
  const std::vector<double> host = ramp(); // up to 10
  const auto against = [&](const std::vector<double>& engine) {
    return compare(halves(engine).data(), halves(host).data(), padded);
  };
  CHECK(against(host).error == 0);
  CHECK(against(host).fault.empty());
  std::vector<double> engine = host;
  engine[4] += 0.5; // of a 0
  CHECK(against(engine).error == doctest::Approx(0.05));
  engine[4] = INFINITY;
  CHECK(against(engine).fault.find("not finite") != std::string::npos);
  CHECK(against(std::vector<double>(15, 0.0)).fault.find("zeros") == 0);
}

TEST_CASE("rounding of the smallest numbers is no difference") {
  const std::vector<double> tiny(15, 0x1p-20), zero(15, 0.0);
  const Comparison flushed = compare(halves(zero).data(), halves(tiny).data(), padded);
  CHECK(flushed.fault.empty());
  CHECK(flushed.error < 0.05);
}

TEST_CASE("an audit runs every nth time, and finds nothing where there is nothing") {
  for (const std::string& profile : profiles()) {
    AskingFixture fixture(profile);
    fixture.emulator.set("lut", "1");
    DeviceOptions options = fixture.options();
    options.ane.audit_every = 2;
    const auto device = fixture.open(options);
    fixture.emulator.set("four_lane", "1"); // slow, and no question is about it
    const NamedModel& model = small_models().back();
    const BlockPrograms block = block_programs(model.config, 2, 24);
    Runner runner(*device, block.forward);
    for (uint64_t seed = 1; seed <= 4; ++seed)
      runner.run(model_inputs(block.forward, model.config, seed));
    const RunTotals totals = runner.kernel().totals();
    CHECK(totals.audits == 2);
    CHECK(totals.audit_error > 0);
    CHECK(totals.audit_error < 0.05);
    CHECK_MESSAGE(totals.fallbacks == 0, profile << ": " << runner.kernel().placement().reason);
  }
}

TEST_CASE("a wrong value is found, replaced, and the program moves to the host") {
  Setup setup(every(1));
  setup.fixture.emulator.set("corrupt_evaluate", "2");
  setup.check("first");
  CHECK(setup.runner->kernel().placement().where == "ane");
  setup.check("corrupt");
  const Placement placement = setup.runner->kernel().placement();
  CHECK(placement.where == "cpu");
  CHECK(placement.reason.find("audit: y ") == 0);
  CHECK(setup.runner->kernel().totals().audit_error > 0.05);
  CHECK(setup.runner->kernel().totals().fallbacks == 1);
  setup.check("later");
}

TEST_CASE("a wrong value is an error when the options say so") {
  Setup setup(every(1, AuditAction::error));
  setup.fixture.emulator.set("corrupt_evaluate", "1");
  try {
    setup.check("corrupt");
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(error.status() == Status::numeric);
    CHECK(error.message().find("kernel product: audit: y ") == 0);
  }
  setup.check("later"); // one wrong value does not end the program
}

TEST_CASE("only the kernels that are named are audited") {
  AneOptions options = every(1);
  options.audit_kernels = "other,product";
  Setup named(options);
  named.check("named");
  CHECK(named.runner->kernel().totals().audits == 1);
  options.audit_kernels = "prod,others";
  Setup other(options);
  other.check("other");
  CHECK(other.runner->kernel().totals().audits == 0);
}

TEST_CASE("the tolerance is the caller's") {
  AneOptions options = every(1);
  options.audit_tolerance = 1e9;
  Setup lax(options);
  lax.fixture.emulator.set("corrupt_evaluate", "1");
  lax.runner->run(lax.inputs);
  CHECK(lax.runner->kernel().totals().audit_error > 0.05);
  CHECK(lax.runner->kernel().totals().fallbacks == 0);
}
