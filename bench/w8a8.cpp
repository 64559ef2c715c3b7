// A deep chain of 1x1 convolutions, 512 channels over 64 x 64, in W8A8 on the CPU device against
// bf16 by oneDNN's matmul primitives and f32 on the device. The three take turns in one process:
// median and spread of the rounds, and the error of W8A8 against f32.
//   w8a8 [depth] [rounds] [threads] [report.json]
#include "backend/backend.h"
#include "base/json.h"
#include "base/random.h"
#include "base/thread_pool.h"
#include "mil/builder.h"
#include "quant/activations.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

using namespace anet;

namespace {

constexpr int64_t channels = 512;
constexpr int64_t side = 64;
constexpr int64_t positions = side * side;

std::vector<float> normal(uint64_t seed, int64_t count, float deviation) {
  std::vector<float> values(static_cast<size_t>(count));
  Random(seed, 0).fill_normal(values, 0.0f, deviation);
  return values;
}

// Keeps the variance of the activations.
std::vector<float> layer_weights(int layer) {
  return normal(static_cast<uint64_t>(layer) + 2, channels * channels,
                1 / std::sqrt(static_cast<float>(channels)));
}

mil::Function chain(int depth) {
  mil::Builder b;
  mil::ValueId x = b.input("x", {mil::DataType::fp32, {1, channels, side, side}, {}});
  for (int layer = 0; layer < depth; ++layer) {
    const std::vector<float> weights = layer_weights(layer);
    x = b.linear(
        x, b.constant(mil::Literal::numbers({mil::DataType::fp32, {channels, channels, 1, 1}, {}},
                                            std::vector<double>(weights.begin(), weights.end()))));
  }
  b.output(x, "y");
  return std::move(b).finish();
}

// A kernel with a buffer for each port.
class Runner {
public:
  Runner(backend::Device& device, const mil::Function& function)
      : kernel_(device.compile(function, {})) {
    const auto add = [&](const std::vector<backend::Port>& ports,
                         std::vector<backend::View>& views) {
      for (const backend::Port& port : ports) {
        buffers_.push_back(device.allocate(port.layout));
        views.emplace_back(*buffers_.back());
      }
    };
    add(kernel_->inputs(), inputs_);
    add(kernel_->outputs(), outputs_);
  }

  void write(std::span<const float> values) {
    std::copy(values.begin(), values.end(), reinterpret_cast<float*>(inputs_[0].buffer->data()));
  }
  void run() { kernel_->run(inputs_, outputs_); }
  size_t outputs() const { return outputs_.size(); }
  std::span<const float> output(size_t index) const {
    return {reinterpret_cast<const float*>(outputs_[index].buffer->data()),
            static_cast<size_t>(channels * positions)};
  }

private:
  std::unique_ptr<backend::Kernel> kernel_;
  std::vector<std::unique_ptr<backend::Buffer>> buffers_;
  std::vector<backend::View> inputs_, outputs_;
};

mil::Function quantized(backend::Device& device, const mil::Function& function) {
  const quant::Calibration calibration = quant::calibration_of(function);
  Runner runner(device, calibration.function);
  quant::ActivationRanges ranges;
  for (uint64_t seed = 100; seed < 103; ++seed) {
    runner.write(normal(seed, channels * positions, 1));
    runner.run();
    for (size_t i = 0; i < runner.outputs(); ++i)
      ranges.observe(calibration.values[i], runner.output(i));
  }
  return quant::quantize_activations(function, ranges, {.coverage = 0.9999});
}

// The same products in bf16, positions by channels, each thread with its share of the positions.
class Bf16Chain {
public:
  Bf16Chain(ThreadPool& pool, int depth) : pool_(pool), engine_(dnnl::engine::kind::cpu, 0) {
    omp_set_num_threads(1);
    for (dnnl::memory* buffer : {&first_, &second_})
      *buffer = dnnl::memory(matrix(positions, channels), engine_);
    const int64_t share = (positions + pool.threads() - 1) / pool.threads();
    for (int64_t begin = 0; begin < positions; begin += share)
      shares_.push_back({begin, std::min(share, positions - begin)});
    for (int layer = 0; layer < depth; ++layer) add_layer(layer);
  }

  void run() {
    dnnl::memory *x = &first_, *y = &second_;
    for (const Layer& layer : layers_) {
      pool_.run(std::ssize(shares_), [&](int64_t i, int64_t) {
        omp_set_num_threads(1);
        const Share& share = shares_[static_cast<size_t>(i)];
        const dnnl::memory::desc desc = matrix(share.count, channels);
        const auto at = [&](dnnl::memory& buffer) {
          auto* data = static_cast<uint16_t*>(buffer.get_data_handle());
          return dnnl::memory(desc, engine_, data + share.begin * channels);
        };
        dnnl::stream stream(engine_);
        layer.products[static_cast<size_t>(i)].execute(
            stream,
            {{DNNL_ARG_SRC, at(*x)}, {DNNL_ARG_WEIGHTS, layer.weights}, {DNNL_ARG_DST, at(*y)}});
      });
      std::swap(x, y);
    }
  }

private:
  struct Share {
    int64_t begin, count;
  };
  struct Layer {
    std::vector<dnnl::matmul> products; // one a share
    dnnl::memory weights;
  };
  using Type = dnnl::memory::data_type;
  using Tag = dnnl::memory::format_tag;

