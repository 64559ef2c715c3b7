// What bench-device measures: sweeps of points, each of one program or one copy.
#pragma once

#include "bench_device_measure.h"

#include <functional>
#include <string>
#include <vector>

namespace cli {

// What a point's time is turned into.
enum class Metric { seconds, flops_per_second, bytes_per_second, runs_per_second };
const char* metric_name(Metric metric); // "flops_per_second"

struct BenchPoint {
  std::string series; // "convolution, fp16 constants"
  double x = 0;
  std::string status = "ok"; // "refused": the device will not; "skipped": a limit of ours
  std::string reason;        // of both
  Timing timing;
  double compile_seconds = 0;
  double value = 0; // of the sweep's metric, by the median
  uint64_t flops = 0;
  uint64_t bytes = 0; // copied, or of weights
  std::string where;  // "cpu", "ane", "ane+cpu"; "" for copies
  std::string where_reason;
};

struct BenchSweep {
  std::string name;
  std::string title;
  std::string x_name; // "layers"
  Metric metric = Metric::seconds;
  std::vector<BenchPoint> points;
};

struct BenchPlan {
  bool quick = false;
  BenchLimits limits;
  std::vector<std::string> only; // names of sweeps; empty: all
};

std::vector<std::string> sweep_names();

// Measures; `observe` sees every point as soon as it is there.
using PointObserver = std::function<void(const BenchSweep&, const BenchPoint&)>;
std::vector<BenchSweep> run_sweeps(const Device& device, const BenchPlan& plan,
                                   const PointObserver& observe);

} // namespace cli
