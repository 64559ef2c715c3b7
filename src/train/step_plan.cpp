#include "train/step_plan.h"

#include "backend/host_access.h"
#include "io/dataset.h"
#include "mil/builder.h"
#include "mil/differentiate.h"
#include "model/transformer.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace anet::train {

namespace {

using backend::Buffer;
using backend::CompileOptions;
using backend::Kernel;
using backend::Layout;
using backend::StagedArray;
using backend::View;
using mil::DataType;
using mil::Shape;

constexpr int64_t chunk_bytes = int64_t{32} << 20; // of fp32 logits

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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

std::string gradient_port(const std::string& port) { return "d_" + port; }

const Layout& port_layout(std::span<const backend::Port> ports, const std::string& name) {
  return backend::find_port(ports, name).layout;
}

} // namespace

struct StepPlan::Kernels {
  std::unique_ptr<Kernel> embedding_forward;
  std::unique_ptr<Kernel> embedding_backward;
  std::unique_ptr<Kernel> block_forward;
  std::unique_ptr<Kernel> block_backward;
  // By chunk size: whole chunks, and the last one when it is smaller.
  std::vector<std::pair<int64_t, std::unique_ptr<Kernel>>> head_training;
  std::vector<std::pair<int64_t, std::unique_ptr<Kernel>>> head_evaluation;
  std::vector<std::string> taps;

  Kernel& head(bool training, int64_t chunk) const {
    for (const auto& [size, kernel] : training ? head_training : head_evaluation)
      if (size == chunk) return *kernel;
    fail(Status::internal, "expected a kernel for chunks of ", chunk, " positions, seen none");
  }
};

struct StepPlan::Buffers {
  std::unique_ptr<Buffer> tokens;        // int32 [n]
  std::unique_ptr<Buffer> targets;       // int32 [n]
  std::unique_ptr<Buffer> target_weight; // fp32 [n]
  std::unique_ptr<Buffer> rope_cos;
  std::unique_ptr<Buffer> rope_sin;
  std::unique_ptr<Buffer> mask;
  std::unique_ptr<Buffer> loss;   // fp32 [1], a sum
  std::unique_ptr<Buffer> d_loss; // fp32 [1], the seed
  // hidden[i] is the input of layer i, the last one that of the head.
  std::vector<std::unique_ptr<Buffer>> hidden;
  std::vector<std::vector<std::unique_ptr<Buffer>>> taps; // by layer
  // The gradient of hidden[i] is in d_hidden[i % 2].
  std::array<std::unique_ptr<Buffer>, 2> d_hidden;
  std::vector<int32_t> host_targets;
  std::vector<float> host_weights;
};

StepPlan::StepPlan(backend::Device& device, const model::Config& config,
                   const SessionOptions& options)
    : device_(device), config_(config), options_(options), parameters_(config),
      dtype_(options.precision == PrecisionMode::f16 ? DataType::fp16 : DataType::fp32),
      workspace_(device.make_workspace()), kernels_(std::make_unique<Kernels>()) {
  const int64_t target = options.loss_chunk != 0
                             ? options.loss_chunk
                             : std::max<int64_t>(1, chunk_bytes / (int64_t{4} * config.vocab_size));
  const int64_t count = (positions() + target - 1) / target;
  // An explicit chunk is taken literally; otherwise chunks are of equal size.
  chunk_size_ = options.loss_chunk != 0 ? target : (positions() + count - 1) / count;
  compile_kernels();
}

StepPlan::~StepPlan() = default;

Layout StepPlan::hidden_layout() const {
  return Layout::contiguous(dtype_, {1, config_.hidden_size, 1, positions()});
}

std::vector<StepPlan::Chunk> StepPlan::chunks() const {
  std::vector<Chunk> result;
  for (int64_t begin = 0; begin < positions(); begin += chunk_size_)
    result.push_back({begin, std::min(chunk_size_, positions() - begin)});
  return result;
}

// The head works on columns of the hidden states, in place.
CompileOptions StepPlan::head_options(const Chunk& chunk, bool training) const {
  Layout columns = hidden_layout();
  columns.shape.back() = chunk.size;
  CompileOptions options;
  options.workspace = workspace_;
  options.label = training ? "head_training" : "head_evaluation";
  options.port_layouts["hidden"] = columns;
  options.accumulate = {"loss"};
  if (training) {
    options.port_layouts["d_hidden"] = columns;
    options.accumulate.insert(options.accumulate.end(), {"d_final_norm_weight", "d_head_weight"});
  }
  return options;
}

