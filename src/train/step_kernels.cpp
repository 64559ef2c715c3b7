#include "train/step_kernels.h"

#include "backend/host_access.h"
#include "backend/run_totals.h"
#include "base/status.h"
#include "mil/builder.h"
#include "mil/differentiate.h"
#include "model/transformer.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace anet::train {

namespace {

using backend::CompileOptions;
using backend::Kernel;
using backend::Layout;
using backend::Role;
using backend::StagedPart;
using mil::DataType;
using mil::Shape;

// By bucket; a report keeps the pointers.
constexpr std::array<const char*, max_length_buckets + 1> forward_labels = {
    "block_forward",    "block_forward_2",  "block_forward_4", "block_forward_8",
    "block_forward_16", "block_forward_32", "block_forward_64"};
constexpr std::array<const char*, max_length_buckets + 1> backward_labels = {
    "block_backward",    "block_backward_2",  "block_backward_4", "block_backward_8",
    "block_backward_16", "block_backward_32", "block_backward_64"};

constexpr int64_t chunk_bytes = int64_t{32} << 20; // of fp32 logits

// An explicit chunk is taken literally; otherwise chunks are of equal size.
std::vector<Chunk> split_positions(int64_t positions, int64_t chunk, int64_t vocab_size) {
  int64_t size = chunk;
  if (size == 0) {
    const int64_t target = std::max<int64_t>(1, chunk_bytes / (int64_t{4} * vocab_size));
    const int64_t count = (positions + target - 1) / target;
    size = (positions + count - 1) / count;
  }
  std::vector<Chunk> chunks;
  for (int64_t begin = 0; begin < positions; begin += size)
    chunks.push_back({begin, std::min(size, positions - begin)});
  return chunks;
}

// Gradients of parameters leave a kernel in fp32, whatever it computes in: they are summed.
mil::Function widen_gradients(mil::Function function, std::span<const std::string> names) {
  std::vector<std::pair<size_t, std::string>> widened;
  for (size_t i = 0; i < function.outputs.size(); ++i) {
    mil::Value& value = function.values[static_cast<size_t>(function.outputs[i])];
    const bool gradient = std::find(names.begin(), names.end(), value.name) != names.end();
    if (!gradient || value.type.dtype == DataType::fp32) continue;
    widened.emplace_back(i, value.name);
    value.name += "_narrow";
  }
  mil::Builder builder(std::move(function));
  std::vector<mil::ValueId> outputs = builder.function().outputs;
  for (const auto& [index, name] : widened)
    outputs[index] = builder.cast(outputs[index], DataType::fp32, name);
  mil::Function result = std::move(builder).finish();
  result.outputs = std::move(outputs);
  return result;
}

const Layout& port_layout(std::span<const backend::Port> ports, const std::string& name) {
  return backend::find_port(ports, name).layout;
}

bool has_port(const mil::Function& function, const std::string& name) {
  return function.input(name) != mil::no_value || function.output(name) != mil::no_value;
}

mil::DifferentiateOptions by_inputs(std::vector<std::string> inputs,
                                    std::vector<std::string> outputs) {
  return {.with_respect_to = std::move(inputs),
          .outputs = std::move(outputs),
          .taps = mil::Taps::automatic,
          .tap_names = {}};
}

} // namespace

std::string gradient_port(const std::string& port) { return "d_" + port; }

StepKernels::StepKernels(backend::Device& device, const model::Config& config,
                         const SessionOptions& options, DataType dtype,
                         const std::shared_ptr<backend::Workspace>& workspace)
    : device_(device), config_(config), dtype_(dtype),
      positions_(int64_t{options.batch_size} * options.sequence_length), workspace_(workspace),
      chunks_(split_positions(positions_, options.loss_chunk, config.vocab_size)) {
  // The blocks do most of the work, so the layouts that they like best decide.
  compile_blocks(options);
  compile_head();
  compile_embedding();
}

// Layouts of ports that the function does not have are left out.
std::unique_ptr<Kernel> StepKernels::compile(const mil::Function& function, const char* label,
                                             Role role, const Layouts& layouts,
                                             const std::vector<std::string>& accumulate) const {
  CompileOptions options;
  options.workspace = workspace_;
  options.label = label;
  options.role = role;
  options.accumulate = accumulate;
  for (const auto& [name, layout] : layouts)
    if (has_port(function, name)) options.port_layouts[name] = layout;
  // Sums lie in flat host arrays.
  for (const std::string& name : accumulate)
    options.port_layouts[name] =
        Layout::contiguous(DataType::fp32, function.type(function.output(name)).shape);
  return device_.compile(function, options);
}

