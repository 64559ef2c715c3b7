// The slot manager over an engine that only counts, then over the emulator.
#include "backend/ane/slots.h"

#include "device_support.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <set>
#include <thread>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::ane;
using namespace anet::test;
using backend::testing::Runner;

namespace {

struct FakeState {
  int64_t compiles = 0;
  int64_t loaded = 0;
  int64_t capacity = 1000; // programs that fit
  int64_t loads = 0;
  int64_t evaluations = 0;
  int64_t failing_evaluations = 0; // that say that there is no room
  std::set<std::string> cached;    // function names
};

[[noreturn]] void fail_for_room() {
  throw Error(Status::device, "load: Program load failure (0x50004)",
              {.domain = "com.apple.appleneuralengine", .code = 6});
}

class FakeRequest final : public EngineRequest {};

class FakeProgram final : public EngineProgram {
public:
  FakeProgram(std::shared_ptr<FakeState> state, std::string name, bool cached)
      : state_(std::move(state)), name_(std::move(name)), cached_(cached), procedures_(1) {
    load();
  }
  ~FakeProgram() override { unload(); }
  const std::string& identifier() const override { return name_; }
  bool was_cached() const override { return cached_; }
  const std::vector<EngineProcedure>& procedures() const override { return procedures_; }
  bool is_loaded() const override { return loaded_; }
  void load() override {
    if (loaded_) return;
    if (state_->loaded >= state_->capacity) fail_for_room();
    ++state_->loaded;
    ++state_->loads;
    loaded_ = true;
  }
  void unload() override {
    if (loaded_) --state_->loaded;
    loaded_ = false;
  }
  std::unique_ptr<EngineRequest> bind(size_t, std::span<const std::shared_ptr<Surface>>,
                                      std::span<const std::shared_ptr<Surface>>) override {
    return std::make_unique<FakeRequest>();
  }
  void evaluate(EngineRequest&) override {
    REQUIRE(loaded_);
    if (state_->failing_evaluations-- > 0) {
      throw Error(Status::device, "evaluate: Failed with status=0x5 : statusType=0x9",
                  {.domain = "com.apple.appleneuralengine", .code = 8});
    }
    ++state_->evaluations;
  }

private:
  std::shared_ptr<FakeState> state_;
  std::string name_;
  bool cached_;
  bool loaded_ = false;
  std::vector<EngineProcedure> procedures_;
};

class FakeEngine final : public Engine {
public:
  explicit FakeEngine(std::shared_ptr<FakeState> state) : state_(std::move(state)) {}
  const EngineInfo& info() const override { return info_; }
  std::shared_ptr<Surface> make_surface(size_t) override { return nullptr; }
  std::shared_ptr<Surface> import_surface(void*) override { return nullptr; }
  std::shared_ptr<Surface> find_surface(uint32_t) override { return nullptr; }
  std::shared_ptr<EngineProgram> compile(const mil::Program& program) override {
    const std::string& name = program.main().name;
    const bool cached = state_->cached.count(name) > 0;
    if (!cached) ++state_->compiles;
    state_->cached.insert(name); // a load that fails leaves it there
    return std::make_shared<FakeProgram>(state_, name, cached);
  }
  bool is_cached(const mil::Program& program) override {
    return state_->cached.count(program.main().name) > 0;
  }
  void purge(const mil::Program& program) override { state_->cached.erase(program.main().name); }
  int64_t compile_count() const override { return state_->compiles; }

private:
  std::shared_ptr<FakeState> state_;
  EngineInfo info_;
};

mil::Program program_named(const std::string& name) {
  mil::Builder b(name);
  b.output(b.unary("relu", b.input("x", {DataType::fp16, {1, 1, 1, 32}, {}})), "y");
  return std::move(b).finish_program();
}

struct Slots {
  explicit Slots(int64_t budget)
      : state(std::make_shared<FakeState>()),
        manager(std::make_shared<SlotManager>(std::make_shared<FakeEngine>(state), budget)) {}
  std::shared_ptr<Slot> acquire(const std::string& name) {
    return manager->acquire(program_named(name));
  }
  static void evaluate(Slot& slot) {
    const auto request = slot.bind({}, {});
    slot.evaluate(*request);
  }
  std::shared_ptr<FakeState> state;
  std::shared_ptr<SlotManager> manager;
};

Status status_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

// A kernel of its own size, so that no two share a program.
mil::Function relu_function(int64_t channels) {
  mil::Builder b;
  b.output(b.unary("relu", b.input("x", {DataType::fp16, {1, channels, 1, 32}, {}})), "y");
  return std::move(b).finish();
}

} // namespace

