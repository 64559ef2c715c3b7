#include "train/step_plan.h"

#include "backend/host_access.h"
#include "backend/run_totals.h"
#include "backend/tensor_copy.h"
#include "base/status.h"
#include "model/transformer.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace anet::train {

namespace {

using backend::Buffer;
using backend::find_port;
using backend::Kernel;
using backend::Layout;
using backend::StagedArray;
using backend::StagedPart;
using backend::View;
using mil::DataType;
using mil::Shape;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Gradients are summed in place, in fp32.
StagedPart gradient_part(const Kernel& kernel, const std::string& port, int64_t offset) {
  return {offset, find_port(kernel.outputs(), port).layout};
}

} // namespace

struct StepPlan::Buffers {
  std::unique_ptr<Buffer> tokens;        // int32 [n]
  std::unique_ptr<Buffer> targets;       // int32 [n]
  std::unique_ptr<Buffer> target_weight; // fp32 [n]
  std::unique_ptr<Buffer> rope_cos;
  std::unique_ptr<Buffer> rope_sin;
  std::unique_ptr<Buffer> mask;
  std::unique_ptr<Buffer> losses; // fp32 [n], of an evaluation
  std::unique_ptr<Buffer> loss;   // fp32 [1], a sum
  std::unique_ptr<Buffer> d_loss; // fp32 [1], the seed
  // hidden[i] is the input of layer i, the last one that of the head.
  std::vector<std::unique_ptr<Buffer>> hidden;
  std::vector<std::vector<std::unique_ptr<Buffer>>> taps; // by layer and slot
  // The gradient of hidden[i] is in d_hidden[i % 2].
  std::array<std::unique_ptr<Buffer>, 2> d_hidden;
  std::vector<int32_t> host_targets;
  std::vector<float> host_weights;
  std::vector<float> host_losses;
  // What the tables and the mask were made from; they are kept while it stays the same.
  std::vector<int32_t> positions;
  std::optional<size_t> bucket;
  std::vector<float> cosines, sines; // to write from
  std::vector<float> mask_rows;      // of one sequence
};

Batch batch_of(const io::Batch& data) {
  return {data.count, data.sequence_length, data.inputs, data.targets, data.positions, data.parts};
}

DataType StepPlan::dtype_of(const SessionOptions& options) {
  return options.precision == PrecisionMode::f16 ? DataType::fp16 : DataType::fp32;
}

StepPlan::StepPlan(backend::Device& device, const model::Config& config,
                   const SessionOptions& options)
    : device_(device), config_(config), options_(options), parameters_(config),
      workspace_(device.make_workspace()),
      kernels_(device, config, options, dtype_of(options), workspace_) {}

StepPlan::~StepPlan() = default;

MemoryPlan StepPlan::memory() const {
  const auto flat = static_cast<uint64_t>(parameters_.flat_size());
  const auto hidden = static_cast<uint64_t>(kernels_.hidden_layout().span_bytes());
  const auto layers = static_cast<uint64_t>(config_.layer_count);
  const auto& inputs = kernels_.blocks().front().forward->inputs();
  const auto bytes = [](const Layout& layout) {
    return static_cast<uint64_t>(layout.span_bytes());
  };
  uint64_t taps = 0;
  for (const Layout& slot : kernels_.tap_slots()) taps += bytes(slot);
  uint64_t tables = bytes(kernels_.mask_layout());
  for (const char* name : {"rope_cos", "rope_sin"}) tables += bytes(find_port(inputs, name).layout);
  // What they are written from.
  const auto sequence = static_cast<uint64_t>(options_.sequence_length);
  const auto columns = static_cast<uint64_t>(positions());
  tables +=
      sizeof(float) * (columns * static_cast<uint64_t>(config_.head_dim) + sequence * sequence);
  // On the device tokens, targets, their weights and losses; on the host all but the tokens, and
  // the positions.
  const uint64_t batch = columns * (16 + 16) + 8;

  MemoryPlan plan;
  plan.weights = flat * sizeof(float);
  plan.gradients = flat * sizeof(float);
  plan.staged = StagedArray::copy_bytes(device_, kernels_.weight_parts(parameters_));
  plan.activations = (layers + 1) * hidden + layers * taps;
  plan.workspace = workspace_->size_bytes() + 2 * hidden + tables + batch;
  return plan;
}

