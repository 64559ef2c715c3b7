// What bench-device writes: lines for a terminal, JSON (docs/neural-engine.md has its keys), a
// page.
#pragma once

#include "bench_device_sweeps.h"
#include "json.h"

namespace cli {

struct BenchResult {
  BenchPlan plan;
  std::string device;      // name
  std::string description; // with the chip
  std::string report;      // JSON of the device about itself; "" when it has none
  uint32_t threads = 0;
  double seconds = 0; // of the whole
  std::vector<BenchSweep> sweeps;
};

std::string point_line(const BenchSweep& sweep, const BenchPoint& point);

// Numbers that people compare, found in the sweeps; those without points are left out.
struct BenchSummary {
  double dispatch_seconds = 0; // median of the smallest program
  double dispatch_p95_seconds = 0;
  double best_flops_per_second = 0;
  double matmul_over_convolution = 0; // throughputs, constants, geometric mean over the channels
  double int8_over_fp16 = 0;
  double inputs_over_constants = 0;
  double two_threads_over_one = 0;
  double weight_cliff_megabytes = 0; // the size after which throughput stays a fifth or more lower
};
BenchSummary summarize(const std::vector<BenchSweep>& sweeps);

Json bench_json(const BenchResult& result);
std::string bench_page(const BenchResult& result);

} // namespace cli
