// Timing of kernels and copies: warm-up, repetition within a time limit, medians.
#pragma once

#include "bench_device_program.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cli {

struct BenchLimits {
  double seconds = 0.5; // spent on one point, beside its compilation
  uint64_t memory = 0;  // bytes that one point may take
  uint64_t most_runs = 2000;
};

struct Timing {
  uint64_t runs = 0;
  double first = 0; // seconds of the first run, which may pay for what later ones find done
  double median = 0;
  double p95 = 0;
  double fastest = 0;
};

// Runs once, then, after a tenth of the time for warming up, until the time is over. An action
// slower than that runs twice, and the second run counts.
Timing time_runs(const std::function<void()>& run, const BenchLimits& limits);

using Kernel = std::unique_ptr<anet_kernel, Release<anet_kernel_release>>;
using Buffer = std::unique_ptr<anet_buffer, Release<anet_buffer_release>>;

// A program compiled for a device, with buffers in the layouts that its ports ask for.
class BoundKernel {
public:
  BoundKernel(const Device& device, const Program& program);
  void run();
  // Random values into every fp16 input, of at most 1 into "x" and of at most `weight_limit` into
  // the others. Zeros would be too easy.
  void fill_inputs(double weight_limit);

  double compile_seconds() const { return compile_seconds_; }
  // Where it runs, and for the host's part of it why.
  void describe(std::string& where, std::string& reason) const;

private:
  Kernel kernel_;
  std::vector<Buffer> inputs_;
  std::vector<Buffer> outputs_;
  std::vector<anet_buffer*> bound_inputs_;
  std::vector<anet_buffer*> bound_outputs_;
  double compile_seconds_ = 0;
};

// Elements times their size, without padding.
size_t dense_bytes(const anet_tensor_desc& desc);

} // namespace cli