void StepPlan::bind(std::span<float> weights, std::span<float> gradients) {
  workspace_->reserve();
  weights_.emplace(device_, weights, kernels_.weight_parts(parameters_));
  gradients_.emplace(device_, gradients, std::span<const StagedPart>());
  staging_.emplace(*weights_, device_.thread_pool());
  allocate_buffers();
  for (size_t bucket = 0; bucket < kernels_.blocks().size(); ++bucket) make_calls(bucket);
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
  b.losses = flat(DataType::fp32, positions());
  b.loss = flat(DataType::fp32, 1);
  b.d_loss = flat(DataType::fp32, 1);

  const auto& inputs = kernels_.blocks().front().forward->inputs();
  b.rope_cos = device_.allocate(find_port(inputs, "rope_cos").layout);
  b.rope_sin = device_.allocate(find_port(inputs, "rope_sin").layout);
  b.mask = device_.allocate(kernels_.mask_layout());
  for (int32_t layer = 0; layer <= config_.layer_count; ++layer)
    b.hidden.push_back(device_.allocate(kernels_.hidden_layout()));
  for (int32_t layer = 0; layer < config_.layer_count; ++layer) {
    auto& taps = b.taps.emplace_back();
    for (const Layout& slot : kernels_.tap_slots()) taps.push_back(device_.allocate(slot));
  }
  for (auto& gradient : b.d_hidden) gradient = device_.allocate(kernels_.hidden_layout());
  const auto columns = static_cast<size_t>(positions());
  b.host_targets.resize(columns);
  b.host_weights.resize(columns);
  b.host_losses.resize(columns);
  b.positions.resize(columns);
  b.cosines.resize(columns * static_cast<size_t>(config_.head_dim) / 2);
  b.sines.resize(b.cosines.size());
  const auto sequence = static_cast<size_t>(options_.sequence_length);
  b.mask_rows.resize(sequence * sequence);
}

StepPlan::Call StepPlan::call(Kernel& kernel, Phase phase, Bindings bindings,
                              const WeightPorts& weights) const {
  Call result{&kernel, phase, 0, {}, {}};
  const auto has = [](std::span<const backend::Port> ports, const std::string& name) {
    return std::any_of(ports.begin(), ports.end(),
                       [&](const backend::Port& port) { return port.name == name; });
  };
  for (const auto& [port, parameter] : weights) {
    if (has(kernel.inputs(), port)) {
      const StagedPart part = StepKernels::weight_part(kernel, port, *parameter);
      bindings.emplace_back(port, weights_->view(part));
      result.copies_needed = std::max(result.copies_needed, weights_->copies_needed(part));
    }
    const std::string gradient = gradient_port(port);
    if (has(kernel.outputs(), gradient))
      bindings.emplace_back(gradient,
                            gradients_->view(gradient_part(kernel, gradient, parameter->offset)));
  }
  const auto bound = [&](const backend::Port& port) {
    for (const auto& [name, view] : bindings)
      if (name == port.name) return view;
    fail(Status::internal, "expected a buffer for port '", port.name, "', seen none");
  };
  for (const backend::Port& port : kernel.inputs()) result.inputs.push_back(bound(port));
  for (const backend::Port& port : kernel.outputs()) result.outputs.push_back(bound(port));
  return result;
}

StepPlan::Call StepPlan::block_call(const BlockKernels& block, Phase phase, int32_t layer) const {
  const Buffers& b = *buffers_;
  const auto at = static_cast<size_t>(layer);
  // A buffer may be larger than what a kernel makes of it.
  const auto& inputs = block.forward->inputs();
  const auto& outputs = block.forward->outputs();
  Bindings bindings = {
      {"hidden", *b.hidden[at]},
      {"hidden_out", *b.hidden[at + 1]},
      {"rope_cos", *b.rope_cos},
      {"rope_sin", *b.rope_sin},
      {"mask", View(*b.mask, 0, find_port(inputs, "mask").layout)},
      {"d_hidden_out", *b.d_hidden[(at + 1) % 2]},
      {"d_hidden", *b.d_hidden[at % 2]},
  };
  for (size_t i = 0; i < block.taps.size(); ++i)
    bindings.emplace_back(block.taps[i], View(*b.taps[at][block.slots[i]], 0,
                                              find_port(outputs, block.taps[i]).layout));
  WeightPorts weights;
  for (const model::Parameter& parameter : parameters_.layer(layer))
    weights.emplace_back(parameter.port, &parameter);
  Kernel& kernel = phase == Phase::forward ? *block.forward : *block.backward;
  return call(kernel, phase, std::move(bindings), weights);
}

