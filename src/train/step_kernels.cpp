#include "train/step_kernels.h"

#include "backend/host_access.h"
#include "backend/run_totals.h"
#include "base/status.h"

#include <algorithm>
#include <numeric>
#include <utility>

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
constexpr std::array<const char*, max_length_buckets + 1> evaluation_labels = {
    "block_evaluation",    "block_evaluation_2",  "block_evaluation_4", "block_evaluation_8",
    "block_evaluation_16", "block_evaluation_32", "block_evaluation_64"};
constexpr std::array<const char*, max_length_buckets + 1> backward_labels = {
    "block_backward",    "block_backward_2",  "block_backward_4", "block_backward_8",
    "block_backward_16", "block_backward_32", "block_backward_64"};
constexpr std::array<const char*, max_length_buckets + 1> narrow_backward_labels = {
    "block_backward_narrow",   "block_backward_narrow_2",  "block_backward_narrow_4",
    "block_backward_narrow_8", "block_backward_narrow_16", "block_backward_narrow_32",
    "block_backward_narrow_64"};

// Programs that the head and the embedding may take.
constexpr int64_t programs_beside_layers = 8;

// Layers that a program of constants may hold: an evaluation costs a dispatch, whatever it does
// (ane-facts.md 7.1, R). With more there would be little left to save.
constexpr int32_t max_group = 4;

// Every chunk reads the head, and its products do 2 FLOPs a weight and position: 128 for each byte
// of fp32 with this many positions. With fewer they would wait for memory.
constexpr int64_t least_chunk = 256;

// An explicit chunk is taken literally; otherwise chunks are of equal size.
std::vector<Chunk> split_positions(int64_t positions, int64_t chunk, int64_t vocab_size,
                                   int64_t logit_bytes) {
  int64_t size = chunk;
  if (size == 0) {
    const int64_t target = std::max(least_chunk, logit_bytes / (int64_t{4} * vocab_size));
    const int64_t count = (positions + target - 1) / target;
    size = (positions + count - 1) / count;
  }
  std::vector<Chunk> chunks;
  for (int64_t begin = 0; begin < positions; begin += size)
    chunks.push_back({begin, std::min(size, positions - begin)});
  return chunks;
}

const Layout& port_layout(std::span<const backend::Port> ports, const std::string& name) {
  return backend::find_port(ports, name).layout;
}

bool has_port(const mil::Function& function, const std::string& name) {
  return function.input(name) != mil::no_value || function.output(name) != mil::no_value;
}

bool is_table(const std::string& port) {
  return port == "hidden" || port == "rope_cos" || port == "rope_sin" || port.ends_with("_dropout");
}

// Not on the host instead, which has its part in backward: it adds gradients up.
bool runs_on(const backend::Device& device, const BlockKernels& block) {
  const std::string& name = device.capabilities().name;
  return block.forward->placement().where == name &&
         (!block.backward || block.backward->placement().where.starts_with(name));
}

} // namespace

StepKernels::StepKernels(backend::Device& device, const StepWeights& weights,
                         const SessionOptions& options, DataType dtype)
    : device_(device), weights_(weights), dtype_(dtype),
      positions_(int64_t{options.batch_size} * options.sequence_length),
      workspace_(device.make_workspace()),
      chunks_(split_positions(positions_, options.loss_chunk, weights.config().vocab_size,
                              device.capabilities().logit_bytes)) {
  // The blocks do most of the work, so the layouts that they like best decide.
  compile_blocks(options);
  compile_head();
  compile_embedding();
}

PartShape StepKernels::shape_of(int32_t layer) const {
  const int32_t lowest = weights_.lowest_trained();
  return {.adapter = weights_.shape(layer),
          .trained = weights_.trained_ports(layer),
          .backward = layer >= lowest,
          .hidden_gradient = layer > lowest,
          .head_rows = layer == weights_.head() ? weights_.head_rows() : std::vector<int64_t>(),
          .wide_table = layer == StepWeights::embedding && reads_wide_table(),
          .folded = weights_.folded_norms(layer, dtype_),
          .joinable = weights_.joinable_ports(layer)};
}

