// Kernels of the device "ane" through backend.h, on every profile of the emulator.
#include "device_support.h"

#include "mil/partition.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::test;
using backend::testing::Runner;
using mil::TensorMap;

namespace {

// fp16 rounds to 2^-11; a block rounds some thousand times on the way.
constexpr double one_product = 2e-3;
constexpr double whole_block = 1.5e-2;

TensorMap expected_of(const mil::Function& function, const TensorMap& inputs) {
  return mil::interpret(function, inputs, mil::Precision::f16);
}

// What every chip has to compute.
struct BlockCase {
  std::string what;
  BlockPrograms programs;
  TensorMap forward_inputs;
  TensorMap backward_inputs;
  TensorMap forward_expected;
  TensorMap backward_expected;
};

std::vector<BlockCase> block_cases() {
  std::vector<BlockCase> cases;
  for (const NamedModel& model : small_models()) {
    for (const int64_t batch : {1, 2}) {
      BlockCase& block = cases.emplace_back();
      block.what = model.name + " batch " + std::to_string(batch);
      block.programs = block_programs(model.config, batch, 24);
      block.forward_inputs = model_inputs(block.programs.forward, model.config, 3);
      block.forward_expected = expected_of(block.programs.forward, block.forward_inputs);
      block.backward_inputs = model_inputs(block.programs.backward, model.config, 4);
      for (auto& [name, tensor] : block.backward_inputs) {
        if (block.forward_expected.count(name) > 0) tensor = block.forward_expected.at(name);
        if (block.forward_inputs.count(name) > 0) tensor = block.forward_inputs.at(name);
      }
      block.backward_expected = expected_of(block.programs.backward, block.backward_inputs);
    }
  }
  return cases;
}

void check_forward(Device& device, const BlockCase& block) {
  CompileOptions options;
  options.role = Role::forward;
  options.label = "forward";
  Runner runner(device, block.programs.forward, options);
  check_near(runner.run(block.forward_inputs), block.forward_expected, whole_block, "forward");
  CHECK(runner.kernel().placement().where == "ane");
  CHECK(runner.kernel().placement().reason.empty());
}

void check_backward(Device& device, const BlockCase& block) {
  const mil::Function& function = block.programs.backward;
  CompileOptions options;
  options.role = Role::backward;
  options.label = "backward";
  options.accumulate = block.programs.gradients;
  Runner runner(device, function, options);
  for (const std::string& name : block.programs.gradients)
    runner.write_output(name, mil::make_tensor(function.type(function.output(name))));
  runner.run(block.backward_inputs);
  runner.kernel().synchronize();
  TensorMap results;
  for (size_t i = 0; i < runner.outputs().size(); ++i)
    results[runner.kernel().outputs()[i].name] = backend::testing::read_tensor(runner.outputs()[i]);
  check_near(results, block.backward_expected, whole_block, "backward");
  CHECK(runner.kernel().placement().where == "ane+cpu"); // the host adds
  CHECK_FALSE(runner.kernel().placement().reason.empty());
  CHECK(runner.kernel().totals().evaluations == 1);
}

} // namespace

TEST_CASE("a product of any width runs on the engine of every chip") {
  for (const std::string& profile : profiles()) {
    const DeviceFixture fixture(profile);
    const auto device = fixture.open();
    for (const int64_t width : {1, 24, 30, 256}) {
      const std::string what = profile + " width " + std::to_string(width);
      const mil::Function function = product_function(width);
      backend::testing::Random random(7);
      const TensorMap inputs = backend::testing::random_inputs(random, function);
      Runner runner(*device, function);
      check_near(runner.run(inputs), expected_of(function, inputs), one_product, what);
      CHECK_FALSE(runner.kernel().overflowed());
      const RunTotals totals = runner.kernel().totals();
      CHECK(runner.kernel().placement().where == "ane");
      CHECK(totals.runs == 1);
      CHECK(totals.evaluations == 1);
      CHECK(totals.engine_flops == mil::count_flops(function));
      CHECK(totals.host_flops == 0);
    }
  }
}

TEST_CASE("a block and its gradients run on the engine of every chip") {
  const std::vector<BlockCase> cases = block_cases();
  for (const std::string& profile : profiles()) {
    const DeviceFixture fixture(profile);
    const auto device = fixture.open();
    for (const BlockCase& block : cases) {
      INFO(profile << " " << block.what);
      check_forward(*device, block);
      check_backward(*device, block);
    }
  }
}
