// What callers may rely on besides the numbers: sums, background work, views, memory, errors.
#include "device_support.h"

#include "backend/ane/kernel_builder.h"
#include "backend/cpu/device.h"
#include "train/step_functions.h"

#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <functional>
#include <limits>

using namespace anet;
using namespace anet::backend;
using namespace anet::test;
using backend::testing::allocation_count;
using backend::testing::read_tensor;
using backend::testing::Runner;
using backend::testing::write_tensor;
using mil::DataType;
using mil::Tensor;
using mil::TensorMap;

namespace {

constexpr double tolerance = 1e-2;

// y = x w^T in fp16, and d = the product with itself in fp32, which is accumulated.
mil::Function summed_function() {
  mil::Builder b;
  const mil::ValueId x = b.input("x", {DataType::fp16, {1, 64, 1, 24}, {}});
  const mil::ValueId w = b.input("w", {DataType::fp16, {48, 64, 1, 1}, {}});
  const mil::ValueId y = b.linear(x, w);
  b.output(y, "y");
  const mil::ValueId flat = b.reshape(y, {1, 1, 48, 24});
  b.output(b.cast(b.matmul(flat, flat, false, true), DataType::fp32), "d");
  return std::move(b).finish();
}

CompileOptions summing(std::vector<std::string> names, Role role = Role::backward) {
  CompileOptions options;
  options.accumulate = std::move(names);
  options.role = role;
  options.label = "sums";
  return options;
}

TensorMap random_inputs(const mil::Function& function, uint64_t seed) {
  backend::testing::Random random(seed);
  return backend::testing::random_inputs(random, function);
}

TensorMap expected_of(const mil::Function& function, const TensorMap& inputs) {
  return mil::interpret(function, inputs, mil::Precision::f16);
}

void add_to(Tensor& sum, const Tensor& addend) {
  for (size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += addend.values[i];
}

Tensor output_of(const Runner& runner, const Kernel& kernel, const std::string& name) {
  for (size_t i = 0; i < runner.outputs().size(); ++i)
    if (kernel.outputs()[i].name == name) return read_tensor(runner.outputs()[i]);
  return {};
}

Status status_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

// The emulator allocates while it evaluates; what happens there is not the device's.
class CountingProgram final : public ane::EngineProgram {
public:
  CountingProgram(std::shared_ptr<ane::EngineProgram> program, std::atomic<int64_t>& inside)
      : program_(std::move(program)), inside_(inside) {}
  const std::string& identifier() const override { return program_->identifier(); }
  bool was_cached() const override { return program_->was_cached(); }
  const std::vector<ane::EngineProcedure>& procedures() const override {
    return program_->procedures();
  }
  bool is_loaded() const override { return program_->is_loaded(); }
  void load() override { program_->load(); }
  void unload() override { program_->unload(); }
  std::unique_ptr<ane::EngineRequest>
  bind(size_t procedure, std::span<const std::shared_ptr<ane::Surface>> inputs,
       std::span<const std::shared_ptr<ane::Surface>> outputs) override {
    return program_->bind(procedure, inputs, outputs);
  }
  void evaluate(ane::EngineRequest& request) override {
    const int64_t before = allocation_count();
    program_->evaluate(request);
    inside_ += allocation_count() - before;
  }

private:
  std::shared_ptr<ane::EngineProgram> program_;
  std::atomic<int64_t>& inside_;
};

class CountingEngine final : public ane::Engine {
public:
  explicit CountingEngine(std::shared_ptr<ane::Engine> engine) : engine_(std::move(engine)) {}
  const ane::EngineInfo& info() const override { return engine_->info(); }
  std::shared_ptr<ane::Surface> make_surface(size_t size) override {
    return engine_->make_surface(size);
  }
  std::shared_ptr<ane::Surface> import_surface(void* surface) override {
    return engine_->import_surface(surface);
  }
  std::shared_ptr<ane::Surface> find_surface(uint32_t id) override {
    return engine_->find_surface(id);
  }
  std::shared_ptr<ane::EngineProgram> compile(const mil::Program& program) override {
    return std::make_shared<CountingProgram>(engine_->compile(program), inside_);
  }
  bool is_cached(const mil::Program& program) override { return engine_->is_cached(program); }
  void purge(const mil::Program& program) override { engine_->purge(program); }
  int64_t compile_count() const override { return engine_->compile_count(); }
  int64_t inside() const { return inside_; }

private:
  std::shared_ptr<ane::Engine> engine_;
  std::atomic<int64_t> inside_{0};
};

} // namespace

TEST_CASE("sums go on in the background while the engine computes") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = summed_function();
  Runner runner(*device, function, summing({"d"}));
  Tensor sum = mil::make_tensor({DataType::fp32, {1, 1, 48, 48}, {}});
  runner.write_output("d", sum);
  for (uint64_t seed = 1; seed <= 9; ++seed) { // no synchronize between runs
    const TensorMap inputs = random_inputs(function, seed);
    const TensorMap expected = expected_of(function, inputs);
    const TensorMap seen = runner.run(inputs);
    check_near({{"y", seen.at("y")}}, {{"y", expected.at("y")}}, tolerance, "y");
    add_to(sum, expected.at("d"));
  }
  runner.kernel().synchronize();
  check_near({{"d", output_of(runner, runner.kernel(), "d")}}, {{"d", sum}}, tolerance, "sum");
  CHECK(runner.kernel().totals().host_seconds > 0);
  CHECK(runner.kernel().totals().evaluations == 9);
}