void StepPlan::compile_kernels() {
  const auto compile = [&](const mil::Function& function, const char* label,
                           std::vector<std::string> accumulate) {
    CompileOptions options;
    options.workspace = workspace_;
    options.label = label;
    options.accumulate = std::move(accumulate);
    return device_.compile(function, options);
  };

  const std::vector<std::string> embedding_gradient = {"d_embedding_weight"};
  const auto embedding = mil::differentiate(model::embedding_function(config_, dtype_, positions()),
                                            {.with_respect_to = {"embedding_weight"},
                                             .outputs = {},
                                             .taps = mil::Taps::automatic,
                                             .tap_names = {}});
  kernels_->embedding_forward = compile(embedding.forward, "embedding_forward", {});
  kernels_->embedding_backward = compile(widen_gradients(embedding.backward, embedding_gradient),
                                         "embedding_backward", embedding_gradient);

  std::vector<std::string> inputs = {"hidden"};
  std::vector<std::string> gradients;
  for (const model::Parameter& parameter : parameters_.layer(0)) {
    inputs.push_back(parameter.port);
    gradients.push_back(gradient_port(parameter.port));
  }
  const auto block = mil::differentiate(
      model::block_function(config_, dtype_, options_.batch_size, options_.sequence_length),
      {.with_respect_to = inputs,
       .outputs = {"hidden_out"},
       .taps = options_.activation_checkpointing ? mil::Taps::none : mil::Taps::automatic,
       .tap_names = {}});
  kernels_->taps = block.taps;
  kernels_->block_forward = compile(block.forward, "block_forward", {});
  kernels_->block_backward =
      compile(widen_gradients(block.backward, gradients), "block_backward", gradients);

  const std::vector<std::string> head_gradients = {"d_final_norm_weight", "d_head_weight"};
  for (const Chunk& chunk : chunks()) {
    const auto& made = kernels_->head_training;
    const auto same = [&](const auto& entry) { return entry.first == chunk.size; };
    if (std::any_of(made.begin(), made.end(), same)) continue;
    const mil::Function loss = model::loss_function(config_, dtype_, chunk.size);
    const mil::Function gradient = widen_gradients(
        mil::value_and_gradient(loss,
                                {.with_respect_to = {"hidden", "final_norm_weight", "head_weight"},
                                 .outputs = {"loss"},
                                 .taps = mil::Taps::automatic,
                                 .tap_names = {}}),
        head_gradients);
    kernels_->head_training.emplace_back(chunk.size,
                                         device_.compile(gradient, head_options(chunk, true)));
    kernels_->head_evaluation.emplace_back(chunk.size,
                                           device_.compile(loss, head_options(chunk, false)));
  }
}

MemoryPlan StepPlan::memory() const {
  const auto flat = static_cast<uint64_t>(parameters_.flat_size());
  const auto hidden = static_cast<uint64_t>(hidden_layout().span_bytes());
  const auto layers = static_cast<uint64_t>(config_.layer_count);
  uint64_t taps = 0;
  for (const std::string& name : kernels_->taps)
    taps +=
        static_cast<uint64_t>(port_layout(kernels_->block_forward->outputs(), name).span_bytes());
  uint64_t tables = 0;
  for (const char* name : {"rope_cos", "rope_sin", "mask"})
    tables +=
        static_cast<uint64_t>(port_layout(kernels_->block_forward->inputs(), name).span_bytes());
  const uint64_t batch = static_cast<uint64_t>(positions()) * 12 + 8; // tokens, targets, weights

  MemoryPlan plan;
  plan.weights = flat * sizeof(float);
  plan.gradients = flat * sizeof(float);
  plan.staged = StagedArray::is_in_place(device_, dtype_)
                    ? 0
                    : flat * static_cast<uint64_t>(mil::data_type_bits(dtype_) / 8);
  plan.activations = (layers + 1) * hidden + layers * taps;
  plan.workspace = workspace_->size_bytes() + 2 * hidden + tables + batch;
  return plan;
}

void StepPlan::bind(const StagedArray& weights, const StagedArray& gradients) {
  workspace_->reserve();
  allocate_buffers();
  fill_tables();
  make_calls(weights, gradients);
}

void StepPlan::allocate_buffers() {
  buffers_ = std::make_unique<Buffers>();
  Buffers& b = *buffers_;
  const auto flat = [&](DataType dtype, int64_t count) {
    return device_.allocate(Layout::contiguous(dtype, {count}));
  };
  b.tokens = flat(DataType::int32, positions());
  b.targets = flat(DataType::int32, positions());
  b.target_weight = flat(DataType::fp32, positions());
  b.loss = flat(DataType::fp32, 1);
  b.d_loss = flat(DataType::fp32, 1);

  const Kernel& block = *kernels_->block_forward;
  b.rope_cos = device_.allocate(port_layout(block.inputs(), "rope_cos"));
  b.rope_sin = device_.allocate(port_layout(block.inputs(), "rope_sin"));
  b.mask = device_.allocate(port_layout(block.inputs(), "mask"));
  for (int32_t layer = 0; layer <= config_.layer_count; ++layer)
    b.hidden.push_back(device_.allocate(hidden_layout()));
  for (int32_t layer = 0; layer < config_.layer_count; ++layer) {
    auto& taps = b.taps.emplace_back();
    for (const std::string& name : kernels_->taps)
      taps.push_back(device_.allocate(port_layout(block.outputs(), name)));
  }
  for (auto& gradient : b.d_hidden) gradient = device_.allocate(hidden_layout());
  b.host_targets.resize(static_cast<size_t>(positions()));
  b.host_weights.resize(static_cast<size_t>(positions()));
}