// A few rows of the fp32 weights, in place: an fp16 copy of them all would come first in every
// step. A bf16 one is written with the weights.
bool StepKernels::reads_wide_table() const {
  return dtype_ == DataType::fp16 && device_.capabilities().host_memory &&
         !weights_.has_constants(StepWeights::embedding);
}

// Layouts of ports that the function does not have are left out. The norm of the gradients tells
// what is infinite in `narrow` ones.
std::unique_ptr<Kernel> StepKernels::compile(const mil::Function& function, const char* label,
                                             Role role, const Layouts& layouts,
                                             const std::vector<std::string>& accumulate,
                                             const std::vector<std::string>& narrow,
                                             const std::vector<std::string>& unwatched) const {
  CompileOptions options;
  options.workspace = workspace_;
  options.label = label;
  options.role = role;
  options.accumulate = accumulate;
  options.unwatched = unwatched;
  options.unwatched.insert(options.unwatched.end(), narrow.begin(), narrow.end());
  for (const auto& [name, layout] : layouts)
    if (has_port(function, name)) options.port_layouts[name] = layout;
  // Sums lie in flat host arrays.
  for (const std::string& name : accumulate)
    options.port_layouts[name] =
        Layout::contiguous(DataType::fp32, function.type(function.output(name)).shape);
  for (const std::string& name : narrow)
    options.port_layouts[name] =
        Layout::contiguous(dtype_, function.type(function.output(name)).shape);
  return device_.compile(function, options);
}

// fp16 programs stay as the ANE runs them, op by op.
model::AttentionForm StepKernels::attention_form() const {
  return device_.capabilities().fused_attention && dtype_ != DataType::fp16
             ? model::AttentionForm::fused
             : model::AttentionForm::products;
}

// An adapter's are too small to matter.
bool StepKernels::returns_narrow_gradients() const {
  return device_.capabilities().narrow_gradients && dtype_ == DataType::fp16 && !weights_.adapter();
}

bool StepKernels::reads_transposed_weights() const {
  return device_.capabilities().transposed_parameters && !weights_.adapter();
}

const StepKernels::NamedFunctions&
StepKernels::functions_of(const SessionOptions& options, const PartShape& shape,
                          std::vector<NamedFunctions>& known) const {
  for (const NamedFunctions& functions : known)
    if (functions.shape == shape) return functions;
  NamedFunctions& functions = known.emplace_back();
  functions.shape = shape;
  for (int32_t bucket = 0; bucket <= options.length_buckets; ++bucket) {
    const int64_t parts = int64_t{1} << bucket;
    const BlockSizes sizes = {
        .batch = options.batch_size * parts,
        .sequence = options.sequence_length / parts,
        .attention = options.documents ? model::Attention::documents : model::Attention::causal,
        .taps = options.activation_checkpointing ? mil::Taps::none : mil::Taps::automatic,
        .tap_costs = device_.capabilities().tap_costs,
        .transposed_operands = device_.capabilities().transposed_operands,
        .form = attention_form(),
        .transposed_weights = reads_transposed_weights(),
        .narrow_gradients = returns_narrow_gradients()};
    functions.buckets.push_back(block_functions(weights_.config(), dtype_, sizes, shape));
  }
  return functions;
}

// Masks of dropout are one layer's.
bool StepKernels::joins(int32_t layer) const {
  return device_.capabilities().prefers_constants && weights_.has_constants(layer) &&
         !weights_.shape(layer).dropout;
}

