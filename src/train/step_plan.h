// The step plan: made once, it is the ordered list of kernel calls that computes the loss and its
// gradients, with the buffers between them.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "base/flat_array.h"
#include "io/dataset/dataset.h"
#include "train/background_norm.h"
#include "train/background_update.h"
#include "train/dropout.h"
#include "train/narrow_gradients.h"
#include "train/options.h"
#include "train/step_kernels.h"
#include "train/step_weights.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

// Bytes by purpose; see anet_memory_plan. Gradients, optimizer state and what is only kept for the
// backward pass are allocated by the first call that trains.
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

// Copies of weights that a pass has to make anew, because the weights have changed. Those that an
// update in the background makes are not among them.
struct Renewal {
  bool trained = true; // while the pass runs
  bool frozen = true;
  bool mirrored = false; // those of the trained weights are in trained_mirror() already
};

class StepPlan {
public:
  // What the programs of such a session compute in.
  static mil::DataType dtype_of(const SessionOptions& options);

  // Compiles every kernel; allocates no buffer. `options` is resolved. Where constants would take
  // more programs than are left, frozen weights become ports, and layers share kernels.
  StepPlan(backend::Device& device, StepWeights weights, const SessionOptions& options);
  ~StepPlan();

  MemoryPlan memory() const;
  // Allocates what evaluation needs and binds it; once. The array of the trained weights outlives
  // the plan, or its use ends with `rebind`.
  void bind(std::span<float> trained);
  // Goes on with another array of trained weights, laid out alike; the next pass has to renew the
  // copies. When it throws nothing has changed.
  void rebind(std::span<float> trained);
  // The same for training; once. The gradients outlive the plan. `optimizer`, which the next steps
  // ask for the norm, gets squares of narrow gradients ahead.
  void bind_gradients(std::span<float> gradients, Optimizer& optimizer);
  // Where the kernels read the trained weights in bf16, when whoever updates them can write there;
  // else empty.
  std::span<uint16_t> trained_mirror() const;
  bool can_train() const { return gradients_.has_value(); }
  // Where a pass leaves gradients that it did not add up, or null where it always adds.
  NarrowGradients* narrow_gradients() { return narrow_gradients_.get(); }

  // Whether an update can go on beside the next pass: where the device leaves the CPU free.
  bool can_update_in_background() const { return updates_in_background_; }
  // Once before such updates: they cannot fail, but their thread can be one too many.
  void prepare_update() { update_->prepare(); }
  // Goes on with an update that `optimizer` has begun, of the weights in the order in which a pass
  // needs them, and makes their copies. The next pass waits for each layer's; everybody else by
  // `settle`, or for `pending`. The gradients stay as they are until it has read them.
  void begin_update(Optimizer& optimizer, std::optional<NarrowGradients::Access> gradients,
                    PendingWrite& pending) noexcept {
    update_->update(optimizer, std::move(gradients), pending);
  }
  // Waits for the end of the update, if there is one.
  void settle() noexcept {
    if (update_) update_->settle();
  }

  // Adds the gradient of `seed` * (sum of the losses) to the gradients. Throws cancelled between
  // kernels once `cancel` is set, leaving the gradients half summed. Nothing goes on in the
  // background after it has returned or thrown. `narrow`, where there are narrow_gradients: those
  // hold what they can, and are written, not added to.
  PassResult forward_backward(const Batch& batch, double seed, const DropoutMoment& moment,
                              const Renewal& renewal, bool narrow, const std::atomic<bool>& cancel);
  PassResult forward(const Batch& batch, const Renewal& renewal, const std::atomic<bool>& cancel);
  // The losses of the last `forward`, one a position, 0 where not counted.
  std::span<const float> token_losses() const;

  const StepWeights& weights() const { return weights_; }
  const StepKernels& kernels() const { return *kernels_; }

private:
  struct Buffers;
  struct Call {
    backend::Kernel* kernel = nullptr;
    Phase phase = Phase::forward;
    size_t copies_needed = 0; // of trained weights: what it waits for
    int32_t layer = 0;        // of a group the first
    backend::RunOptions options;
    int64_t first_mask = 0;     // see fill_dropout
    std::vector<size_t> narrow; // parts of the gradients that it returns as they are
    std::vector<size_t> masks;  // inputs of dropout
    std::vector<backend::View> inputs;
    std::vector<backend::View> outputs;
  };
  // Views by port name, looked up while calls are made, never in a step.
  using Bindings = std::vector<std::pair<std::string, backend::View>>;

