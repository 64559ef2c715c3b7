// A few training steps of a small model: does the device train, and as well as the CPU?
#pragma once

#include "handles.h"
#include "json.h"
#include "kernel_places.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

struct SmokeRun {
  std::string device;    // "ane"
  std::string precision; // "f16"
  std::string error;     // "" when every step was made
  std::vector<double> losses;
  int32_t skipped = 0; // steps without an update, because gradients overflowed
  double seconds = 0;
  std::vector<KernelPlace> kernels;
  std::string report; // the device's about itself, with the session's programs in place

  uint64_t sum(uint64_t KernelPlace::*counter) const { return sum_of(kernels, counter); }
  double engine_share() const { return share_of_engine(kernels); }
};

// What every run trains.
struct SmokeSetup {
  std::string model = "tiny";
  int32_t steps = 8;
  int32_t batch_size = 2;
  int32_t sequence_length = 64;
  double learning_rate = 1e-3;
  // Low: a step that one device skips for an overflow and the other does not would set them apart.
  double initial_loss_scale = 32;
};

// Trains a new model, the same at every call. A failure of the library is in `error`.
SmokeRun train_smoke(const SmokeSetup& setup, const Device& device, anet_precision precision);

// The largest difference of two runs' losses at the same step, relative to the first's. Infinite
// when a loss is not finite or a step is missing.
double loss_difference(const SmokeRun& expected, const SmokeRun& seen);

Json smoke_json(const SmokeRun& run);

} // namespace cli
