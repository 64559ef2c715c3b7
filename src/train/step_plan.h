// The step plan: made once, it is the ordered list of kernel calls that computes the loss and its
// gradients, with the buffers between them.
#pragma once

#include "backend/backend.h"
#include "backend/background_staging.h"
#include "backend/staged_array.h"
#include "io/dataset/dataset.h"
#include "model/parameters.h"
#include "train/options.h"
#include "train/step_kernels.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

// Bytes by purpose; see anet_memory_plan.
struct MemoryPlan {
  uint64_t weights = 0;
  uint64_t gradients = 0;
  uint64_t optimizer = 0;
  uint64_t staged = 0;
  uint64_t activations = 0;
  uint64_t workspace = 0;
  uint64_t total() const {
    return weights + gradients + optimizer + staged + activations + workspace;
  }
};

// One micro-batch, row-major [sequences, length].
struct Batch {
  int64_t sequences = 0;
  int64_t length = 0;
  std::span<const int32_t> tokens;
  std::span<const int32_t> targets; // io::ignored_target where not counted
  // Each token's place in its document: 0, or one more than its neighbour's. Empty: 0, 1, 2 .. in
  // every part.
  std::span<const int32_t> positions = {};
  // Every row is as many sequences of equal length side by side, which do not see each other.
  int64_t parts = 1;
};

// Refers to the rows of `data`.
Batch batch_of(const io::Batch& data);

enum class Phase : uint8_t { forward, loss, backward };
inline constexpr size_t phase_count = 3;

struct PassResult {
  double loss_sum = 0; // nats
  uint64_t tokens = 0; // counted
  std::array<double, phase_count> seconds{};
  double staging_seconds = 0; // the batch in, and waiting for copies of weights
  uint64_t bytes_staged = 0;
  bool overflowed = false; // somewhere in fp16
  backend::RunTotals work; // of the kernels, in this pass
};

class StepPlan {
public:
  // What the programs of such a session compute in.
  static mil::DataType dtype_of(const SessionOptions& options);

  // Compiles every kernel; allocates no buffer. `options` is resolved.
  StepPlan(backend::Device& device, const model::Config& config, const SessionOptions& options);
  ~StepPlan();

  MemoryPlan memory() const;
  // Allocates the buffers and binds them. Both arrays outlive the plan.
  void bind(std::span<float> weights, std::span<float> gradients);

  // Adds the gradient of `seed` * (sum of the losses) to the gradients. Throws cancelled between
  // kernels once `cancel` is set, leaving the gradients half summed. Nothing goes on in the
  // background after it has returned or thrown.
  // `renew`: the weights have changed, so copies of them are renewed while the pass runs.
  PassResult forward_backward(const Batch& batch, double seed, bool renew,
                              const std::atomic<bool>& cancel);
  PassResult forward(const Batch& batch, bool renew, const std::atomic<bool>& cancel);
  // The losses of the last `forward`, one a position, 0 where not counted.
  std::span<const float> token_losses() const;

  const StepKernels& kernels() const { return kernels_; }

private:
  struct Buffers;
  struct Call {
    backend::Kernel* kernel = nullptr;
    Phase phase = Phase::forward;
    size_t copies_needed = 0; // of weights
    std::vector<backend::View> inputs;
    std::vector<backend::View> outputs;
  };
  // Views by port name, looked up while calls are made, never in a step.
  using Bindings = std::vector<std::pair<std::string, backend::View>>;
  using WeightPorts = std::vector<std::pair<std::string, const model::Parameter*>>;

  int64_t positions() const { return int64_t{options_.batch_size} * options_.sequence_length; }

  // The calls of a pass, for one way of dividing the rows.
  struct Calls {
    std::vector<Call> training;
    std::vector<Call> evaluation;
  };

  void allocate_buffers();
  void make_calls(size_t bucket);
  // Weights go to the ports that the kernel has, gradients to those named d_<port>.
  Call call(backend::Kernel& kernel, Phase phase, Bindings bindings,
            const WeightPorts& weights) const;
  Call block_call(const BlockKernels& block, Phase phase, int32_t layer) const;
  Call head_call(const Chunk& chunk, bool training) const;

  uint64_t load(const Batch& batch, double seed);
  void load_positions(const Batch& batch, size_t bucket);
  void write_mask(size_t bucket);
  size_t bucket_of(int64_t parts) const;
  void run(std::span<Call> calls, const std::atomic<bool>& cancel, PassResult& result);
  void complete(std::span<const Call> calls, PassResult& result);
  void quiesce() noexcept;
  PassResult pass(const Batch& batch, double seed, std::vector<Call> Calls::*calls, bool renew,
                  const std::atomic<bool>& cancel);

  backend::Device& device_;
  model::Config config_;
  SessionOptions options_;
  model::ParameterTable parameters_;
  std::shared_ptr<backend::Workspace> workspace_;
  StepKernels kernels_;
  // Members are destroyed from the last to the first: the thread before what it writes to.
  std::unique_ptr<Buffers> buffers_;
  std::optional<backend::StagedArray> weights_;
  std::optional<backend::StagedArray> gradients_;
  std::optional<backend::BackgroundStaging> staging_;
  std::vector<Calls> calls_; // by bucket
};

} // namespace anet::train