  static dnnl::memory::desc matrix(int64_t rows, int64_t columns) {
    return {{rows, columns}, Type::bf16, Tag::ab};
  }

  void add_layer(int index) {
    std::vector<float> values = layer_weights(index);
    dnnl::memory given({{channels, channels}, Type::f32, Tag::ba}, engine_, values.data());
    Layer layer;
    for (const Share& share : shares_) {
      const dnnl::memory::desc any({channels, channels}, Type::bf16, Tag::any);
      const dnnl::memory::desc rows = matrix(share.count, channels);
      const dnnl::matmul::primitive_desc description({rows, any, rows}, engine_);
      layer.products.emplace_back(description);
      if (!layer.weights) layer.weights = dnnl::memory(description.weights_desc(), engine_);
    }
    dnnl::stream stream(engine_);
    dnnl::reorder(given, layer.weights).execute(stream, given, layer.weights);
    stream.wait();
    layers_.push_back(std::move(layer));
  }

  ThreadPool& pool_;
  dnnl::engine engine_;
  dnnl::memory first_, second_;
  std::vector<Share> shares_;
  std::vector<Layer> layers_;
};

std::unique_ptr<Bf16Chain> make_bf16_chain(ThreadPool& pool, int depth) {
  try {
    return std::make_unique<Bf16Chain>(pool, depth);
  } catch (const dnnl::error&) {
    return nullptr; // this processor has no bf16
  }
}

double milliseconds(const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  return time.count();
}

struct Contender {
  std::string name;
  std::function<void()> run;
  std::vector<double> times;

  double quantile(double q) const {
    std::vector<double> sorted = times;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))];
  }
};

double relative_error(std::span<const float> exact, std::span<const float> seen) {
  double error = 0, size = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += (double{exact[i]} - seen[i]) * (double{exact[i]} - seen[i]);
    size += double{exact[i]} * exact[i];
  }
  return std::sqrt(error / size);
}

int argument(int argc, char** argv, int index, int fallback) {
  return argc > index ? std::atoi(argv[index]) : fallback;
}

} // namespace

int main(int argc, char** argv) {
  const int depth = argument(argc, argv, 1, 32);
  const int rounds = std::max(1, argument(argc, argv, 2, 9));
  const auto device =
      backend::open_device("cpu", {.threads = argument(argc, argv, 3, 0), .ane = {}});
  const mil::Function function = chain(depth);
  Runner f32(*device, function), w8a8(*device, quantized(*device, function));
  const auto bf16 = make_bf16_chain(device->thread_pool(), depth);
  const std::vector<float> x = normal(1, channels * positions, 1);
  f32.write(x);
  w8a8.write(x);

  std::vector<Contender> contenders = {{"w8a8", [&] { w8a8.run(); }, {}},
                                       {"f32", [&] { f32.run(); }, {}}};
  if (bf16) contenders.push_back({"bf16", [&] { bf16->run(); }, {}});
  for (Contender& contender : contenders) contender.run();
  for (int round = 0; round < rounds; ++round)
    for (Contender& contender : contenders) contender.times.push_back(milliseconds(contender.run));

  std::printf("%s\n%d convolutions of %ld channels over %ld x %ld, %d rounds\n",
              device->capabilities().description.c_str(), depth, static_cast<long>(channels),
              static_cast<long>(side), static_cast<long>(side), rounds);
  const double operations = 2.0 * channels * channels * positions * depth;
  Json report = Json::object();
  report.set("device", Json(device->capabilities().description));
  report.set("depth", Json(static_cast<double>(depth)));
  for (const Contender& contender : contenders) {
    const double median = contender.quantile(0.5);
    std::printf("%-5s %9.2f ms (%.2f to %.2f), %.1f GOP/s\n", contender.name.c_str(), median,
                contender.quantile(0), contender.quantile(1), operations / median / 1e6);
    report.set(contender.name + "_ms", Json(median));
  }
  const auto ratio = [&](const Contender& other) {
    const double times = other.quantile(0.5) / contenders[0].quantile(0.5);
    std::printf("w8a8 is %.2f times as fast as %s\n", times, other.name.c_str());
    report.set("speedup_over_" + other.name, Json(times));
  };
  for (size_t i = 1; i < contenders.size(); ++i) ratio(contenders[i]);
  if (!bf16) std::printf("bf16: oneDNN has none on this processor\n");
  const double error = relative_error(f32.output(0), w8a8.output(0));
  std::printf("relative RMS error of w8a8 against f32: %.4f\n", error);
  report.set("relative_error", Json(error));
  if (argc > 4) std::ofstream(argv[4]) << report.to_string(2) << "\n";
  return 0;
}