TEST_CASE("equal programs share a slot") {
  Slots slots(10);
  const auto a = slots.acquire("a"), again = slots.acquire("a"), b = slots.acquire("b");
  CHECK(a == again);
  CHECK(a != b);
  CHECK(slots.state->compiles == 2);
  CHECK(slots.manager->counts().shared == 1);
  CHECK(slots.manager->counts().programs == 2);
}

TEST_CASE("blobs are part of a program") {
  Slots slots(10);
  mil::Program one = program_named("a"), other = program_named("a");
  one.blobs["@model_path/weights/w.bin"] = mil::Bytes(std::vector<std::byte>(8, std::byte{1}));
  other.blobs["@model_path/weights/w.bin"] = mil::Bytes(std::vector<std::byte>(8, std::byte{2}));
  const auto first = slots.manager->acquire(one);
  CHECK(first == slots.manager->acquire(one));
  CHECK(first != slots.manager->acquire(other));
}

TEST_CASE("the budget is of compilations, and recoverable") {
  Slots slots(2);
  auto a = slots.acquire("a");
  auto b = slots.acquire("b");
  CHECK(slots.manager->remaining() == 0);
  CHECK(status_of([&] { slots.acquire("c"); }) == Status::compile_budget);
  Slots::evaluate(*a); // what is compiled keeps working
  b.reset();
  CHECK(status_of([&] { slots.acquire("c"); }) == Status::compile_budget);
  b = slots.acquire("b"); // the system still has it
  CHECK(slots.manager->counts().cache_hits == 1);
  CHECK(slots.state->compiles == 2);
}

TEST_CASE("idle programs make room, the one used longest ago first") {
  Slots slots(10);
  slots.state->capacity = 2;
  const auto a = slots.acquire("a"), b = slots.acquire("b");
  Slots::evaluate(*b);
  Slots::evaluate(*a);
  const auto c = slots.acquire("c"); // b goes
  CHECK(slots.manager->counts().loaded == 2);
  CHECK(slots.manager->counts().unloads == 1);
  const int64_t loads = slots.state->loads;
  Slots::evaluate(*a);
  CHECK(slots.state->loads == loads);
  Slots::evaluate(*b); // comes back
  CHECK(slots.state->loads == loads + 1);
  CHECK(slots.manager->counts().reloads == 1);
  for (int i = 0; i < 6; ++i)
    for (const auto& slot : {a, b, c}) Slots::evaluate(*slot);
  CHECK(slots.state->loaded == 2);
}

TEST_CASE("no room and nothing idle is the framework's error") {
  Slots slots(10);
  slots.state->capacity = 0;
  CHECK(status_of([&] { slots.acquire("a"); }) == Status::device);
}

TEST_CASE("an evaluation without resources unloads an idle program and goes on") {
  Slots slots(10);
  const auto a = slots.acquire("a"), b = slots.acquire("b");
  slots.state->failing_evaluations = 1;
  Slots::evaluate(*a);
  CHECK(slots.state->evaluations == 1);
  CHECK(slots.manager->counts().loaded == 1);
  slots.state->failing_evaluations = 5;
  CHECK(status_of([&] { Slots::evaluate(*a); }) == Status::device); // nothing left to unload
}

TEST_CASE("one program serves all kernels of a shape") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const int64_t before = fixture.emulator.count("compiles");
  std::vector<std::unique_ptr<Kernel>> kernels;
  for (int i = 0; i < 28; ++i) kernels.push_back(device->compile(relu_function(8), {}));
  CHECK(fixture.emulator.count("compiles") == before + 1);
}