StepPlan::Call StepPlan::head_call(const Chunk& chunk, bool training) const {
  const Buffers& b = *buffers_;
  Kernel& kernel = kernels_.head(training, chunk.size);
  const auto part = [&](Buffer& buffer) {
    const DataType dtype = buffer.layout().dtype;
    const auto offset = static_cast<size_t>(chunk.begin * mil::data_type_bits(dtype) / 8);
    return View(buffer, offset, Layout::contiguous(dtype, {1, 1, 1, chunk.size}));
  };
  const auto columns = [&](Buffer& buffer) {
    const Layout& layout = find_port(kernel.inputs(), "hidden").layout;
    return View(buffer, static_cast<size_t>(chunk.begin * layout.strides.back()), layout);
  };
  const size_t last = static_cast<size_t>(config_.layer_count);
  return call(
      kernel, Phase::loss,
      {{"hidden", columns(*b.hidden[last])},
       {"targets", part(*b.targets)},
       {"target_weight", part(*b.target_weight)},
       {"loss", *b.loss},
       {"losses", part(*b.losses)},
       {"d_loss", *b.d_loss},
       {"d_hidden", columns(*b.d_hidden[last % 2])}},
      {{"final_norm_weight", &parameters_.final_norm()}, {"head_weight", &parameters_.head()}});
}

void StepPlan::make_calls(size_t bucket) {
  const Buffers& b = *buffers_;
  const BlockKernels& block = kernels_.blocks()[bucket];
  const Bindings bindings = {
      {"tokens", *b.tokens}, {"hidden", *b.hidden.front()}, {"d_hidden", *b.d_hidden.front()}};
  const WeightPorts weights = {{"embedding_weight", &parameters_.embedding()}};
  auto& [training, evaluation] = calls_.emplace_back();
  training.push_back(call(kernels_.embedding_forward(), Phase::forward, bindings, weights));
  for (int32_t layer = 0; layer < config_.layer_count; ++layer)
    training.push_back(block_call(block, Phase::forward, layer));
  evaluation = training;

  for (const Chunk& chunk : kernels_.chunks()) {
    training.push_back(head_call(chunk, true));
    evaluation.push_back(head_call(chunk, false));
  }
  for (int32_t layer = config_.layer_count - 1; layer >= 0; --layer)
    training.push_back(block_call(block, Phase::backward, layer));
  training.push_back(call(kernels_.embedding_backward(), Phase::backward, bindings, weights));
}

size_t StepPlan::bucket_of(int64_t parts) const {
  const auto blocks = kernels_.blocks();
  for (size_t bucket = 0; bucket < blocks.size(); ++bucket)
    if (blocks[bucket].parts == parts) return bucket;
  fail(Status::shape_mismatch, "expected a batch of 1, 2, 4 .. ", blocks.back().parts,
       " parts (length_buckets), seen ", parts);
}

void StepPlan::load_positions(const Batch& batch, size_t bucket) {
  Buffers& b = *buffers_;
  const int64_t sequence = options_.sequence_length / batch.parts;
  bool same = b.bucket.has_value();
  for (size_t i = 0; i < b.positions.size(); ++i) {
    const auto default_position = static_cast<int32_t>(static_cast<int64_t>(i) % sequence);
    const int32_t position = batch.positions.empty() ? default_position : batch.positions[i];
    same &= b.positions[i] == position;
    b.positions[i] = position;
  }
  const bool same_mask = b.bucket == bucket && (same || !options_.documents);
  b.bucket.reset(); // a failure may leave half of it
  if (!same) {
    model::rope_tables(config_, b.positions, b.cosines, b.sines);
    backend::write_floats(*b.rope_cos, b.cosines);
    backend::write_floats(*b.rope_sin, b.sines);
  }
  if (!same_mask) write_mask(bucket);
  b.bucket = bucket;
}