void StepKernels::compile_blocks(const SessionOptions& options) {
  for (int32_t bucket = 0; bucket <= options.length_buckets; ++bucket) {
    BlockKernels block = compile_block(options, bucket);
    if (bucket == 0) hidden_ = port_layout(block.forward->inputs(), "hidden");
    const Layout& mask = port_layout(block.forward->inputs(), "mask");
    if (bucket == 0 || mask.span_bytes() > mask_.span_bytes()) mask_ = mask;
    assign_slots(block);
    blocks_.push_back(std::move(block));
  }
}

// All that does not depend on how the rows are divided has the layouts of the first kernel.
BlockKernels StepKernels::compile_block(const SessionOptions& session, int32_t bucket) const {
  BlockKernels result;
  result.parts = int64_t{1} << bucket;
  std::vector<std::string> inputs = {"hidden"};
  std::vector<std::string> gradients;
  const model::ParameterTable parameters(config_);
  for (const model::Parameter& parameter : parameters.layer(0)) {
    inputs.push_back(parameter.port);
    gradients.push_back(gradient_port(parameter.port));
  }
  const auto attention = session.documents ? model::Attention::documents : model::Attention::causal;
  const auto block = mil::differentiate(
      model::block_function(config_, dtype_, session.batch_size * result.parts,
                            session.sequence_length / result.parts, attention),
      {.with_respect_to = inputs,
       .outputs = {"hidden_out"},
       .taps = session.activation_checkpointing ? mil::Taps::none : mil::Taps::automatic,
       .tap_names = {}});
  result.taps = block.taps;

  CompileOptions options;
  options.workspace = workspace_;
  options.label = forward_labels[static_cast<size_t>(bucket)];
  options.role = Role::forward;
  if (bucket > 0) {
    for (const backend::Port& port : blocks_.front().forward->inputs())
      if (port.name != "mask") options.port_layouts[port.name] = port.layout;
    options.port_layouts["hidden_out"] = hidden_;
    result.forward = device_.compile(block.forward, options);
  } else {
    result.forward =
        backend::compile_chained(device_, block.forward, options, "hidden", "hidden_out");
  }
  const auto& ports = result.forward->inputs();
  const Layout& hidden = port_layout(ports, "hidden");
  Layouts layouts = {{"hidden", hidden}, {"d_hidden", hidden}, {"d_hidden_out", hidden}};
  for (const std::string& tap : result.taps)
    layouts[tap] = port_layout(result.forward->outputs(), tap);
  for (const char* table : {"rope_cos", "rope_sin", "mask"})
    layouts[table] = port_layout(ports, table);
  if (bucket > 0)
    for (const backend::Port& port : blocks_.front().backward->inputs())
      if (std::find(inputs.begin() + 1, inputs.end(), port.name) != inputs.end())
        layouts[port.name] = port.layout;
  result.backward =
      compile(widen_gradients(block.backward, gradients),
              backward_labels[static_cast<size_t>(bucket)], Role::backward, layouts, gradients);
  return result;
}

// Large taps share buffers with large ones, whatever they are called.
void StepKernels::assign_slots(BlockKernels& block) {
  const auto layout_of = [&](size_t tap) -> const Layout& {
    return port_layout(block.forward->outputs(), block.taps[tap]);
  };
  std::vector<size_t> order(block.taps.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layout_of(a).span_bytes() > layout_of(b).span_bytes();
  });
  block.slots.resize(block.taps.size());
  std::vector<bool> taken(tap_slots_.size(), false);
  for (const size_t tap : order) {
    const Layout& layout = layout_of(tap);
    size_t slot = 0;
    while (slot < taken.size() && (taken[slot] || tap_slots_[slot].dtype != layout.dtype)) ++slot;
    if (slot == taken.size()) {
      taken.push_back(false);
      tap_slots_.push_back(layout);
    }
    taken[slot] = true;
    if (tap_slots_[slot].span_bytes() < layout.span_bytes()) tap_slots_[slot] = layout;
    block.slots[tap] = slot;
  }
}

Layout StepKernels::hidden_columns(int64_t count) const {
  Layout columns = hidden_;
  columns.shape.back() = count;
  return columns;
}

