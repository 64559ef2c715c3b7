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
  for (const std::string& profile : profiles()) {
    const DeviceFixture fixture(profile);
    const auto device = fixture.open();
    for (const NamedModel& model : small_models()) {
      for (const int64_t batch : {1, 2}) {
        const std::string what = profile + " " + model.name + " batch " + std::to_string(batch);
        INFO(what);
        const BlockPrograms block = block_programs(model.config, batch, 24);
        const TensorMap forward_inputs = model_inputs(block.forward, model.config, 3);
        Runner forward(*device, block.forward,
                       {.port_layouts = {},
                        .accumulate = {},
                        .role = Role::forward,
                        .workspace = nullptr,
                        .label = "forward"});
        const TensorMap expected = expected_of(block.forward, forward_inputs);
        check_near(forward.run(forward_inputs), expected, whole_block, what + " forward");
        CHECK(forward.kernel().placement().where == "ane");
        CHECK(forward.kernel().placement().reason.empty());

        TensorMap backward_inputs = model_inputs(block.backward, model.config, 4);
        for (auto& [name, tensor] : backward_inputs) {
          if (expected.count(name) > 0) tensor = expected.at(name);
          if (forward_inputs.count(name) > 0) tensor = forward_inputs.at(name);
        }
        CompileOptions options;
        options.role = Role::backward;
        options.label = "backward";
        options.accumulate = block.gradients;
        Runner backward(*device, block.backward, options);
        for (const std::string& name : block.gradients)
          backward.write_output(name,
                                mil::make_tensor(block.backward.type(block.backward.output(name))));
        backward.run(backward_inputs);
        device->synchronize();
        TensorMap results;
        for (size_t i = 0; i < backward.outputs().size(); ++i)
          results[backward.kernel().outputs()[i].name] =
              backend::testing::read_tensor(backward.outputs()[i]);
        check_near(results, expected_of(block.backward, backward_inputs), whole_block,
                   what + " backward");
        CHECK(backward.kernel().placement().where == "ane+cpu"); // the host adds
        CHECK(backward.kernel().totals().evaluations == 1);
      }
    }
  }
}