// One mask a sequence, or one for all.
void StepPlan::write_mask(size_t bucket) {
  Buffers& b = *buffers_;
  Layout one = find_port(kernels_.blocks()[bucket].forward->inputs(), "mask").layout;
  const int64_t count = one.shape.front();
  const auto sequence = static_cast<size_t>(one.shape.back());
  one.shape.front() = 1;
  const std::span rows = std::span(b.mask_rows).first(sequence * sequence);
  const backend::TensorCopy copy(Layout::contiguous(DataType::fp32, one.shape), one);
  const backend::Mapping mapping(*b.mask, true);
  for (int64_t i = 0; i < count; ++i) {
    if (options_.documents)
      model::document_mask(
          std::span(b.positions).subspan(static_cast<size_t>(i) * sequence, sequence), rows);
    else
      model::causal_mask(one.shape.back(), rows);
    copy.run(reinterpret_cast<const std::byte*>(rows.data()),
             mapping.data() + i * one.strides.front(), nullptr);
  }
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
    staging_->wait(next.copies_needed);
    const double waited = seconds_since(start);
    next.kernel->run(next.inputs, next.outputs);
    result.overflowed |= next.kernel->overflowed();
    result.staging_seconds += waited;
    result.seconds[static_cast<size_t>(next.phase)] += seconds_since(start) - waited;
  }
}

// Sums are complete, and what the background found out is known, only after both waits.
void StepPlan::complete(std::span<const Call> calls, PassResult& result) {
  const auto start = std::chrono::steady_clock::now();
  result.bytes_staged = staging_->finish();
  device_.synchronize();
  for (const Call& call : calls) result.overflowed |= call.kernel->overflowed();
  result.seconds[static_cast<size_t>(Phase::backward)] += seconds_since(start);
}

// After a failure, whose error matters more than another one found here.
void StepPlan::quiesce() noexcept {
  try {
    staging_->finish();
  } catch (...) { // NOLINT(bugprone-empty-catch): see above
  }
  try {
    device_.synchronize();
  } catch (...) { // NOLINT(bugprone-empty-catch): see above
  }
}

PassResult StepPlan::pass(const Batch& batch, double seed, std::vector<Call> Calls::*calls,
                          bool renew, const std::atomic<bool>& cancel) {
  PassResult result;
  const size_t bucket = bucket_of(batch.parts);
  std::vector<Call>& chosen = calls_[bucket].*calls;
  const backend::RunTotals before = kernels_.totals();
  const auto start = std::chrono::steady_clock::now();
  try {
    if (renew) staging_->start();
    load_positions(batch, bucket);
    result.tokens = load(batch, seed);
    result.staging_seconds = seconds_since(start);
    run(chosen, cancel, result);
    complete(chosen, result);
  } catch (...) {
    quiesce();
    throw;
  }
  result.work = backend::totals_since(kernels_.totals(), before);
  return result;
}

PassResult StepPlan::forward_backward(const Batch& batch, double seed, bool renew,
                                      const std::atomic<bool>& cancel) {
  PassResult result = pass(batch, seed, &Calls::training, renew, cancel);
  float sum = 0;
  backend::read_elements(*buffers_->loss, std::span<float>(&sum, 1));
  result.loss_sum = sum;
  return result;
}

PassResult StepPlan::forward(const Batch& batch, bool renew, const std::atomic<bool>& cancel) {
  PassResult result = pass(batch, 0, &Calls::evaluation, renew, cancel);
  std::vector<float>& losses = buffers_->host_losses;
  backend::read_elements<float>(*buffers_->losses, losses);
  result.loss_sum = std::accumulate(losses.begin(), losses.end(), 0.0);
  return result;
}

std::span<const float> StepPlan::token_losses() const { return buffers_->host_losses; }

} // namespace anet::train
