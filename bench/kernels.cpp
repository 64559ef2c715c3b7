// The kernels of a training step, one at a time, at the Stories110M shape (width 768, 12 heads,
// sequence 256): where the time of a step goes. GFLOP/s counts matrix products alone.
#include "backend/backend.h"
#include "base/random.h"
#include "mil/differentiate.h"
#include "model/parameters.h"
#include "model/transformer.h"

#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

using namespace anet;

namespace {

constexpr int64_t sequence = 256;
constexpr int64_t head_chunk = 256;

enum class Program { block_forward, block_backward, head };

mil::Function program_of(Program program) {
  const model::Config& config = model::named_config("stories110M");
  if (program == Program::head) {
    const mil::Function loss = model::loss_function(config, mil::DataType::fp32, head_chunk);
    return mil::value_and_gradient(
        loss, {.with_respect_to = {"hidden", "final_norm_weight", "head_weight"},
               .outputs = {"loss"},
               .taps = mil::Taps::automatic,
               .tap_names = {}});
  }
  const model::ParameterTable parameters(config);
  std::vector<std::string> inputs = {"hidden"};
  for (const model::Parameter& parameter : parameters.layer(0)) inputs.push_back(parameter.port);
  const mil::Derivative derivative =
      mil::differentiate(model::block_function(config, mil::DataType::fp32, 1, sequence),
                         {.with_respect_to = inputs,
                          .outputs = {"hidden_out"},
                          .taps = mil::Taps::automatic,
                          .tap_names = {}});
  return program == Program::block_forward ? derivative.forward : derivative.backward;
}

// Buffers of small random numbers; indices stay zero.
std::vector<std::unique_ptr<backend::Buffer>> make_buffers(backend::Device& device,
                                                           std::span<const backend::Port> ports) {
  std::vector<std::unique_ptr<backend::Buffer>> buffers;
  for (const backend::Port& port : ports) {
    auto& buffer = buffers.emplace_back(device.allocate(port.layout));
    if (port.layout.dtype != mil::DataType::fp32) continue;
    auto* values = reinterpret_cast<float*>(buffer->data());
    Random(1, buffers.size())
        .fill_normal({values, buffer->size_bytes() / sizeof(float)}, 0.0f, 0.02f);
  }
  return buffers;
}

std::vector<backend::View> views_of(std::span<const std::unique_ptr<backend::Buffer>> buffers) {
  std::vector<backend::View> views;
  for (const auto& buffer : buffers) views.emplace_back(*buffer);
  return views;
}

void run(benchmark::State& state, Program program) {
  const auto device = backend::open_device("cpu", {.threads = static_cast<int>(state.range(0))});
  const auto kernel = device->compile(program_of(program), {});
  const auto inputs = make_buffers(*device, kernel->inputs());
  const auto outputs = make_buffers(*device, kernel->outputs());
  const auto input_views = views_of(inputs);
  const auto output_views = views_of(outputs);
  for (auto _ : state) kernel->run(input_views, output_views);
  const auto flops = static_cast<double>(kernel->statistics().flops);
  state.counters["GFLOP"] =
      benchmark::Counter(flops / 1e9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["steps"] = kernel->statistics().op_count;
}

} // namespace

BENCHMARK_CAPTURE(run, block_forward, Program::block_forward)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(run, block_backward, Program::block_backward)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(run, head, Program::head)->Arg(1)->Arg(2)->UseRealTime();

BENCHMARK_MAIN();