TEST_CASE("what the engine returns can be accumulated, fp16 too") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = product_function(30);
  Runner runner(*device, function, summing({"y"}, Role::other));
  const TensorMap inputs = random_inputs(function, 5);
  Tensor sum = expected_of(function, inputs).at("y");
  for (double& value : sum.values) value *= 2;
  runner.write_output("y", mil::make_tensor(sum.type));
  runner.run(inputs);
  runner.run(inputs);
  runner.kernel().synchronize();
  check_near({{"y", output_of(runner, runner.kernel(), "y")}}, {{"y", sum}}, tolerance, "y");
}

TEST_CASE("rows of an embedding are added to its sums, and no table is made for them") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  model::Config config = small_models().front().config;
  config.vocab_size = 4096;
  constexpr int64_t positions = 40;
  const auto functions = train::embedding_functions(
      config, DataType::fp16, positions, {.adapter = {}, .trained = {"embedding_weight"}});
  const std::string gradient = "d_embedding_weight";
  Runner runner(*device, *functions.backward, summing({gradient}));
  TensorMap inputs = random_inputs(*functions.backward, 12);
  for (double& token : inputs.at("tokens").values) token = std::fmod(std::abs(token), 7);
  Tensor sum = mil::interpret(*functions.backward, inputs, mil::Precision::f32).at(gradient);
  for (double& value : sum.values) value *= 2;
  runner.write_output(gradient, mil::make_tensor(sum.type));
  runner.run(inputs);
  runner.run(inputs);
  runner.kernel().synchronize();
  check_near({{gradient, output_of(runner, runner.kernel(), gradient)}}, {{gradient, sum}}, 1e-6,
             "rows");
  // Less than a table would take in fp16.
  const int64_t table = config.vocab_size * config.hidden_size;
  CHECK(runner.kernel().statistics().workspace_bytes < static_cast<size_t>(table));
}