void StepPlan::fill_tables() {
  const auto sequence = static_cast<size_t>(options_.sequence_length);
  std::vector<int32_t> order(sequence);
  std::iota(order.begin(), order.end(), 0);
  std::vector<float> cosines(static_cast<size_t>(config_.head_dim / 2) * sequence);
  std::vector<float> sines(cosines.size());
  model::rope_tables(config_, order, cosines, sines);
  backend::write_floats(*buffers_->rope_cos, cosines);
  backend::write_floats(*buffers_->rope_sin, sines);

  std::vector<float> mask(sequence * sequence);
  model::causal_mask(options_.sequence_length, mask);
  backend::write_floats(*buffers_->mask, mask);
}

StepPlan::Call StepPlan::call(Kernel& kernel, Phase phase, const Bindings& bindings) const {
  const auto bound = [&](const backend::Port& port) {
    for (const auto& [name, view] : bindings)
      if (name == port.name) return view;
    fail(Status::internal, "expected a buffer for port '", port.name, "', seen none");
  };
  Call result{&kernel, phase, {}, {}};
  for (const backend::Port& port : kernel.inputs()) result.inputs.push_back(bound(port));
  for (const backend::Port& port : kernel.outputs()) result.outputs.push_back(bound(port));
  return result;
}

void StepPlan::bind_layer(int32_t layer, const StagedArray& weights, Bindings& bindings) const {
  const Buffers& b = *buffers_;
  const auto at = static_cast<size_t>(layer);
  bindings.emplace_back("hidden", *b.hidden[at]);
  bindings.emplace_back("rope_cos", *b.rope_cos);
  bindings.emplace_back("rope_sin", *b.rope_sin);
  bindings.emplace_back("mask", *b.mask);
  for (size_t i = 0; i < kernels_->taps.size(); ++i)
    bindings.emplace_back(kernels_->taps[i], *b.taps[at][i]);
  for (const model::Parameter& parameter : parameters_.layer(layer)) {
    const Layout& layout = port_layout(kernels_->block_forward->inputs(), parameter.port);
    bindings.emplace_back(parameter.port, weights.view(parameter.offset, layout.shape));
  }
}

StepPlan::Call StepPlan::block_forward_call(int32_t layer, const StagedArray& weights) const {
  Bindings bindings;
  bind_layer(layer, weights, bindings);
  bindings.emplace_back("hidden_out", *buffers_->hidden[static_cast<size_t>(layer) + 1]);
  return call(*kernels_->block_forward, Phase::forward, bindings);
}

StepPlan::Call StepPlan::block_backward_call(int32_t layer, const StagedArray& weights,
                                             const StagedArray& gradients) const {
  Bindings bindings;
  bind_layer(layer, weights, bindings);
  bindings.emplace_back("d_hidden_out", *buffers_->d_hidden[static_cast<size_t>(layer + 1) % 2]);
  bindings.emplace_back("d_hidden", *buffers_->d_hidden[static_cast<size_t>(layer) % 2]);
  for (const model::Parameter& parameter : parameters_.layer(layer)) {
    const Layout& layout = port_layout(kernels_->block_forward->inputs(), parameter.port);
    bindings.emplace_back(gradient_port(parameter.port),
                          gradients.view(parameter.offset, layout.shape));
  }
  return call(*kernels_->block_backward, Phase::backward, bindings);
}

