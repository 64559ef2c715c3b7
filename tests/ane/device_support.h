// The device "ane" on the emulator, for tests.
#pragma once

#include "../unit/backend/support.h"
#include "backend/backend.h"
#include "base/json.h"
#include "model/config.h"
#include "support.h"

#include <memory>
#include <string>
#include <vector>

namespace anet::test {

// The chips of the emulator (ane_emulator.h) that tests of every chip go through: all, or those in
// the environment variable ANE_TEST_PROFILES, "m1,m4", where each takes long. Throws
// std::runtime_error for a name that the emulator does not have.
const std::vector<std::string>& profiles();

struct DeviceFixture {
  explicit DeviceFixture(const std::string& profile = "m4");

  // The engine wherever it can, two threads.
  backend::DeviceOptions options() const;
  std::shared_ptr<backend::Device> open() const { return open(options()); }
  std::shared_ptr<backend::Device> open(const backend::DeviceOptions& options) const;

  TemporaryDirectory temporary;
  Emulator emulator;
  std::string answers = probe_cache(); // where those of the probe are kept
};

// Asks the engine for itself: for tests that change what it would answer.
struct AskingFixture : DeviceFixture {
  explicit AskingFixture(const std::string& profile = "m4") : DeviceFixture(profile) {
    answers = temporary.path() + "/cache";
  }
};

backend::AneOptions placed(backend::PlacementPolicy policy);
Json report_of(const backend::Device& device);
// Of one question in a report.
const Json& probe_of(const Json& report, const std::string& question);
bool answer_of(const Json& report, const std::string& question);

// Every output within `tolerance` of its largest expected magnitude.
void check_near(const mil::TensorMap& actual, const mil::TensorMap& expected, double tolerance,
                const std::string& what);

// Models that differ in what their blocks are made of.
struct NamedModel {
  std::string name;
  model::Config config;
};
const std::vector<NamedModel>& small_models();

// A block's forward function and its backward one with gradients of parameters in fp32, as a
// training step has them.
struct BlockPrograms {
  mil::Function forward;
  mil::Function backward;
  std::vector<std::string> gradients; // outputs of backward that are summed
};
BlockPrograms block_programs(const model::Config& config, int64_t batch, int64_t sequence);
// The loss of logits and its gradients, in one function.
BlockPrograms head_programs(const model::Config& config, int64_t positions);
// Numbers of a size that a trained model has; tables and mask as they must be.
mil::TensorMap model_inputs(const mil::Function& function, const model::Config& config,
                            uint64_t seed);
// [48, 64] weights on [1, 64, 1, width] activations, both ports, and a sum with `rest`.
mil::Function product_function(int64_t width);

} // namespace anet::test