TEST_CASE("gradients that nobody adds up leave the program of those that are") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const model::Config& config = small_models().front().config;
  train::PartShape shape;
  const model::ParameterTable table(config);
  for (const model::Parameter& parameter : table.layer(0)) shape.trained.push_back(parameter.port);
  const train::BlockFunctions functions = train::block_functions(
      config, DataType::fp16, {.batch = 2, .sequence = 24, .narrow_gradients = true}, shape);
  const auto compile = [&](const mil::Function& function, bool narrow) {
    CompileOptions options = summing(train::gradient_ports(shape.trained));
    if (narrow) options.accumulate.clear();
    for (const std::string& port : shape.trained)
      if (narrow) options.unwatched.push_back(train::narrow_gradient_port(port));
    return device->compile(function, options);
  };
  const auto summed = compile(*functions.backward, false);
  const int64_t compilations = fixture.emulator.count("compiles");
  const auto narrow = compile(*functions.narrow_backward, true);
  CHECK(fixture.emulator.count("compiles") == compilations);
  CHECK(narrow->placement().where == "ane");
}

TEST_CASE("a loss runs on both sides, and its sums add up") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const model::Config& config = small_models().front().config;
  const BlockPrograms head = head_programs(config, 40);
  Runner runner(*device, head.backward, summing(head.gradients, Role::loss));
  const TensorMap inputs = model_inputs(head.backward, config, 8);
  TensorMap expected = expected_of(head.backward, inputs);
  for (const std::string& name : head.gradients) {
    runner.write_output(name, mil::make_tensor(expected.at(name).type));
    for (double& value : expected.at(name).values) value *= 3;
  }
  for (int i = 0; i < 3; ++i) runner.run(inputs);
  runner.kernel().synchronize();
  TensorMap seen;
  for (const auto& [name, tensor] : expected) seen[name] = output_of(runner, runner.kernel(), name);
  check_near(seen, expected, 2e-2, "head");
  CHECK(runner.kernel().placement().where == "ane+cpu");
  CHECK(runner.kernel().totals().evaluations == 6); // logits, then gradients
}

TEST_CASE("runs do not allocate once the bindings are known") {
  EngineFixture fixture;
  AneOptions options = placed(PlacementPolicy::engine);
  options.compile_budget = 10;
  const auto engine = std::make_shared<CountingEngine>(fixture.open());
  auto environment = std::make_shared<ane::Environment>(
      options, engine, cpu::open_device({.threads = 2}), cpu::open_device({.threads = 1}));
  const mil::Function function = summed_function();
  ane::AneKernel kernel(environment,
                        ane::KernelBuilder(environment, function, summing({"d"})).build());
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<View> in, out;
  for (const Port& port : kernel.inputs())
    in.emplace_back(*buffers.emplace_back(environment->allocate(port.layout)));
  for (const Port& port : kernel.outputs())
    out.emplace_back(*buffers.emplace_back(environment->allocate(port.layout)));
  for (int i = 0; i < 5; ++i) kernel.run(in, out);
  kernel.synchronize();
  const int64_t before = allocation_count() - engine->inside();
  for (int i = 0; i < 10; ++i) kernel.run(in, out);
  kernel.synchronize();
  CHECK(allocation_count() - engine->inside() == before);
  CHECK(kernel.totals().evaluations == 15);
}

TEST_CASE("layouts that the caller fixes are honoured, and gaps left alone") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = product_function(30);
  CompileOptions options;
  for (const char* name : {"x", "w", "rest", "y"}) {
    const mil::ValueId id =
        function.input(name) == mil::no_value ? function.output(name) : function.input(name);
    Layout layout = Layout::contiguous(DataType::fp16, function.type(id).shape);
    layout.strides[0] += 96; // no row of 64 bytes anywhere
    options.port_layouts[name] = layout;
  }
  Runner runner(*device, function, options);
  CHECK(runner.kernel().inputs().front().layout == options.port_layouts["x"]);
  const TensorMap inputs = random_inputs(function, 3);
  check_near(runner.run(inputs), expected_of(function, inputs), tolerance, "dense");
  CHECK(runner.gaps_are_untouched());
  CHECK(runner.kernel().totals().copy_seconds > 0);
}