  int64_t positions() const { return int64_t{options_.batch_size} * options_.sequence_length; }

  // The calls of a pass, for one way of dividing the rows.
  struct Calls {
    std::vector<Call> training;
    std::vector<Call> narrow_training; // with narrow gradients; empty where there are none
    std::vector<Call> evaluation;
  };

  // The layers below this one are only run forward.
  int32_t lowest_layer() const { return std::max(weights_.lowest_trained(), 0); }
  std::map<std::string, backend::Layout> dropout_layouts() const;

  void allocate_buffers();
  void allocate_training_buffers();
  // Where the layers begin whose buffers are those of an evaluation.
  int32_t first_passing() const { return kernels_->groups().back().first; }
  // Hidden states that an evaluation needs at once.
  int32_t hidden_count() const { return kernels_->largest_group() + 1; }
  std::vector<int64_t> late_state() const;
  void make_all_calls();
  void make_calls(size_t bucket);
  std::vector<Call> training_calls(size_t bucket, bool narrow) const;
  // Weights go to the ports that the kernel has, gradients to those named d_<port>.
  Call call(backend::Kernel& kernel, Phase phase, int32_t layer,
            std::span<const WeightPort> weights, Bindings bindings,
            std::span<const JoinedWeight> joined = {}) const;
  void bind_weights(const backend::Kernel& kernel, std::span<const WeightPort> weights,
                    std::span<const JoinedWeight> joined, Bindings& bindings, Call& call) const;
  void bind_dropout(const backend::Kernel& kernel, Bindings& bindings, Call& call) const;
  // The buffers that a layer reads and writes in a pass.
  struct LayerBuffers {
    backend::Buffer* hidden = nullptr;
    backend::Buffer* hidden_out = nullptr;
    std::vector<backend::Buffer*> taps; // by slot
  };
  LayerBuffers layer_buffers(const LayerGroup& group, int32_t layer, bool training) const;
  void bind_layer(const BlockKernels& block, const LayerGroup& group, size_t place, bool training,
                  Bindings& bindings) const;
  Call block_call(size_t bucket, Phase phase, size_t group, bool training,
                  bool narrow = false) const;
  Call head_call(const Chunk& chunk, bool training, bool narrow = false) const;
  Call embedding_call(backend::Kernel& kernel, Phase phase) const;

  uint64_t load(const Batch& batch, double seed);
  void load_positions(const Batch& batch, size_t bucket);
  void write_mask(size_t bucket);
  size_t bucket_of(int64_t parts) const;
  void renew(const Renewal& renewal, PassResult& result);
  void fill_masks(const Call& call, const DropoutMoment& moment);
  void run(std::span<Call> calls, const DropoutMoment& moment, const std::atomic<bool>& cancel,
           PassResult& result);
  void complete(std::span<const Call> calls, PassResult& result);
  void quiesce(std::span<const Call> calls) noexcept;
  PassResult pass(const Batch& batch, double seed, const DropoutMoment& moment,
                  std::vector<Call> Calls::*calls, const Renewal& renewal,
                  const std::atomic<bool>& cancel);

  backend::Device& device_;
  SessionOptions options_;
  StepWeights weights_;

  std::unique_ptr<StepKernels> kernels_;
  FlatArray norms_; // of DoRA
  // Members are destroyed from the last to the first: the thread before what it writes to.
  std::unique_ptr<Buffers> buffers_;
  std::unique_ptr<DropoutMasks> dropout_;
  std::span<float> trained_;
  std::array<std::optional<backend::StagedArray>, weight_array_count> arrays_; // by WeightArray
  std::optional<backend::StagedArray> gradients_;
  std::unique_ptr<NarrowGradients> narrow_gradients_;
  std::unique_ptr<BackgroundNorm> norm_;   // of the narrow gradients
  std::optional<BackgroundUpdate> update_; // of the trained weights and their copies
  bool updates_in_background_ = false;
  std::vector<Calls> calls_; // by bucket
};

} // namespace anet::train