// The head works on columns of the hidden states, in place.
void StepKernels::compile_head() {
  const std::vector<std::string> gradients = {"d_final_norm_weight", "d_head_weight"};
  std::vector<std::string> sums = gradients;
  sums.insert(sums.begin(), "loss");
  for (const Chunk& chunk : chunks_) {
    if (head_training_.contains(chunk.size)) continue;
    const Shape row = {1, 1, 1, chunk.size};
    const Layouts layouts = {{"hidden", hidden_columns(chunk.size)},
                             {"d_hidden", hidden_columns(chunk.size)},
                             {"targets", Layout::contiguous(DataType::int32, row)},
                             {"target_weight", Layout::contiguous(DataType::fp32, row)},
                             {"losses", Layout::contiguous(DataType::fp32, row)},
                             {"d_loss", Layout::contiguous(DataType::fp32, {1})}};
    const mil::Function loss = model::loss_function(config_, dtype_, chunk.size);
    const mil::Function gradient = widen_gradients(
        mil::value_and_gradient(
            loss, by_inputs({"hidden", "final_norm_weight", "head_weight"}, {"loss"})),
        gradients);
    head_training_[chunk.size] = compile(gradient, "head_training", Role::loss, layouts, sums);
    const mil::Function losses = model::token_loss_function(config_, dtype_, chunk.size);
    head_evaluation_[chunk.size] = compile(losses, "head_evaluation", Role::loss, layouts, {});
  }
}

void StepKernels::compile_embedding() {
  const std::vector<std::string> gradients = {"d_embedding_weight"};
  const auto embedding = mil::differentiate(model::embedding_function(config_, dtype_, positions_),
                                            by_inputs({"embedding_weight"}, {}));
  Layouts layouts = {{"hidden", hidden_}, {"d_hidden", hidden_}};
  // Tied to the head, the matrix is staged once, in the layout that the head's products like.
  const Kernel& head = *head_training_.begin()->second;
  const auto matrix = backend::as_matrix(backend::find_port(head.inputs(), "head_weight").layout);
  if (config_.tie_embeddings && matrix) layouts["embedding_weight"] = *matrix;
  embedding_forward_ = compile(embedding.forward, "embedding_forward", Role::forward, layouts, {});
  embedding_backward_ = compile(widen_gradients(embedding.backward, gradients),
                                "embedding_backward", Role::backward, layouts, gradients);
}

Kernel& StepKernels::head(bool training, int64_t chunk) const {
  const BySize& kernels = training ? head_training_ : head_evaluation_;
  const auto found = kernels.find(chunk);
  if (found == kernels.end())
    fail(Status::internal, "expected a kernel for chunks of ", chunk, " positions, seen none");
  return *found->second;
}

StagedPart StepKernels::weight_part(const Kernel& kernel, const std::string& port,
                                    const model::Parameter& parameter) {
  return {parameter.offset, backend::find_port(kernel.inputs(), port).layout};
}

std::vector<StagedPart> StepKernels::weight_parts(const model::ParameterTable& parameters) const {
  std::vector<StagedPart> parts = {
      weight_part(*embedding_forward_, "embedding_weight", parameters.embedding())};
  const auto add_layer = [&](const Kernel& kernel, int32_t layer) {
    for (const model::Parameter& parameter : parameters.layer(layer))
      for (const backend::Port& port : kernel.inputs())
        if (port.name == parameter.port) parts.push_back({parameter.offset, port.layout});
  };
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    for (const BlockKernels& block : blocks_) add_layer(*block.forward, layer);
  for (const BySize* heads : {&head_training_, &head_evaluation_})
    for (const auto& [size, kernel] : *heads) {
      parts.push_back(weight_part(*kernel, "final_norm_weight", parameters.final_norm()));
      parts.push_back(weight_part(*kernel, "head_weight", parameters.head()));
    }
  for (int32_t layer = config_.layer_count; layer-- > 0;)
    for (const BlockKernels& block : blocks_) add_layer(*block.backward, layer);
  return parts;
}

std::vector<StepKernels::Entry> StepKernels::all() const {
  std::vector<Entry> kernels = {{"embedding_forward", embedding_forward_.get()}};
  for (size_t i = 0; i < blocks_.size(); ++i)
    kernels.emplace_back(forward_labels[i], blocks_[i].forward.get());
  for (const auto& [size, kernel] : head_training_)
    kernels.emplace_back("head_training", kernel.get());
  for (size_t i = 0; i < blocks_.size(); ++i)
    kernels.emplace_back(backward_labels[i], blocks_[i].backward.get());
  kernels.emplace_back("embedding_backward", embedding_backward_.get());
  for (const auto& [size, kernel] : head_evaluation_)
    kernels.emplace_back("head_evaluation", kernel.get());
  return kernels;
}

KernelReport StepKernels::report(size_t index) const {
  const auto kernels = all();
  if (index >= kernels.size())
    fail(Status::out_of_range, "expected the index of a kernel below ", kernels.size(), ", seen ",
         index);
  const auto& [label, kernel] = kernels[index];
  return {label, kernel->placement(), kernel->totals()};
}

backend::RunTotals StepKernels::totals() const {
  backend::RunTotals sum;
  for (const auto& [label, kernel] : all()) backend::add_totals(sum, kernel->totals());
  return sum;
}

} // namespace anet::train