TEST_CASE("native layouts are padded rows, and surfaces are bound without a copy") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const auto kernel = device->compile(product_function(30), {});
  const Layout& x = kernel->inputs()[0].layout;
  CHECK(x.strides == std::vector<int64_t>{64 * 64, 64, 64, 2});
  const Layout& w = kernel->inputs()[1].layout;
  CHECK(w.strides == std::vector<int64_t>{128, 2, 2, 2});
  const auto buffer = device->allocate(x);
  CHECK(buffer->native_handle() != nullptr);
  CHECK(buffer->native_id() != 0);
  CHECK(buffer->size_bytes() % 16384 == 0);
  CHECK(device->allocate(Layout::contiguous(DataType::fp32, {4}))->native_handle() == nullptr);
}

TEST_CASE("views into larger surfaces are copied") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = product_function(24);
  const auto kernel = device->compile(function, {});
  const TensorMap inputs = random_inputs(function, 4);
  std::vector<std::unique_ptr<Buffer>> buffers;
  const auto shifted = [&](const Port& port) {
    constexpr size_t offset = 4096;
    const int64_t bytes = port.layout.span_bytes() + 2 * static_cast<int64_t>(offset);
    buffers.push_back(device->allocate(Layout::contiguous(DataType::uint8, {bytes})));
    return View(*buffers.back(), offset, port.layout);
  };
  std::vector<View> in, out;
  for (const Port& port : kernel->inputs()) {
    in.push_back(shifted(port));
    write_tensor(in.back(), inputs.at(port.name));
  }
  out.push_back(shifted(kernel->outputs()[0]));
  kernel->run(in, out);
  check_near({{"y", read_tensor(out[0])}}, expected_of(function, inputs), tolerance, "shifted");
}

TEST_CASE("surfaces of others are imported, by reference and by number") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const Layout layout = Layout::contiguous(DataType::fp16, {1, 8, 1, 32});
  const auto original = device->allocate(layout);
  const auto same = device->import_native(original->native_handle(), layout);
  const auto found = device->import_native_id(original->native_id(), layout);
  std::memset(original->data(), 0x3c, 512);
  CHECK(same->data()[100] == std::byte{0x3c});
  CHECK(found->data()[511] == std::byte{0x3c});
  const Layout large = Layout::contiguous(DataType::fp16, {1, 8, 1, 4096});
  CHECK(status_of([&] { device->import_native(original->native_handle(), large); }) ==
        Status::out_of_range);
  CHECK(status_of([&] { device->import_native(nullptr, layout); }) == Status::invalid_argument);
  CHECK(status_of([&] { device->import_native_id(987654321, layout); }) == Status::not_found);
}

TEST_CASE("host memory is summed into in place") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = summed_function();
  const auto kernel = device->compile(function, summing({"d"}));
  alignas(64) static float sums[48 * 48] = {};
  std::fill(std::begin(sums), std::end(sums), 1.0f);
  const auto memory = device->import(reinterpret_cast<std::byte*>(sums), sizeof sums,
                                     Layout::contiguous(DataType::fp32, {1, 1, 48, 48}));
  const TensorMap inputs = random_inputs(function, 2);
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<View> in, out;
  for (const Port& port : kernel->inputs()) {
    buffers.push_back(device->allocate(port.layout));
    in.emplace_back(*buffers.back());
    write_tensor(in.back(), inputs.at(port.name));
  }
  buffers.push_back(device->allocate(kernel->outputs()[0].layout));
  out.emplace_back(*buffers.back());
  out.emplace_back(*memory);
  kernel->run(in, out);
  memory->map(false); // waits for the background
  const Tensor expected = expected_of(function, inputs).at("d");
  CHECK(sums[0] == doctest::Approx(expected.values[0] + 1).epsilon(0.01));
  CHECK(sums[100] == doctest::Approx(expected.values[100] + 1).epsilon(0.01));
  memory->unmap();
}

