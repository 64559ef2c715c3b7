// The kernels of a training step, compiled so that their ports fit together. One kernel serves all
// layers of equal shape, whose weights are inputs; layers with constants have kernels of their own,
// several of them together where the device likes that.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "train/joined_weight.h"
#include "train/options.h"
#include "train/step_functions.h"
#include "train/step_weights.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace anet::train {

// What a kernel is, where it runs and what it has done since it was compiled.
struct KernelReport {
  const char* label = ""; // lives for ever
  backend::Placement placement;
  backend::RunTotals totals;
};

// Columns of the hidden states whose logits are in memory at once.
struct Chunk {
  int64_t begin = 0;
  int64_t size = 0;
};

// Consecutive layers that share kernels, because these run them all.
struct LayerGroup {
  int32_t first = 0;
  int32_t count = 1;
  size_t kernels = 0; // which of the plan's
  int32_t end() const { return first + count; }
};

// The kernels of a group for one way of dividing a batch. Rows are `parts` sequences each.
struct BlockKernels {
  int64_t parts = 1;
  std::unique_ptr<backend::Kernel> forward;
  std::unique_ptr<backend::Kernel> evaluation; // null: forward evaluates as well
  std::unique_ptr<backend::Kernel> backward;   // null: nothing is trained here or below
  // The same, but gradients leave it in fp16 and are added to nothing; null: the device or the
  // precision has none of it.
  std::unique_ptr<backend::Kernel> narrow_backward;
  std::vector<BlockTap> taps;
  std::vector<size_t> slots; // by tap: which buffer of its layer holds it

  backend::Kernel& evaluating() const { return evaluation ? *evaluation : *forward; }
};

// What a port of a kernel reads of a weight; nullopt: nothing.
std::optional<backend::StagedPart> part_of(const WeightPort& weight, const backend::Port& port,
                                           std::span<const JoinedWeight> joined);

class StepKernels {
public:
  using Layouts = std::map<std::string, backend::Layout>; // by port

  // Allocates nothing but what the device keeps of the programs, and joined weights. `options` is
  // resolved. Throws compile_budget when constants take more programs than are left but could be
  // ports.
  StepKernels(backend::Device& device, const StepWeights& weights, const SessionOptions& options,
              mil::DataType dtype);

  // Of all kernels, which run one after another.
  backend::Workspace& workspace() const { return *workspace_; }
  backend::Kernel& embedding_forward() const { return *embedding_forward_; }
  backend::Kernel* embedding_backward() const { return embedding_backward_.get(); }
  // Of all layers, from the first to the last.
  std::span<const LayerGroup> groups() const { return groups_; }
  int32_t largest_group() const;
  // By parts: 1, 2, 4, .. 2^length_buckets.
  std::span<const BlockKernels> blocks(const LayerGroup& group) const {
    return layers_[group.kernels].buckets;
  }
  // The ports of a group's weights, which are those of its layers, placed.
  std::vector<WeightPort> weight_ports(const LayerGroup& group) const;
  // Those of its ports that read a frozen weight and a trained one.
  std::span<const JoinedWeight> joined_weights(const LayerGroup& group) const {
    return layers_[group.kernels].joined;
  }
  uint64_t joined_extra_bytes() const; // beyond the constants of as many programs
  backend::Kernel& head(bool training, int64_t chunk) const;
  // The training one with narrow gradients, for a head in one chunk; null: there is none.
  backend::Kernel* narrow_head() const { return narrow_head_.get(); }

  // Of the hidden states and of their gradients, [1, hidden_size, 1, positions].
  const backend::Layout& hidden_layout() const { return common_.at("hidden"); }
  // Ports that all layers share: hidden states, tables of angles, masks of dropout.
  const Layouts& common_layouts() const { return common_; }
  // The buffers that the taps need, whatever the layer and the parts.
  std::span<const backend::Layout> tap_slots() const { return tap_slots_; }
  // Those of a layer that the kernels of its group use.
  std::vector<size_t> slots_of(const LayerGroup& group, int32_t layer) const;
  // The largest of the masks.
  const backend::Layout& mask_layout() const;
  const std::vector<Chunk>& chunks() const { return chunks_; }

  // The parts of a flat array that ports read, in the order in which a step first needs them.
  std::vector<backend::StagedPart> weight_parts(WeightArray array) const;
  // The offsets of the gradients that kernels return in fp16.
  std::set<int64_t> narrow_gradients() const;

  size_t count() const { return all().size(); }
  KernelReport report(size_t index) const; // throws out_of_range
  backend::RunTotals totals() const;

private:
  using Entry = std::pair<const char*, const backend::Kernel*>;       // label and kernel
  using BySize = std::map<int64_t, std::unique_ptr<backend::Kernel>>; // of the chunk

  // Of one layer, of several alike, or of a group.
  struct LayerKernels {
    PartShape shape;
    bool shared = true;
    std::vector<BlockKernels> buckets;
    std::vector<JoinedWeight> joined;
  };
  // By bucket, and the frozen matrices of what is joined, by port.
  struct GroupFunctions {
    std::vector<BlockFunctions> buckets;
    std::map<std::string, mil::Literal> matrices;
  };
  struct NamedFunctions {
    PartShape shape;
    std::vector<BlockFunctions> buckets;
  };

  PartShape shape_of(int32_t layer) const;
  void compile_blocks(const SessionOptions& options);
  std::vector<LayerGroup> group_layers(int32_t size) const;
  bool joins(int32_t layer) const;
  bool compile_groups(const SessionOptions& options);
  void forget_blocks();
  void check_budget(const LayerGroup& group, int64_t left_before) const;
  GroupFunctions functions_of(const SessionOptions& options, const LayerGroup& group,
                              std::vector<NamedFunctions>& known) const;
  bool has_ports_for(const BlockFunctions& functions) const;
  LayerKernels compile_group(const GroupFunctions& functions);
  BlockKernels compile_block(size_t at, const BlockFunctions& functions, Layouts& weights);
  std::unique_ptr<backend::Kernel> compile_first(const mil::Function& forward);
  model::AttentionForm attention_form() const;
  bool returns_narrow_gradients() const;
  bool reads_transposed_weights() const;
  bool reads_wide_table() const;
  const NamedFunctions& functions_of(const SessionOptions& options, const PartShape& shape,
                                     std::vector<NamedFunctions>& known) const;
  void assign_slots(BlockKernels& block);
  void compile_head();
  void compile_embedding();
  std::unique_ptr<backend::Kernel> compile(const mil::Function& function, const char* label,
                                           backend::Role role, const Layouts& layouts,
                                           const std::vector<std::string>& accumulate,
                                           const std::vector<std::string>& narrow = {},
                                           const std::vector<std::string>& unwatched = {}) const;
  std::vector<Entry> all() const;
  backend::Layout hidden_columns(int64_t count) const;

  backend::Device& device_;
  const StepWeights& weights_;
  mil::DataType dtype_;
  int64_t positions_;
  std::shared_ptr<backend::Workspace> workspace_;
  std::vector<Chunk> chunks_;
  Layouts common_;
  std::vector<backend::Layout> masks_; // by bucket
  std::vector<backend::Layout> tap_slots_;
  std::unique_ptr<backend::Kernel> embedding_forward_;
  std::unique_ptr<backend::Kernel> embedding_backward_;
  std::vector<LayerKernels> layers_;
  std::vector<LayerGroup> groups_;
  BySize head_training_;
  std::unique_ptr<backend::Kernel> narrow_head_;
  BySize head_evaluation_;
};

} // namespace anet::train
