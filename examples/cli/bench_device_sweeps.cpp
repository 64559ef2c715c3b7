#include "bench_device_sweeps.h"

#include "text.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <exception>
#include <map>
#include <numeric>
#include <thread>

namespace cli {
namespace {

constexpr int64_t narrow = 64; // positions, as published measurements have them

// One sweep while it is measured.
class Recorder {
public:
  Recorder(const Device& device, const BenchPlan& plan, const PointObserver& observe,
           BenchSweep sweep)
      : device_(device), plan_(plan), observe_(observe), sweep_(std::move(sweep)) {}

  const Device& device() const { return device_; }
  const BenchLimits& limits() const { return plan_.limits; }
  // The first, or with --quick the second.
  std::vector<int64_t> choose(std::vector<int64_t> all, std::vector<int64_t> few) const {
    return plan_.quick ? std::move(few) : std::move(all);
  }

  // Fills in a point: measures, or says why not. `work` is what the time should grow with.
  void measure(BenchPoint point, double work, uint64_t memory,
               const std::function<void(BenchPoint&)>& fill) {
    point.reason = why_not(point, work, memory);
    if (!point.reason.empty()) {
      point.status = "skipped";
    } else {
      attempt(point, fill);
    }
    if (point.status == "ok") {
      point.value = value_of(point);
      costs_[point.series] = {work, point.timing.median};
    }
    sweep_.points.push_back(std::move(point));
    observe_(sweep_, sweep_.points.back());
  }

  BenchSweep finish() && { return std::move(sweep_); }

private:
  struct Cost {
    double work;
    double seconds;
  };

  // From the series' last point: would this one take much longer than its time?
  std::string why_not(const BenchPoint& point, double work, uint64_t memory) const {
    if (memory > plan_.limits.memory) {
      return "needs " + format_bytes(memory) + ", --max-memory is " +
             format_bytes(plan_.limits.memory);
    }
    const auto last = costs_.find(point.series);
    if (last == costs_.end()) return "";
    const double expected = last->second.seconds * work / last->second.work;
    if (expected <= 10 * plan_.limits.seconds) return "";
    return "one run would take about " + format_number(expected, 1) + " s, --seconds is " +
           format_number(plan_.limits.seconds, 2);
  }

  static void attempt(BenchPoint& point, const std::function<void(BenchPoint&)>& fill) {
    try {
      fill(point);
    } catch (const Failure& failure) {
      point.status = "refused";
      point.reason = std::string(anet_status_name(failure.status)) + ": " + failure.what();
    }
  }

  double value_of(const BenchPoint& point) const {
    const double seconds = point.timing.median;
    switch (sweep_.metric) {
    case Metric::flops_per_second:
      return static_cast<double>(point.flops) / seconds;
    case Metric::bytes_per_second:
      return static_cast<double>(point.bytes) / seconds;
    case Metric::runs_per_second:
      return point.value;
    default:
      return seconds;
    }
  }