TEST_CASE("overflow is seen where it happens, not only where it shows") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  // The product overflows; the inverse of an infinity is 0.
  mil::Builder b;
  const mil::ValueId x = b.input("x", {DataType::fp16, {1, 1, 32, 32}, {}});
  const mil::ValueId y = b.matmul(x, x, false, true);
  b.output(b.mul(b.unary("relu", b.mul(y, -1.0)), 0.5), "z");
  const mil::Function function = std::move(b).finish();
  CompileOptions options;
  options.role = Role::backward;
  Runner runner(*device, function, options);
  TensorMap inputs = {{"x", mil::make_tensor({DataType::fp16, {1, 1, 32, 32}, {}}, 2)}};
  runner.run(inputs);
  CHECK_FALSE(runner.kernel().overflowed());
  inputs = {{"x", mil::make_tensor({DataType::fp16, {1, 1, 32, 32}, {}}, 100)}};
  const Tensor z = runner.run(inputs).at("z");
  CHECK(z.values.front() == 0); // looks fine
  CHECK(runner.kernel().overflowed());
}

TEST_CASE("an overflow that may be looked for later is known after a synchronize") {
  const mil::Type type{DataType::fp16, {1, 1, 32, 32}, {}};
  mil::Builder b;
  const mil::ValueId x = b.input("x", type);
  const mil::ValueId y = b.matmul(x, x, false, true);
  b.output(b.softmax(y, -1), "p"); // finite in any case
  b.output(y, "y");
  const mil::Function function = std::move(b).finish();
  for (const int audit_every : {0, 1}) {
    const DeviceFixture fixture;
    DeviceOptions options = fixture.options();
    options.ane.audit_every = audit_every;
    const auto device = fixture.open(options);
    CompileOptions forward;
    forward.role = Role::forward;
    Runner runner(*device, function, forward);
    // In turn two sets of views: what a run had is kept until the next synchronize.
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::array<std::vector<View>, 2> inputs{runner.inputs()}, outputs{runner.outputs()};
    const auto allocate = [&](const std::vector<Port>& ports, std::vector<View>& views) {
      for (const Port& port : ports)
        views.emplace_back(*buffers.emplace_back(device->allocate(port.layout)));
    };
    allocate(runner.kernel().inputs(), inputs[1]);
    allocate(runner.kernel().outputs(), outputs[1]);
    size_t set = 0;
    const auto run = [&](double value) {
      set = 1 - set;
      write_tensor(inputs[set].front(), mil::make_tensor(type, value));
      runner.kernel().run(inputs[set], outputs[set], {.keeps_views = true});
    };
    const auto overflows = [&](double value) {
      run(value);
      const bool at_once = runner.kernel().overflowed();
      runner.kernel().synchronize();
      if (audit_every == 1) CHECK(at_once == runner.kernel().overflowed());
      return runner.kernel().overflowed();
    };
    CHECK_FALSE(overflows(2));
    CHECK(overflows(100));
    CHECK_FALSE(overflows(std::numeric_limits<double>::infinity())); // came in
    CHECK_FALSE(overflows(2));
    run(100);
    run(2); // another run before the synchronize
    runner.kernel().synchronize();
    CHECK(runner.kernel().overflowed()); // asked once more
    CHECK_FALSE(overflows(2));
  }
}

