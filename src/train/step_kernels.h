// The kernels of a training step, compiled so that their ports fit together. One kernel serves all
// layers, whose weights are inputs.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "model/config.h"
#include "model/parameters.h"
#include "train/options.h"

#include <cstdint>
#include <map>
#include <memory>
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

// The kernels of the layers for one way of dividing a batch. Rows are `parts` sequences each.
struct BlockKernels {
  int64_t parts = 1;
  std::unique_ptr<backend::Kernel> forward;
  std::unique_ptr<backend::Kernel> backward;
  std::vector<std::string> taps;
  std::vector<size_t> slots; // by tap: which buffer of a layer holds it
};

// "d_<port>": the gradient of a port.
std::string gradient_port(const std::string& port);

class StepKernels {
public:
  // Allocates nothing but what the device keeps of the programs. `options` is resolved.
  StepKernels(backend::Device& device, const model::Config& config, const SessionOptions& options,
              mil::DataType dtype, const std::shared_ptr<backend::Workspace>& workspace);

  backend::Kernel& embedding_forward() const { return *embedding_forward_; }
  backend::Kernel& embedding_backward() const { return *embedding_backward_; }
  // By parts: 1, 2, 4, .. 2^length_buckets.
  std::span<const BlockKernels> blocks() const { return blocks_; }
  backend::Kernel& head(bool training, int64_t chunk) const;

  // Of the hidden states and of their gradients, [1, hidden_size, 1, positions].
  const backend::Layout& hidden_layout() const { return hidden_; }
  // The buffers that a layer's taps need, whatever the parts.
  std::span<const backend::Layout> tap_slots() const { return tap_slots_; }
  // The largest of the masks.
  const backend::Layout& mask_layout() const { return mask_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }

  // The part of the flat weights that a kernel's port is bound to.
  static backend::StagedPart weight_part(const backend::Kernel& kernel, const std::string& port,
                                         const model::Parameter& parameter);
  // All of them, in the order in which a step first needs them.
  std::vector<backend::StagedPart> weight_parts(const model::ParameterTable& parameters) const;

  size_t count() const { return all().size(); }
  KernelReport report(size_t index) const; // throws out_of_range
  backend::RunTotals totals() const;

private:
  using Layouts = std::map<std::string, backend::Layout>;
  using Entry = std::pair<const char*, const backend::Kernel*>;       // label and kernel
  using BySize = std::map<int64_t, std::unique_ptr<backend::Kernel>>; // of the chunk

  void compile_blocks(const SessionOptions& options);
  BlockKernels compile_block(const SessionOptions& options, int32_t bucket) const;
  void assign_slots(BlockKernels& block);
  void compile_head();
  void compile_embedding();
  std::unique_ptr<backend::Kernel> compile(const mil::Function& function, const char* label,
                                           backend::Role role, const Layouts& layouts,
                                           const std::vector<std::string>& accumulate) const;
  std::vector<Entry> all() const;
  backend::Layout hidden_columns(int64_t count) const;

  backend::Device& device_;
  model::Config config_;
  mil::DataType dtype_;
  int64_t positions_;
  std::shared_ptr<backend::Workspace> workspace_;
  std::vector<Chunk> chunks_;
  backend::Layout hidden_;
  backend::Layout mask_;
  std::vector<backend::Layout> tap_slots_;
  std::unique_ptr<backend::Kernel> embedding_forward_;
  std::unique_ptr<backend::Kernel> embedding_backward_;
  std::vector<BlockKernels> blocks_;
  BySize head_training_;
  BySize head_evaluation_;
};

} // namespace anet::train
