// The step plan: made once, it is the ordered list of kernel calls that computes the loss and its
// gradients, with the buffers between them. One kernel serves all layers, whose weights are inputs.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "model/parameters.h"
#include "train/options.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
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
};

enum class Phase : uint8_t { forward, loss, backward };
inline constexpr size_t phase_count = 3;

struct PassResult {
  double loss_sum = 0; // nats
  uint64_t tokens = 0; // counted
  std::array<double, phase_count> seconds{};
  double staging_seconds = 0;
  bool overflowed = false; // somewhere in fp16
};

class StepPlan {
public:
  // Compiles every kernel; allocates no buffer. `options` is resolved.
  StepPlan(backend::Device& device, const model::Config& config, const SessionOptions& options);
  ~StepPlan();

  MemoryPlan memory() const;
  // Allocates the buffers and binds them. Both arrays outlive the plan.
  void bind(const backend::StagedArray& weights, const backend::StagedArray& gradients);

  // Adds the gradient of `seed` * (sum of the losses) to the gradients. Throws cancelled between
  // kernels once `cancel` is set, leaving the gradients half summed.
  PassResult forward_backward(const Batch& batch, double seed, const std::atomic<bool>& cancel);
  PassResult forward(const Batch& batch, const std::atomic<bool>& cancel);

  mil::DataType dtype() const { return dtype_; }

private:
  struct Kernels;
  struct Buffers;
  struct Call {
    backend::Kernel* kernel = nullptr;
    Phase phase = Phase::forward;
    std::vector<backend::View> inputs;
    std::vector<backend::View> outputs;
  };
  struct Chunk {
    int64_t begin = 0;
    int64_t size = 0;
  };
  // Views by port name, looked up while calls are made, never in a step.
  using Bindings = std::vector<std::pair<std::string, backend::View>>;

  void compile_kernels();
  backend::CompileOptions head_options(const Chunk& chunk, bool training) const;
  std::vector<Chunk> chunks() const;
  int64_t positions() const { return int64_t{options_.batch_size} * options_.sequence_length; }
  backend::Layout hidden_layout() const;

  void allocate_buffers();
  void fill_tables();
  void make_calls(const backend::StagedArray& weights, const backend::StagedArray& gradients);
  Call call(backend::Kernel& kernel, Phase phase, const Bindings& bindings) const;
  Call block_forward_call(int32_t layer, const backend::StagedArray& weights) const;
  Call block_backward_call(int32_t layer, const backend::StagedArray& weights,
                           const backend::StagedArray& gradients) const;
  Call head_call(const Chunk& chunk, bool training, const backend::StagedArray& weights,
                 const backend::StagedArray& gradients) const;
  void bind_layer(int32_t layer, const backend::StagedArray& weights, Bindings& bindings) const;

  uint64_t load(const Batch& batch, double seed);
  void run(std::span<Call> calls, const std::atomic<bool>& cancel, PassResult& result);
  PassResult pass(const Batch& batch, double seed, std::span<Call> calls,
                  const std::atomic<bool>& cancel);

  backend::Device& device_;
  model::Config config_;
  SessionOptions options_;
  model::ParameterTable parameters_;
  mil::DataType dtype_;
  int64_t chunk_size_ = 0;
  std::shared_ptr<backend::Workspace> workspace_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Buffers> buffers_;
  std::vector<Call> training_calls_;
  std::vector<Call> evaluation_calls_;
};

} // namespace anet::train