TEST_CASE("an overflow is found in the outputs that it comes out of") {
  const mil::Type type{DataType::fp16, {1, 32, 1, 32}, {}},
      square{DataType::fp16, {32, 32, 1, 1}, {}};
  mil::Builder b;
  const mil::ValueId x = b.input("x", type);
  const mil::ValueId h = b.mul(x, x);
  b.output(h, "h");
  b.output(b.transpose(h, {0, 3, 2, 1}), "turned");
  b.output(b.add(x, b.linear(h, b.input("w", square))), "y");
  const mil::Function function = std::move(b).finish();
  const DeviceFixture fixture;
  CompileOptions forward;
  forward.role = Role::forward;
  const auto device = fixture.open();
  Runner runner(*device, function, forward);
  const auto overflows = [&](double weight, double one) {
    Tensor tensor = mil::make_tensor(type, 1);
    tensor.values[5] = one;
    write_tensor(runner.inputs()[0], tensor);
    write_tensor(runner.inputs()[1], mil::make_tensor(square, weight));
    runner.kernel().run(runner.inputs(), runner.outputs(), {.keeps_views = true});
    runner.kernel().synchronize();
    return runner.kernel().overflowed();
  };
  CHECK_FALSE(overflows(0.5, 2));
  CHECK(overflows(0.5, 300));
  CHECK(overflows(-0.5, -300));
  CHECK_FALSE(overflows(0, 300)); // nothing comes of it
}

TEST_CASE("an infinity in what the host adds up is seen by the host") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = summed_function();
  Runner runner(*device, function, summing({"d"}));
  runner.write_output("d", mil::make_tensor({DataType::fp32, {1, 1, 48, 48}, {}}));
  TensorMap inputs = random_inputs(function, 1);
  runner.run(inputs);
  runner.kernel().synchronize();
  CHECK_FALSE(runner.kernel().overflowed());
  for (auto& [name, tensor] : inputs)
    std::fill(tensor.values.begin(), tensor.values.end(), 2.0); // y is 256, d is not finite
  runner.run(inputs);
  runner.kernel().synchronize();
  CHECK(runner.kernel().overflowed());
}

TEST_CASE(
    "an infinity that the caller finds is left to it, outputs and what the host reads alike") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Type half{DataType::fp16, {1, 1, 64, 64}, {}};
  mil::Builder b;
  const mil::ValueId x = b.input("x", half);
  const mil::ValueId before = b.mul(b.matmul(x, x, false, true), 1.0 / 64); // watched
  const mil::ValueId y = b.cast(b.matmul(before, x, false, true, "product"), DataType::fp32);
  b.output(b.reduce("reduce_log_sum_exp", y, {3}, false), "sum");
  const mil::Function function = std::move(b).finish();
  for (const bool watched : {true, false}) {
    CompileOptions options;
    options.role = Role::loss;
    if (!watched) options.unwatched = {"product", "nothing"};
    Runner runner(*device, function, options);
    CHECK(runner.kernel().placement().where == "ane+cpu");
    const Tensor small = runner.run({{"x", mil::make_tensor(half, 0.5)}}).at("sum");
    CHECK(small.values.front() == doctest::Approx(8 + std::log(64.0)));
    CHECK_FALSE(runner.kernel().overflowed());
    CHECK_FALSE(
        std::isfinite(runner.run({{"x", mil::make_tensor(half, 20)}}).at("sum").values.front()));
    CHECK(runner.kernel().overflowed() == watched);
    runner.run({{"x", mil::make_tensor(half, 100)}});
    CHECK(runner.kernel().overflowed());
  }
}

TEST_CASE("kernels of one workspace share memory that reserve allocates") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const auto workspace = device->make_workspace();
  const model::Config& config = small_models().front().config;
  const BlockPrograms head = head_programs(config, 40);
  CompileOptions options = summing(head.gradients, Role::loss);
  options.workspace = workspace;
  Runner first(*device, head.backward, options);
  const size_t one = workspace->size_bytes();
  CHECK(one > 0);
  const TensorMap inputs = model_inputs(head.backward, config, 8);
  CHECK(status_of([&] { first.run(inputs); }) == Status::invalid_state);
  options.label = "second";
  Runner second(*device, head.backward, options);
  CHECK(workspace->size_bytes() < 2 * one);
  workspace->reserve();
  const TensorMap expected = expected_of(head.backward, inputs);
  for (Runner* runner : {&first, &second}) {
    check_near({{"d_hidden", runner->run(inputs).at("d_hidden")}},
               {{"d_hidden", expected.at("d_hidden")}}, 2e-2, "shared");
    runner->kernel().synchronize();
  }
}