  const Device& device_;
  const BenchPlan& plan_;
  const PointObserver& observe_;
  BenchSweep sweep_;
  std::map<std::string, Cost> costs_;
};

// The blob, the program's copy, the kernel's form of it, and the values between the layers.
uint64_t chain_memory(const Chain& chain) {
  return 4 * chain_weight_bytes(chain) +
         16 * static_cast<uint64_t>(chain.channels * chain.positions);
}

void measure_chain(Recorder& recorder, const std::string& series, double x, const Chain& chain) {
  BenchPoint point;
  point.series = series;
  point.x = x;
  point.flops = chain_flops(chain);
  point.bytes = chain_weight_bytes(chain);
  recorder.measure(point, static_cast<double>(point.flops), chain_memory(chain),
                   [&](BenchPoint& filled) {
                     BoundKernel kernel(recorder.device(), chain_program(chain));
                     filled.compile_seconds = kernel.compile_seconds();
                     kernel.fill_inputs(weight_limit(chain.channels));
                     filled.timing = time_runs([&] { kernel.run(); }, recorder.limits());
                     kernel.describe(filled.where, filled.where_reason);
                   });
}

// The smallest programs: what a run costs before any work.
void dispatch(Recorder& recorder) {
  for (const int64_t channels : recorder.choose({16, 32, 64, 128, 256}, {16, 64, 256})) {
    measure_chain(recorder, "one convolution", static_cast<double>(channels),
                  {Product::convolution, WeightForm::fp16, channels, 32, 1, 0});
  }
}

void depth(Recorder& recorder) {
  for (const int64_t layers : recorder.choose({1, 2, 4, 8, 16, 32, 64, 128}, {1, 8, 32, 128})) {
    measure_chain(recorder, "512 channels", static_cast<double>(layers),
                  {Product::convolution, WeightForm::fp16, 512, narrow, layers, 0});
  }
}

void width(Recorder& recorder) {
  for (const int64_t channels :
       recorder.choose({256, 512, 1024, 1536, 2048, 3072, 4096}, {256, 1024, 4096})) {
    measure_chain(recorder, "one convolution", static_cast<double>(channels),
                  {Product::convolution, WeightForm::fp16, channels, narrow, 1, 0});
  }
}

// Above the size of the chip's own memory, weights come from outside at every run.
void weight_size(Recorder& recorder) {
  for (const int64_t megabytes :
       recorder.choose({1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128}, {1, 8, 32, 128})) {
    Chain chain{Product::convolution, WeightForm::fp16, 1024, narrow, megabytes / 2, 0};
    if (megabytes == 1) chain = {Product::convolution, WeightForm::fp16, 1024, narrow, 1, 512};
    measure_chain(recorder, "1024 channels", static_cast<double>(megabytes), chain);
  }
}

void forms(Recorder& recorder) {
  struct Form {
    const char* name;
    Product product;
    WeightForm weights;
  };
  constexpr std::array<Form, 5> all = {{
      {"convolution, fp16 constants", Product::convolution, WeightForm::fp16},
      {"convolution, int8 constants", Product::convolution, WeightForm::int8},
      {"convolution, inputs", Product::convolution, WeightForm::input},
      {"matmul, fp16 constants", Product::matmul, WeightForm::fp16},
      {"matmul, inputs", Product::matmul, WeightForm::input},
  }};
  for (const Form& form : all) {
    for (const int64_t channels : recorder.choose({256, 512, 1024, 2048}, {256, 1024})) {
      measure_chain(recorder, form.name, static_cast<double>(channels),
                    {form.product, form.weights, channels, 256, 4, 0});
    }
  }
}

struct Rate {
  uint64_t runs = 0;
  double seconds = 0;
};

// Runs of `kernels`, each on a thread of its own; at least one of each.
Rate run_side_by_side(std::vector<BoundKernel>& kernels, double seconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<uint64_t> runs(kernels.size());
  std::vector<std::exception_ptr> failures(kernels.size());
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kernels.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        while (elapsed() < seconds || runs[i] == 0) {
          kernels[i].run();
          ++runs[i];
        }
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double total = elapsed();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return {std::accumulate(runs.begin(), runs.end(), uint64_t{0}), total};
}

// Evaluations from several threads, each with a kernel and buffers of its own.
void in_flight(Recorder& recorder) {
  const Chain chain{Product::convolution, WeightForm::fp16, 512, narrow, 8, 0};
  for (const int64_t count : recorder.choose({1, 2, 4}, {1, 2})) {
    BenchPoint point;
    point.series = "8 convolutions of 512 channels";
    point.x = static_cast<double>(count);
    point.flops = chain_flops(chain);
    point.bytes = chain_weight_bytes(chain);
    recorder.measure(
        point, 1, chain_memory(chain) * static_cast<uint64_t>(count), [&](BenchPoint& filled) {
          std::vector<BoundKernel> kernels;
          for (int64_t i = 0; i < count; ++i) {
            kernels.emplace_back(recorder.device(), chain_program(chain));
            kernels.back().fill_inputs(weight_limit(chain.channels));
            filled.compile_seconds += kernels.back().compile_seconds();
            kernels.back().run();
          }
          const Rate rate = run_side_by_side(kernels, recorder.limits().seconds);
          filled.value = static_cast<double>(rate.runs) / rate.seconds;
          filled.timing.runs = rate.runs;
          // Of all runs together: one every so many seconds.
          filled.timing.median = filled.timing.p95 = filled.timing.fastest = 1 / filled.value;
          kernels.front().describe(filled.where, filled.where_reason);
        });
  }
}

// fp16 elements, rows of `columns`; padded rows begin every 64 bytes.
anet_tensor_desc half_tensor(int64_t channels, int64_t columns) {
  auto desc = initialised<anet_tensor_desc>();
  desc.dtype = ANET_DTYPE_FP16;
  desc.rank = 4;
  const std::array<int64_t, 4> shape = {1, channels, 1, columns};
  const int64_t row = (columns * 2 + 63) / 64 * 64;
  const std::array<int64_t, 4> strides = {channels * row, row, row, 2};
  std::copy(shape.begin(), shape.end(), std::begin(desc.shape));
  std::copy(strides.begin(), strides.end(), std::begin(desc.strides));
  return desc;
}

void measure_copy(Recorder& recorder, const char* series, int64_t kilobytes, int64_t columns,
                  bool write) {
  const anet_tensor_desc desc = half_tensor(kilobytes * 1024 / (columns * 2), columns);
  BenchPoint point;
  point.series = series;
  point.x = static_cast<double>(kilobytes);
  point.bytes = dense_bytes(desc);
  recorder.measure(
      point, static_cast<double>(point.bytes), 4 * point.bytes, [&](BenchPoint& filled) {
        std::vector<uint16_t> values = random_halves(filled.bytes / 2, 1, 1);
        const Buffer buffer = create<Buffer>(anet_buffer_create, recorder.device().get(), &desc);
        const auto copy = [&] {
          if (write) {
            call(anet_buffer_write, buffer.get(), values.data(), filled.bytes);
          } else {
            call(anet_buffer_read, buffer.get(), values.data(), filled.bytes);
          }
        };
        filled.timing = time_runs(copy, recorder.limits());
      });
}

void measure_cast(Recorder& recorder, const char* from, const char* to, int64_t kilobytes) {
  constexpr int64_t columns = 256;
  const int64_t channels = kilobytes * 1024 / (columns * 2); // of fp16
  BenchPoint point;
  point.series = std::string("cast ") + from + " to " + to;
  point.x = static_cast<double>(kilobytes);
  point.bytes = static_cast<uint64_t>(channels * columns) * 6; // both sides
  recorder.measure(
      point, static_cast<double>(point.bytes), 2 * point.bytes, [&](BenchPoint& filled) {
        BoundKernel kernel(recorder.device(), cast_program(from, to, channels, columns));
        filled.compile_seconds = kernel.compile_seconds();
        kernel.fill_inputs(1);
        filled.timing = time_runs([&] { kernel.run(); }, recorder.limits());
        kernel.describe(filled.where, filled.where_reason);
      });
}

void copies(Recorder& recorder) {
  const std::vector<int64_t> sizes =
      recorder.choose({64, 256, 1024, 4096, 16384, 65536}, {256, 4096, 16384});
  for (const int64_t size : sizes) measure_copy(recorder, "write", size, 256, true);
  for (const int64_t size : sizes) measure_copy(recorder, "read", size, 256, false);
  // 30 of 32 columns: every row ends in padding.
  for (const int64_t size : sizes) measure_copy(recorder, "write, padded rows", size, 30, true);
  for (const int64_t size : sizes) measure_cast(recorder, "fp32", "fp16", size);
  for (const int64_t size : sizes) measure_cast(recorder, "fp16", "fp32", size);
}

struct SweepKind {
  const char* name;
  const char* title;
  const char* x_name;
  Metric metric;
  void (*run)(Recorder&);
};

constexpr std::array<SweepKind, 7> kinds = {{
    {"dispatch", "Smallest programs", "channels", Metric::seconds, dispatch},
    {"depth", "Throughput against depth", "layers", Metric::flops_per_second, depth},
    {"width", "Throughput against width", "channels", Metric::flops_per_second, width},
    {"weight_size", "Throughput against total weight size", "megabytes", Metric::flops_per_second,
     weight_size},
    {"forms", "Convolution or matmul; constants or inputs", "channels", Metric::flops_per_second,
     forms},
    {"in_flight", "Runs from several threads", "threads", Metric::runs_per_second, in_flight},
    {"copies", "Copies and conversions", "kilobytes", Metric::bytes_per_second, copies},
}};

} // namespace

const char* metric_name(Metric metric) {
  constexpr std::array<const char*, 4> names = {"seconds", "flops_per_second", "bytes_per_second",
                                                "runs_per_second"};
  return names[static_cast<size_t>(metric)];
}

std::vector<std::string> sweep_names() {
  std::vector<std::string> names;
  for (const SweepKind& kind : kinds) names.emplace_back(kind.name);
  return names;
}

std::vector<BenchSweep> run_sweeps(const Device& device, const BenchPlan& plan,
                                   const PointObserver& observe) {
  std::vector<BenchSweep> sweeps;
  for (const SweepKind& kind : kinds) {
    if (!plan.only.empty() &&
        std::find(plan.only.begin(), plan.only.end(), kind.name) == plan.only.end()) {
      continue;
    }
    Recorder recorder(device, plan, observe, {kind.name, kind.title, kind.x_name, kind.metric, {}});
    kind.run(recorder);
    sweeps.push_back(std::move(recorder).finish());
  }
  return sweeps;
}

} // namespace cli
