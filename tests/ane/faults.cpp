// Each fault of the emulator, one at a time: the right result or a documented status, and nothing
// left behind.
#include "device_support.h"

#include "backend/ane/kernel_builder.h"
#include "backend/cpu/device.h"

#include <doctest/doctest.h>
#include <optional>
#include <set>

using namespace anet;
using namespace anet::backend;
using namespace anet::test;
using backend::testing::Runner;
using mil::TensorMap;

namespace {

constexpr double tolerance = 1e-2;

struct Case {
  mil::Function function = product_function(24);
  TensorMap inputs = model_inputs(function, small_models().front().config, 2);
  TensorMap expected = mil::interpret(function, inputs, mil::Precision::f16);

  void check(Runner& runner, const std::string& what) const {
    check_near(runner.run(inputs), expected, tolerance, what);
  }
};

void check_nothing_is_left(const DeviceFixture& fixture) {
  CHECK(fixture.emulator.count("live_models") == 0);
  CHECK(fixture.emulator.count("live_requests") == 0);
  CHECK(fixture.emulator.count("live_surfaces") == 0);
  CHECK(fixture.temporary.names().empty());
}

} // namespace

TEST_CASE("an evaluation that fails once is repeated") {
  for (const char* fault : {"fail_evaluate", "raise_evaluate"}) {
    DeviceFixture fixture;
    {
      const Case test;
      const auto device = fixture.open();
      Runner runner(*device, test.function);
      fixture.emulator.set(fault, "1");
      test.check(runner, fault);
      const RunTotals totals = runner.kernel().totals();
      CHECK(totals.retries == 1);
      CHECK(totals.fallbacks == 0);
      CHECK(runner.kernel().placement().where == "ane");
    }
    check_nothing_is_left(fixture);
  }
}

TEST_CASE("an engine that keeps failing loses the program to the host") {
  for (const char* fault : {"fail_evaluate", "raise_evaluate", "zero_evaluate"}) {
    DeviceFixture fixture;
    {
      const Case test;
      const auto device = fixture.open();
      Runner runner(*device, test.function);
      test.check(runner, fault); // works at first
      fixture.emulator.set(fault, "1+");
      test.check(runner, fault);
      CHECK(runner.kernel().totals().fallbacks == 1);
      CHECK(runner.kernel().placement().where == "ane"); // one more chance
      test.check(runner, fault);
      CHECK(runner.kernel().placement().where == "cpu");
      CHECK_FALSE(runner.kernel().placement().reason.empty());
      const int64_t evaluations = fixture.emulator.count("evaluations");
      fixture.emulator.set(fault, "0");
      test.check(runner, fault);
      CHECK(fixture.emulator.count("evaluations") == evaluations);
      // The device's report knows it too.
      const Json report = report_of(*device);
      const Json& kernel = report.find("kernels")->if_array()->front();
      CHECK(*kernel.find("where")->if_string() == "cpu");
      CHECK(*kernel.find("reason")->if_string() == runner.kernel().placement().reason);
    }
    check_nothing_is_left(fixture);
  }
}

TEST_CASE("failures long ago do not cost the engine") {
  DeviceFixture fixture;
  const Case test;
  const auto device = fixture.open();
  Runner runner(*device, test.function);
  constexpr int failures = 6, good_runs = 40;
  for (int failure = 0; failure < failures; ++failure) {
    fixture.emulator.set("zero_evaluate", "1");
    test.check(runner, "zeros");
    for (int run = 0; run < good_runs; ++run) test.check(runner, "good");
  }
  CHECK(runner.kernel().totals().fallbacks == failures);
  CHECK(runner.kernel().placement().where == "ane");
  CHECK_FALSE(runner.kernel().placement().reason.empty()); // of the last one
  CHECK(fixture.emulator.count("evaluations") >= failures * (good_runs + 1));
}