TEST_CASE("the host runs all of it when told to, or when it is faster") {
  DeviceFixture fixture;
  const mil::Function function = product_function(24);
  const TensorMap inputs = random_inputs(function, 6);
  DeviceOptions options = fixture.options();
  SUBCASE("placed on the host") {
    options.ane.placement.fill(PlacementPolicy::host);
    const auto device = fixture.open(options);
    Runner runner(*device, function);
    check_near(runner.run(inputs), expected_of(function, inputs), tolerance, "host");
    CHECK(runner.kernel().placement().where == "cpu");
    CHECK(runner.kernel().placement().reason == "placed on the host by the options");
    CHECK(runner.kernel().totals().evaluations == 0);
    CHECK(runner.kernel().totals().host_flops > 0);
  }
  SUBCASE("measured: a slow engine loses") {
    options.ane.placement.fill(PlacementPolicy::measured);
    const auto device = fixture.open(options);
    fixture.emulator.set("latency_us", "200000");
    mil::Builder b;
    const mil::ValueId x = b.input("x", {DataType::fp16, {1, 1, 256, 256}, {}});
    b.output(b.matmul(x, x, false, false), "y");
    Runner runner(*device, std::move(b).finish());
    CHECK(runner.kernel().placement().where == "cpu");
    CHECK(runner.kernel().placement().reason.find("measured: the host takes") == 0);
  }
  SUBCASE("measured: what is too small is not even tried") {
    options.ane.placement.fill(PlacementPolicy::measured);
    const auto device = fixture.open(options);
    const int64_t compiled = fixture.emulator.count("compiles");
    Runner runner(*device, product_function(3)); // less than the host makes in the least latency
    CHECK(runner.kernel().placement().where == "cpu");
    CHECK(fixture.emulator.count("compiles") == compiled);
  }
  SUBCASE("parts are placed on their own") {
    options.ane.placement[static_cast<size_t>(Part::weight_gradient)] = PlacementPolicy::host;
    const auto device = fixture.open(options);
    const mil::Function summed = summed_function();
    Runner runner(*device, summed, summing({"d"}));
    runner.run(random_inputs(summed, 6));
    runner.kernel().synchronize();
    CHECK(runner.kernel().placement().where == "ane+cpu");
    CHECK(runner.kernel().totals().engine_flops == 2 * 48 * 64 * 24); // y alone
    CHECK(runner.kernel().totals().host_flops == 2 * 48 * 48 * 24);
  }
}

TEST_CASE("bad requests are refused with a reason") {
  const DeviceFixture fixture;
  const auto device = fixture.open();
  const mil::Function function = product_function(24);
  CHECK(status_of([&] { device->compile(function, summing({"q"})); }) == Status::not_found);
  CompileOptions layouts;
  layouts.port_layouts["x"] = Layout::contiguous(DataType::fp16, {1, 64, 24, 1});
  CHECK(status_of([&] { device->compile(function, layouts); }) == Status::shape_mismatch);
  CompileOptions foreign;
  foreign.workspace = open_device("cpu", {})->make_workspace();
  CHECK(status_of([&] { device->compile(function, foreign); }) == Status::invalid_argument);

  Runner runner(*device, function);
  CHECK(status_of([&] { runner.kernel().run({}, runner.outputs()); }) == Status::invalid_argument);
  Buffer& mapped = *runner.inputs()[0].buffer;
  mapped.map(true);
  CHECK(status_of([&] { runner.kernel().run(runner.inputs(), runner.outputs()); }) == Status::busy);
  mapped.unmap();
  CHECK(status_of([&] { mapped.unmap(); }) == Status::invalid_state);
}