StepPlan::Call StepPlan::head_call(const Chunk& chunk, bool training, const StagedArray& weights,
                                   const StagedArray& gradients) const {
  const Buffers& b = *buffers_;
  Kernel& kernel = kernels_->head(training, chunk.size);
  const auto part = [&](Buffer& buffer, const Shape& shape) {
    const DataType dtype = buffer.layout().dtype;
    const auto offset = static_cast<size_t>(chunk.begin * mil::data_type_bits(dtype) / 8);
    return View(buffer, offset, Layout::contiguous(dtype, shape));
  };
  const auto columns = [&](Buffer& buffer) {
    const Layout& layout = port_layout(kernel.inputs(), "hidden");
    return View(buffer, static_cast<size_t>(chunk.begin * layout.strides.back()), layout);
  };
  const size_t last = static_cast<size_t>(config_.layer_count);
  const model::Parameter& norm = parameters_.final_norm();
  const model::Parameter& head = parameters_.head();
  const Shape norm_shape = {1, config_.hidden_size, 1, 1};
  const Shape head_shape = {config_.vocab_size, config_.hidden_size, 1, 1};
  const Shape row = {1, 1, 1, chunk.size};

  Bindings bindings = {
      {"hidden", columns(*b.hidden[last])},
      {"final_norm_weight", weights.view(norm.offset, norm_shape)},
      {"head_weight", weights.view(head.offset, head_shape)},
      {"targets", part(*b.targets, row)},
      {"target_weight", part(*b.target_weight, row)},
      {"loss", *b.loss},
  };
  if (training) {
    bindings.emplace_back("d_loss", *b.d_loss);
    bindings.emplace_back("d_hidden", columns(*b.d_hidden[last % 2]));
    bindings.emplace_back("d_final_norm_weight", gradients.view(norm.offset, norm_shape));
    bindings.emplace_back("d_head_weight", gradients.view(head.offset, head_shape));
  }
  return call(kernel, Phase::loss, bindings);
}

void StepPlan::make_calls(const StagedArray& weights, const StagedArray& gradients) {
  const Buffers& b = *buffers_;
  const model::Parameter& embedding = parameters_.embedding();
  Bindings bindings = {
      {"tokens", *b.tokens},
      {"embedding_weight", weights.view(embedding.offset, embedding.shape)},
      {"hidden", *b.hidden.front()},
      {"d_hidden", *b.d_hidden.front()},
      {"d_embedding_weight", gradients.view(embedding.offset, embedding.shape)},
  };
  training_calls_.push_back(call(*kernels_->embedding_forward, Phase::forward, bindings));
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    training_calls_.push_back(block_forward_call(layer, weights));
  evaluation_calls_ = training_calls_;

  for (const Chunk& chunk : chunks()) {
    training_calls_.push_back(head_call(chunk, true, weights, gradients));
    evaluation_calls_.push_back(head_call(chunk, false, weights, gradients));
  }
  for (int32_t layer = config_.layer_count - 1; layer >= 0; --layer)
    training_calls_.push_back(block_backward_call(layer, weights, gradients));
  training_calls_.push_back(call(*kernels_->embedding_backward, Phase::backward, bindings));
}

uint64_t StepPlan::load(const Batch& batch, double seed) {
  Buffers& b = *buffers_;
  uint64_t counted = 0;
  for (size_t i = 0; i < batch.targets.size(); ++i) {
    const bool ignored = batch.targets[i] == io::ignored_target;
    b.host_targets[i] = ignored ? 0 : batch.targets[i];
    b.host_weights[i] = ignored ? 0.0f : 1.0f;
    counted += ignored ? 0 : 1;
  }
  backend::write_elements(*b.tokens, batch.tokens);
  backend::write_elements<int32_t>(*b.targets, b.host_targets);
  backend::write_elements<float>(*b.target_weight, b.host_weights);
  const float zero = 0;
  const auto first = static_cast<float>(seed);
  backend::write_elements(*b.loss, std::span<const float>(&zero, 1));
  backend::write_elements(*b.d_loss, std::span<const float>(&first, 1));
  return counted;
}

void StepPlan::run(std::span<Call> calls, const std::atomic<bool>& cancel, PassResult& result) {
  for (Call& next : calls) {
    if (cancel.load(std::memory_order_relaxed)) fail(Status::cancelled, "cancelled by the caller");
    const auto start = std::chrono::steady_clock::now();
    next.kernel->run(next.inputs, next.outputs);
    result.overflowed |= next.kernel->overflowed();
    result.seconds[static_cast<size_t>(next.phase)] += seconds_since(start);
  }
}

PassResult StepPlan::pass(const Batch& batch, double seed, std::span<Call> calls,
                          const std::atomic<bool>& cancel) {
  PassResult result;
  const auto start = std::chrono::steady_clock::now();
  result.tokens = load(batch, seed);
  result.staging_seconds = seconds_since(start);
  run(calls, cancel, result);
  float sum = 0;
  backend::read_elements(*buffers_->loss, std::span<float>(&sum, 1));
  result.loss_sum = sum;
  return result;
}

PassResult StepPlan::forward_backward(const Batch& batch, double seed,
                                      const std::atomic<bool>& cancel) {
  return pass(batch, seed, training_calls_, cancel);
}

PassResult StepPlan::forward(const Batch& batch, const std::atomic<bool>& cancel) {
  return pass(batch, 0, evaluation_calls_, cancel);
}

} // namespace anet::train