TEST_CASE("an engine that fails every other run loses the program to the host") {
  DeviceFixture fixture;
  const Case test;
  const auto device = fixture.open();
  Runner runner(*device, test.function);
  fixture.emulator.set("zero_evaluate", "every:2");
  for (int run = 0; run < 30; ++run) test.check(runner, "every other");
  CHECK(runner.kernel().placement().where == "cpu");
  CHECK(runner.kernel().totals().fallbacks > 2); // not two in a row
  CHECK(runner.kernel().totals().fallbacks < 8);
}

TEST_CASE("the reason for a fallback has the framework's domain, code and words") {
  DeviceFixture fixture;
  const Case test;
  const auto device = fixture.open();
  Runner runner(*device, test.function);
  fixture.emulator.set("fail_evaluate", "1+");
  test.check(runner, "failing");
  const std::string reason = runner.kernel().placement().reason;
  CHECK(reason.find("com.apple.appleneuralengine 8") != std::string::npos);
  CHECK(reason.find("status=0x15") != std::string::npos);
}

TEST_CASE("zeros that are right are believed") {
  DeviceFixture fixture;
  Case test;
  const auto device = fixture.open();
  for (double& value : test.inputs.at("x").values) value = 0;
  for (double& value : test.inputs.at("rest").values) value = 0;
  test.expected = mil::interpret(test.function, test.inputs, mil::Precision::f16);
  Runner runner(*device, test.function);
  for (int i = 0; i < 3; ++i) test.check(runner, "zeros");
  CHECK(runner.kernel().totals().fallbacks == 0);
  CHECK(runner.kernel().placement().where == "ane");
}

TEST_CASE("an evaluation that takes long is waited for") {
  DeviceFixture fixture;
  const Case test;
  const auto device = fixture.open();
  Runner runner(*device, test.function);
  fixture.emulator.set("hang_ms", "60");
  fixture.emulator.set("hang_evaluate", "1");
  test.check(runner, "slow");
  CHECK(runner.kernel().totals().engine_seconds >= 0.06);
}

TEST_CASE("a program that the compiler refuses runs on the host") {
  DeviceFixture fixture;
  {
    const Case test;
    const auto device = fixture.open();
    fixture.emulator.set("fail_compile", "1+");
    Runner runner(*device, test.function);
    test.check(runner, "refused");
    CHECK(runner.kernel().placement().where == "cpu");
    CHECK(runner.kernel().placement().reason.find("ANECCompile() FAILED") != std::string::npos);
  }
  check_nothing_is_left(fixture);
}

TEST_CASE("beyond the framework's own limit of programs, the status is recoverable") {
  DeviceFixture fixture;
  const Case test;
  DeviceOptions options = fixture.options();
  const auto device = fixture.open(options);
  device->compile(product_function(25), {}); // a cap of 0 would be none
  fixture.emulator.set("compile_cap", std::to_string(fixture.emulator.count("compiles")));
  std::optional<Status> status;
  try {
    device->compile(test.function, {});
  } catch (const Error& error) {
    status = error.status();
  }
  CHECK(status == Status::compile_budget);
  fixture.emulator.set("compile_cap", "0");
  Runner runner(*device, test.function);
  test.check(runner, "later");
  CHECK(runner.kernel().placement().where == "ane");
}

TEST_CASE("loads that fail for a moment are tried again") {
  DeviceFixture fixture;
  const Case test;
  const auto device = fixture.open();
  fixture.emulator.set("transient_load", "1");
  Runner runner(*device, test.function);
  test.check(runner, "transient");
  CHECK(runner.kernel().placement().where == "ane");
}