// Runs of layers that join, cut where the backward pass ends. What is left over comes first, so
// that the last group, whose buffers are those of an evaluation, is as large as any of its run.
std::vector<LayerGroup> StepKernels::group_layers(int32_t size) const {
  const int32_t layers = weights_.config().layer_count, lowest = weights_.lowest_trained();
  std::vector<LayerGroup> groups;
  for (int32_t first = 0; first < layers;) {
    int32_t end = first + 1;
    while (joins(first) && end < layers && joins(end) && end != lowest) ++end;
    const int32_t rest = (end - first) % size;
    const int32_t count = joins(first) ? (rest > 0 ? rest : size) : 1;
    groups.push_back({.first = first, .count = count});
    first += count;
  }
  return groups;
}

// As many layers together as the device takes in one program.
void StepKernels::compile_blocks(const SessionOptions& options) {
  for (int32_t size = max_group; size > 0; --size) {
    groups_ = group_layers(size);
    if (compile_groups(options)) return;
    forget_blocks();
  }
}

void StepKernels::forget_blocks() {
  layers_.clear();
  common_.clear();
  masks_.clear();
  tap_slots_.clear();
  workspace_ = device_.make_workspace(); // the old one has grown
}

// False when the device does not take a group, the first of so many layers.
bool StepKernels::compile_groups(const SessionOptions& options) {
  std::vector<NamedFunctions> known;
  int32_t tried = 1;
  for (LayerGroup& group : groups_) {
    const bool shared = !weights_.has_constants(group.first);
    const PartShape shape = shared ? shape_of(group.first) : PartShape();
    const auto same = [&](const LayerKernels& other) {
      return shared && other.shared && other.shape == shape;
    };
    const auto found = std::find_if(layers_.begin(), layers_.end(), same);
    group.kernels = static_cast<size_t>(found - layers_.begin());
    if (found != layers_.end()) continue;
    const int64_t left = device_.programs_left();
    const GroupFunctions functions = functions_of(options, group, known);
    if (group.count > 1 && !has_ports_for(functions.buckets.front())) return false;
    layers_.push_back(compile_group(functions));
    layers_.back().shape = shape;
    layers_.back().shared = shared;
    if (group.count > tried && !runs_on(device_, layers_.back().buckets.front())) return false;
    tried = std::max(tried, group.count);
    if (!shared) check_budget(group, left);
  }
  return true;
}

// As soon as one group has shown what it takes.
void StepKernels::check_budget(const LayerGroup& group, int64_t left_before) const {
  if (!weights_.can_avoid_constants()) return;
  const int64_t left = device_.programs_left();
  const int64_t others = &groups_.back() - &group;
  const int64_t needed = others * (left_before - left) + programs_beside_layers;
  if (needed > left)
    fail(Status::compile_budget, "expected at most ", left, " more programs, seen ", needed,
         " for ", weights_.config().layer_count - group.end(),
         " more layers with weights of their own baked in");
}

// With the constants of each layer.
StepKernels::GroupFunctions StepKernels::functions_of(const SessionOptions& options,
                                                      const LayerGroup& group,
                                                      std::vector<NamedFunctions>& known) const {
  std::vector<std::vector<BlockFunctions>> buckets(static_cast<size_t>(options.length_buckets) + 1);
  GroupFunctions result;
  for (int32_t layer = group.first; layer < group.end(); ++layer) {
    const PartShape shape = shape_of(layer);
    const NamedFunctions& functions = functions_of(options, shape, known);
    const Constants constants = weights_.constants(layer, dtype_, shape.folded);
    const auto place = static_cast<size_t>(layer - group.first);
    for (size_t bucket = 0; bucket < buckets.size(); ++bucket)
      buckets[bucket].push_back(bound(functions.buckets[bucket], constants));
    for (const std::string& port : shape.joinable)
      result.matrices.emplace(placed_port(place, port), std::get<mil::Literal>(constants.at(port)));
  }
  for (std::vector<BlockFunctions>& layers : buckets)
    result.buckets.push_back(group.count == 1 ? std::move(layers.front()) : chain_blocks(layers));
  return result;
}

bool StepKernels::has_ports_for(const BlockFunctions& functions) const {
  const int64_t most = device_.capabilities().max_ports;
  const auto fits = [&](const mil::Function& function) {
    return std::cmp_less_equal(std::max(function.inputs.size(), function.outputs.size()), most);
  };
  return most == 0 ||
         (fits(functions.forward) && (!functions.backward || fits(*functions.backward)));
}