TEST_CASE("a small budget ends in a status or on the host") {
  DeviceFixture fixture;
  DeviceOptions options = fixture.options();
  fixture.open(options); // leaves answers, so that no budget goes into questions
  options.ane.compile_budget = 2;
  SUBCASE("the engine is a must") {
    const auto device = fixture.open(options);
    const auto a = device->compile(relu_function(1), {}), b = device->compile(relu_function(2), {});
    CHECK(status_of([&] { device->compile(relu_function(3), {}); }) == Status::compile_budget);
    Runner runner(*device, relu_function(2)); // shared
    const auto inputs = model_inputs(relu_function(2), small_models().front().config, 1);
    check_near(runner.run(inputs), mil::interpret(relu_function(2), inputs, mil::Precision::f16), 0,
               "shared");
  }
  SUBCASE("without answers nothing is asked") {
    options.ane.cache_directory += "-empty";
    const auto device = fixture.open(options);
    const Json report = report_of(*device);
    CHECK(report.find("probes")->if_array()->empty());
    CHECK(report.find("warning")->if_string()->find("not probed") == 0);
    Runner runner(*device, product_function(24));
    const auto inputs = model_inputs(product_function(24), small_models().front().config, 1);
    check_near(runner.run(inputs),
               mil::interpret(product_function(24), inputs, mil::Precision::f16), 5e-3,
               "safe rules");
    CHECK(runner.kernel().placement().where == "ane");
  }
}

TEST_CASE("more kernels than the framework holds take turns") {
  DeviceFixture fixture;
  const auto device = fixture.open();
  fixture.emulator.set("load_cap", "3");
  std::vector<std::unique_ptr<Runner>> runners;
  std::vector<mil::TensorMap> inputs;
  const model::Config& config = small_models().front().config;
  for (int64_t channels = 1; channels <= 6; ++channels) {
    runners.push_back(std::make_unique<Runner>(*device, relu_function(channels)));
    inputs.push_back(model_inputs(relu_function(channels), config, 5));
  }
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < runners.size(); ++i) {
      const mil::Function function = relu_function(static_cast<int64_t>(i) + 1);
      check_near(runners[i]->run(inputs[i]),
                 mil::interpret(function, inputs[i], mil::Precision::f16), 0, "turn");
      CHECK(runners[i]->kernel().totals().fallbacks == 0);
    }
  }
  CHECK(fixture.emulator.count("loaded") <= 3);
}

TEST_CASE("an unload that raises costs no kernel") {
  DeviceFixture fixture;
  const auto device = fixture.open();
  fixture.emulator.set("load_cap", "2");
  const mil::Function one = relu_function(1), two = relu_function(2), three = relu_function(3);
  const auto check = [&](Runner& runner, const mil::Function& function) {
    const auto inputs = model_inputs(function, small_models().front().config, 5);
    check_near(runner.run(inputs), mil::interpret(function, inputs, mil::Precision::f16), 0, "run");
    CHECK(runner.kernel().placement().where == "ane");
    CHECK(runner.kernel().totals().fallbacks == 0);
  };
  Runner first(*device, one), second(*device, two);
  SUBCASE("while another program is compiled") {
    fixture.emulator.set("raise_unload", "1"); // the next idle one goes then
    Runner third(*device, three);
    check(third, three);
  }
  SUBCASE("while one comes back") {
    Runner third(*device, three);
    fixture.emulator.set("raise_unload", "1");
    check(first, one);
  }
  fixture.emulator.set("raise_unload", "0");
  fixture.emulator.set("load_cap", "3"); // what raised is still loaded
  check(second, two);
  check(first, one);
}

TEST_CASE("kernels run on several threads at once") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = product_function(24);
  const auto inputs = model_inputs(function, small_models().front().config, 9);
  const mil::TensorMap expected = mil::interpret(function, inputs, mil::Precision::f16);
  std::vector<std::unique_ptr<Runner>> runners;
  for (int i = 0; i < 3; ++i) runners.push_back(std::make_unique<Runner>(*device, function));
  std::vector<mil::TensorMap> results(runners.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < runners.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) results[i] = runners[i]->run(inputs);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const mil::TensorMap& result : results) check_near(result, expected, 5e-3, "thread");
}