TEST_CASE("a program that never loads runs on the host") {
  EngineFixture fixture; // pauses take no time
  fixture.emulator.set("fail_load", "1+");
  AneOptions options;
  options.placement.fill(PlacementPolicy::engine);
  options.compile_budget = 10;
  options.audit_tolerance = 0.05;
  auto environment = std::make_shared<ane::Environment>(
      options, fixture.open(), cpu::open_device({.threads = 1}), cpu::open_device({.threads = 1}));
  const Case test;
  ane::KernelParts parts = ane::KernelBuilder(environment, test.function, {}).build();
  const ane::AneKernel kernel(environment, std::move(parts));
  CHECK(kernel.placement().where == "cpu");
  CHECK(kernel.placement().reason.find("Program load failure") != std::string::npos);
  CHECK(fixture.pauses->size() >= 3);
}

TEST_CASE("surfaces that cannot be had are out_of_memory, and the next run works") {
  DeviceFixture fixture;
  {
    const Case test;
    const auto device = fixture.open();
    const auto status_of = [&](const auto& action) {
      try {
        action();
      } catch (const Error& error) {
        return error.status();
      }
      return Status::ok;
    };
    const Layout layout = Layout::contiguous(DataType::fp16, {1, 8, 1, 32});
    fixture.emulator.set("fail_surface", "1");
    CHECK(status_of([&] { device->allocate(layout); }) == Status::out_of_memory);
    CHECK(status_of([&] { device->allocate(layout); }) == Status::ok);

    CompileOptions options; // dense rows: the kernel needs surfaces of its own
    options.port_layouts["x"] = Layout::contiguous(DataType::fp16, {1, 64, 1, 24});
    Runner runner(*device, test.function, options);
    fixture.emulator.set("fail_surface", "1");
    CHECK(status_of([&] { runner.run(test.inputs); }) == Status::out_of_memory);
    test.check(runner, "again");
  }
  check_nothing_is_left(fixture);
}

TEST_CASE("any call that fails, at any time, costs no number and no memory") {
  const std::set<Status> documented = {Status::out_of_memory, Status::compile_budget};
  const model::Config& config = small_models().front().config;
  const BlockPrograms block = block_programs(config, 1, 24);
  const TensorMap inputs = model_inputs(block.backward, config, 4);
  const TensorMap expected = mil::interpret(block.backward, inputs, mil::Precision::f16);
  CompileOptions options;
  options.role = Role::backward;
  options.label = "backward";
  for (const char* fault : {"fail_compile", "fail_evaluate", "fail_surface", "zero_evaluate",
                            "corrupt_evaluate", "raise_evaluate"}) {
    for (int n = 1; n <= 4; ++n) {
      const std::string what = std::string(fault) + " " + std::to_string(n);
      INFO(what);
      DeviceFixture fixture;
      DeviceOptions audited = fixture.options();
      audited.ane.audit_every = 1;
      audited.ane.audit_tolerance = 1e-2; // a wrong value below it may stay
      try {
        const auto device = fixture.open(audited);
        fixture.emulator.set(fault, std::to_string(n));
        Runner runner(*device, block.backward, options);
        for (int run = 0; run < 3; ++run) check_near(runner.run(inputs), expected, 2e-2, what);
      } catch (const Error& error) {
        CHECK_MESSAGE(documented.count(error.status()) == 1, what << ": " << error.message());
      }
      check_nothing_is_left(fixture);
    }
  }
}

TEST_CASE("faults at random never change a number when every run is audited") {
  DeviceFixture fixture;
  const Case test;
  DeviceOptions options = fixture.options();
  options.ane.audit_every = 1;
  options.ane.audit_tolerance = tolerance;
  const auto device = fixture.open(options);
  uint64_t retries = 0;
  for (int kernel = 0; kernel < 8; ++kernel) {
    Runner runner(*device, test.function);
    const std::string seed = std::to_string(kernel + 1);
    fixture.emulator.set("fail_evaluate", "random:0.2:" + seed);
    fixture.emulator.set("corrupt_evaluate", "random:0.05:" + seed);
    fixture.emulator.set("zero_evaluate", "random:0.05:" + seed);
    for (int run = 0; run < 25; ++run) test.check(runner, "random");
    retries += runner.kernel().totals().retries;
  }
  CHECK(retries > 0);
}