StepKernels::LayerKernels StepKernels::compile_group(const GroupFunctions& functions) {
  LayerKernels kernels;
  Layouts weights; // the first kernel decides
  for (const BlockFunctions& bucket : functions.buckets) {
    kernels.buckets.push_back(compile_block(kernels.buckets.size(), bucket, weights));
    assign_slots(kernels.buckets.back());
  }
  for (const mil::JoinedInput& input : functions.buckets.front().joined)
    kernels.joined.emplace_back(device_, input, functions.matrices.at(input.matrix),
                                weights.at(input.name));
  return kernels;
}

// The first kernel of all, whose layouts of shared ports the others take over.
std::unique_ptr<Kernel> StepKernels::compile_first(const mil::Function& forward) {
  CompileOptions options;
  options.workspace = workspace_;
  options.label = forward_labels.front();
  options.role = Role::forward;
  return backend::compile_chained(device_, forward, options, "hidden", "hidden_out");
}

BlockKernels StepKernels::compile_block(size_t at, const BlockFunctions& functions,
                                        Layouts& weights) {
  BlockKernels result;
  result.parts = int64_t{1} << at;
  result.taps = functions.taps;
  const auto layouts = [&] {
    Layouts all = common_;
    all.insert(weights.begin(), weights.end());
    if (at < masks_.size()) all["mask"] = masks_[at];
    for (const char* port : {"hidden_out", "d_hidden", "d_hidden_out"})
      all[port] = common_.at("hidden");
    for (size_t place = 1; place < size_t{max_group}; ++place)
      all[placed_port(place, "hidden")] = common_.at("hidden");
    return all;
  };
  result.forward = common_.empty() ? compile_first(functions.forward)
                                   : compile(functions.forward, forward_labels[at], Role::forward,
                                             layouts(), {});
  const auto& ports = result.forward->inputs();
  if (at == masks_.size()) masks_.push_back(port_layout(ports, "mask"));
  for (const backend::Port& port : ports)
    if (port.name != "mask")
      (is_table(port.name) ? common_ : weights).emplace(port.name, port.layout);
  if (functions.evaluation)
    result.evaluation =
        compile(*functions.evaluation, evaluation_labels[at], Role::forward, layouts(), {});
  if (functions.backward) {
    Layouts all = layouts();
    for (const BlockTap& tap : result.taps)
      all[tap.port] = port_layout(result.forward->outputs(), tap.port);
    const auto gradients = [](const mil::Function& function) {
      std::vector<std::string> names;
      for (const mil::ValueId output : function.outputs)
        if (const std::string& name = function.value(output).name; name != "d_hidden")
          names.push_back(name);
      return names;
    };
    result.backward = compile(*functions.backward, backward_labels[at], Role::backward, all,
                              gradients(*functions.backward));
    for (const mil::JoinedInput& input : functions.joined)
      if (has_port(*functions.backward, input.name))
        weights.emplace(input.name, port_layout(result.backward->inputs(), input.name));
    if (functions.narrow_backward)
      result.narrow_backward =
          compile(*functions.narrow_backward, backward_labels[at], Role::backward, all, {},
                  gradients(*functions.narrow_backward));
  }
  return result;
}

// Large taps share buffers with large ones, whatever they are called.
void StepKernels::assign_slots(BlockKernels& block) {
  const auto layout_of = [&](size_t tap) -> const Layout& {
    return port_layout(block.forward->outputs(), block.taps[tap].port);
  };
  std::vector<size_t> order(block.taps.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layout_of(a).span_bytes() > layout_of(b).span_bytes();
  });
  block.slots.resize(block.taps.size());
  std::vector<std::vector<bool>> taken_by_place(max_group);
  for (const size_t tap : order) {
    const Layout& layout = layout_of(tap);
    std::vector<bool>& taken = taken_by_place[block.taps[tap].place];
    taken.resize(tap_slots_.size(), false);
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

int32_t StepKernels::largest_group() const {
  int32_t largest = 1;
  for (const LayerGroup& group : groups_) largest = std::max(largest, group.count);
  return largest;
}

std::vector<WeightPort> StepKernels::weight_ports(const LayerGroup& group) const {
  std::vector<WeightPort> ports;
  for (int32_t layer = group.first; layer < group.end(); ++layer)
    for (WeightPort& weight : weights_.ports(layer)) {
      weight.port = placed_port(static_cast<size_t>(layer - group.first), weight.port);
      ports.push_back(std::move(weight));
    }
  return ports;
}

std::vector<size_t> StepKernels::slots_of(const LayerGroup& group, int32_t layer) const {
  std::set<size_t> slots;
  for (const BlockKernels& block : blocks(group))
    for (size_t tap = 0; tap < block.taps.size(); ++tap)
      if (block.taps[tap].place == static_cast<size_t>(layer - group.first))
        slots.insert(block.slots[tap]);
  return {slots.begin(), slots.end()};
}

const Layout& StepKernels::mask_layout() const {
  return *std::max_element(masks_.begin(), masks_.end(), [](const Layout& a, const Layout& b) {
    return a.span_bytes() < b.span_bytes();
  });
}

Layout StepKernels::hidden_columns(int64_t count) const {
  Layout columns = hidden_layout();
  columns.shape.back() = count;
  return columns;
}

// The head works on columns of the hidden states, in place.
void StepKernels::compile_head() {
  const PartShape part = shape_of(weights_.head());
  const Constants constants = weights_.constants(weights_.head(), dtype_);
  std::vector<std::string> logits; // the loss tells
  for (size_t i = 0; i < part.head_rows.size(); ++i) logits.push_back(model::head_part_logits(i));
  std::vector<std::string> sums = gradient_ports(part.trained);
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
    const auto training = head_training_function(weights_.config(), dtype_, chunk.size, part);
    head_training_[chunk.size] =
        compile(bound(training, constants), "head_training", Role::loss, layouts, sums, {}, logits);
    if (returns_narrow_gradients() && chunks_.size() == 1 && !part.trained.empty()) {
      std::vector<std::string> narrow;
      for (const std::string& port : part.trained) narrow.push_back(narrow_gradient_port(port));
      const auto function =
          head_training_function(weights_.config(), dtype_, chunk.size, part, true);
      narrow_head_ = compile(bound(function, constants), "head_training", Role::loss, layouts,
                             {"loss"}, narrow, logits);
    }
    const auto losses = head_evaluation_function(weights_.config(), dtype_, chunk.size, part);
    head_evaluation_[chunk.size] =
        compile(bound(losses, constants), "head_evaluation", Role::loss, layouts, {}, {}, logits);
  }
}

void StepKernels::compile_embedding() {
  const PartShape part = shape_of(StepWeights::embedding);
  const auto functions = embedding_functions(weights_.config(), dtype_, positions_, part);
  const Constants constants = weights_.constants(StepWeights::embedding, dtype_);
  const Layouts layouts = {{"hidden", hidden_layout()}, {"d_hidden", hidden_layout()}};
  embedding_forward_ =
      compile(bound(functions.forward, constants), "embedding_forward", Role::forward, layouts, {});
  if (functions.backward)
    embedding_backward_ = compile(bound(*functions.backward, constants), "embedding_backward",
                                  Role::backward, layouts, gradient_ports(part.trained));
}

Kernel& StepKernels::head(bool training, int64_t chunk) const {
  const BySize& kernels = training ? head_training_ : head_evaluation_;
  const auto found = kernels.find(chunk);
  if (found == kernels.end())
    fail(Status::internal, "expected a kernel for chunks of ", chunk, " positions, seen none");
  return *found->second;
}

uint64_t StepKernels::joined_extra_bytes() const {
  uint64_t bytes = 0;
  for (const LayerKernels& layer : layers_)
    for (const JoinedWeight& joined : layer.joined) bytes += joined.extra_bytes();
  return bytes;
}

std::optional<StagedPart> part_of(const WeightPort& weight, const backend::Port& port,
                                  std::span<const JoinedWeight> joined) {
  for (const JoinedWeight& candidate : joined)
    if (candidate.port() == port.name) return candidate.part_of(weight);
  if (port.name == weight.port) return StagedPart{weight.offset, port.layout};
  if (port.name == transposed_port(weight.port))
    return StagedPart{weight.offset, port.layout, true};
  return std::nullopt;
}

std::vector<StagedPart> StepKernels::weight_parts(WeightArray array) const {
  std::vector<StagedPart> parts;
  const auto add = [&](const Kernel* kernel, const std::vector<WeightPort>& weights,
                       std::span<const JoinedWeight> joined = {}) {
    if (kernel == nullptr) return;
    for (const WeightPort& weight : weights)
      for (const backend::Port& port : kernel->inputs())
        if (const auto part = part_of(weight, port, joined); part && weight.array == array)
          parts.push_back(*part);
  };
  add(embedding_forward_.get(), weights_.ports(StepWeights::embedding));
  for (const LayerGroup& group : groups_)
    for (const BlockKernels& block : blocks(group)) {
      add(block.forward.get(), weight_ports(group), joined_weights(group));
      add(block.evaluation.get(), weight_ports(group), joined_weights(group));
    }
  for (const BySize* heads : {&head_training_, &head_evaluation_})
    for (const auto& [size, kernel] : *heads) add(kernel.get(), weights_.ports(weights_.head()));
  add(narrow_head(), weights_.ports(weights_.head()));
  for (size_t i = groups_.size(); i-- > 0;)
    for (const BlockKernels& block : blocks(groups_[i])) {
      add(block.backward.get(), weight_ports(groups_[i]), joined_weights(groups_[i]));
      add(block.narrow_backward.get(), weight_ports(groups_[i]));
    }
  add(embedding_backward_.get(), weights_.ports(StepWeights::embedding));
  return parts;
}

std::set<int64_t> StepKernels::narrow_gradients() const {
  std::set<int64_t> offsets;
  const auto add = [&](const Kernel* kernel, const std::vector<WeightPort>& weights) {
    if (kernel == nullptr) return;
    for (const WeightPort& weight : weights)
      for (const backend::Port& port : kernel->outputs())
        if (port.name == narrow_gradient_port(weight.port)) offsets.insert(weight.gradient);
  };
  for (const LayerGroup& group : groups_)
    add(blocks(group).front().narrow_backward.get(), weight_ports(group));
  add(narrow_head(), weights_.ports(weights_.head()));
  return offsets;
}

std::vector<StepKernels::Entry> StepKernels::all() const {
  std::vector<Entry> kernels = {{"embedding_forward", embedding_forward_.get()}};
  const auto add_blocks = [&](const auto& labels, auto member) {
    for (const LayerKernels& layer : layers_)
      for (size_t i = 0; i < layer.buckets.size(); ++i)
        kernels.emplace_back(labels[i], (layer.buckets[i].*member).get());
  };
  add_blocks(forward_labels, &BlockKernels::forward);
  for (const auto& [size, kernel] : head_training_)
    kernels.emplace_back("head_training", kernel.get());
  kernels.emplace_back("head_training_narrow", narrow_head());
  add_blocks(backward_labels, &BlockKernels::backward);
  add_blocks(narrow_backward_labels, &BlockKernels::narrow_backward);
  kernels.emplace_back("embedding_backward", embedding_backward_.get());
  add_blocks(evaluation_labels, &BlockKernels::evaluation);
  for (const auto& [size, kernel] : head_evaluation_)
    kernels.emplace_back("head_evaluation", kernel.get());
  std::erase_if(kernels, [](const Entry& entry) { return entry.second == nullptr; });
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
