#include "train/step_plan.h"

#include "backend/host_access.h"
#include "backend/run_totals.h"
#include "backend/tensor_copy.h"
#include "base/status.h"
#include "model/transformer.h"
#include "train/row_norms.h"
#include "train/step_buffers.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace anet::train {

namespace {

using backend::Buffer;
using backend::find_port;
using backend::Layout;
using backend::StagedArray;
using backend::StagedPart;
using mil::DataType;
using mil::Shape;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

Batch batch_of(const io::Batch& data) {
  return {data.count, data.sequence_length, data.inputs, data.targets, data.positions, data.parts};
}

DataType StepPlan::dtype_of(const SessionOptions& options) {
  switch (options.precision) {
  case PrecisionMode::f16:
    return DataType::fp16;
  case PrecisionMode::bf16:
    return DataType::bf16;
  case PrecisionMode::f32:
  case PrecisionMode::device_default: // none is left once options are resolved
    break;
  }
  return DataType::fp32;
}

StepPlan::StepPlan(backend::Device& device, StepWeights weights, const SessionOptions& options)
    : device_(device), options_(options), weights_(std::move(weights)) {
  const auto compile = [&] {
    kernels_ = std::make_unique<StepKernels>(device_, weights_, options_, dtype_of(options_));
  };
  try {
    compile();
  } catch (const Error& error) {
    if (error.status() != Status::compile_budget || !weights_.can_avoid_constants()) throw;
    weights_.avoid_constants();
    compile();
  }
}

StepPlan::~StepPlan() = default;

std::map<std::string, Layout> StepPlan::dropout_layouts() const {
  std::map<std::string, Layout> layouts;
  for (const auto& [port, layout] : kernels_->common_layouts())
    if (port.ends_with("_dropout")) layouts.emplace(port, layout);
  // The head's chunks share one, as large as the largest.
  for (const Chunk& chunk : kernels_->chunks())
    for (const backend::Port& port : kernels_->head(true, chunk.size).inputs()) {
      if (port.name != "head_dropout") continue;
      Layout& layout = layouts[port.name];
      if (layout.shape.empty() || layout.span_bytes() < port.layout.span_bytes())
        layout = port.layout;
    }
  return layouts;
}

MemoryPlan StepPlan::memory() const {
  const auto flat = [](int64_t elements) {
    return static_cast<uint64_t>(elements) * sizeof(float);
  };
  const auto bytes = [](const Layout& layout) {
    return static_cast<uint64_t>(layout.span_bytes());
  };
  const uint64_t hidden = bytes(kernels_->hidden_layout());
  uint64_t taps = 0;
  for (const Layout& slot : kernels_->tap_slots())
    taps += bytes(slot) * static_cast<uint64_t>(kernels_->largest_group());
  for (const LayerGroup& group : kernels_->groups())
    for (int32_t layer = group.first; layer < std::min(group.end(), first_passing()); ++layer)
      for (const size_t slot : kernels_->slots_of(group, layer))
        taps += bytes(kernels_->tap_slots()[slot]);
  uint64_t tables = bytes(kernels_->mask_layout()) + DropoutMasks::bytes(dropout_layouts());
  for (const char* name : {"rope_cos", "rope_sin"})
    tables += bytes(kernels_->common_layouts().at(name));
  // What they are written from.
  const int64_t sequence = options_.sequence_length;
  tables += flat(positions() * weights_.config().head_dim + sequence * sequence);
  // On the device tokens, targets, their weights and losses; on the host all but the tokens, and
  // the positions.
  const uint64_t batch = static_cast<uint64_t>(positions()) * (16 + 16) + 8;
  const auto kept =
      static_cast<uint64_t>(std::max(first_passing() - lowest_layer(), 0) + hidden_count());

  MemoryPlan plan;
  plan.weights =
      weights_.model() ? weights_.model()->weight_bytes() : flat(weights_.parameters().flat_size());
  if (weights_.adapter()) plan.weights += weights_.adapter()->weights().size_bytes();
  plan.gradients = flat(weights_.trained().flat_size()) +
                   NarrowGradients::bytes(weights_.trained(), kernels_->narrow_gradients());
  const auto model_size = static_cast<size_t>(weights_.parameters().flat_size());
  const size_t trained_size =
      weights_.adapter() ? weights_.adapter()->weights().size() : model_size;
  const auto copies = [&](WeightArray array, size_t size) {
    return StagedArray::copy_bytes(device_, size, kernels_->weight_parts(array));
  };
  plan.staged = copies(WeightArray::trained, trained_size) +
                copies(WeightArray::frozen, model_size) +
                copies(WeightArray::norms, static_cast<size_t>(weights_.norms_size()));
  plan.staged += weights_.constant_copy_bytes(dtype_of(options_)) + kernels_->joined_extra_bytes();
  plan.activations = kept * hidden + taps;
  plan.workspace = kernels_->workspace().size_bytes() + 2 * hidden + tables + batch +
                   flat(weights_.norms_size());
  return plan;
}

void StepPlan::bind(std::span<float> trained) {
  kernels_->workspace().reserve();
  allocate_buffers();
  trained_ = trained;
  const auto stage = [&](WeightArray array, std::span<float> values) {
    auto& staged = arrays_[static_cast<size_t>(array)];
    staged.emplace(device_, values, kernels_->weight_parts(array));
  };
  stage(WeightArray::trained, trained);
  if (weights_.model()) {
    // Nothing writes through it: ports only read.
    const auto values = weights_.model()->weights();
    stage(WeightArray::frozen, {const_cast<float*>(values.data()), values.size()});
  }
  if (weights_.norms_size() > 0) {
    norms_ = FlatArray(weights_.norms_size());
    stage(WeightArray::norms, norms_.values());
  }
  StagedArray& staged = *arrays_[static_cast<size_t>(WeightArray::trained)];
  std::vector<StagedPart> in_place = kernels_->weight_parts(WeightArray::trained);
  std::erase_if(in_place, [&](const StagedPart& part) { return staged.copies_needed(part) > 0; });
  update_.emplace(staged, in_place, late_state(), weights_.trained(), device_.thread_pool());
  // Norms of DoRA are of all trained weights, and the first layer needs them.
  updates_in_background_ = device_.capabilities().leaves_host_free &&
                           dtype_of(options_) == DataType::fp16 && staged.copy_count() > 0 &&
                           weights_.norms_size() == 0;
  make_all_calls();
}

// Gradients of the lower two thirds of the layers, in the order in which a pass makes them: the
// forward pass waits for less, and the rest of the pass has the time. By the predictions of
// `make bench-ane-plan` more would be too much for the memory. An adapter's state is not worth it.
std::vector<int64_t> StepPlan::late_state() const {
  std::vector<int64_t> offsets;
  if (weights_.adapter()) return offsets;
  for (int32_t layer = weights_.config().layer_count * 2 / 3; layer-- > 0;)
    for (const WeightPort& weight : weights_.ports(layer))
      if (weight.gradient >= 0) offsets.push_back(weight.gradient);
  return offsets;
}

void StepPlan::rebind(std::span<float> trained) {
  settle();
  StagedArray& staged = *arrays_[static_cast<size_t>(WeightArray::trained)];
  const std::unique_ptr<Buffer> before = staged.exchange(device_, trained);
  trained_ = trained;
  for (Calls& calls : calls_)
    for (std::vector<Call>* pass : {&calls.training, &calls.narrow_training, &calls.evaluation})
      for (Call& call : *pass)
        for (backend::View& view : call.inputs)
          if (before && view.buffer == before.get()) view.buffer = staged.in_place();
}

std::span<uint16_t> StepPlan::trained_mirror() const {
  return arrays_[static_cast<size_t>(WeightArray::trained)]->mirror();
}

void StepPlan::bind_gradients(std::span<float> gradients, Optimizer& optimizer) {
  allocate_training_buffers();
  gradients_.emplace(device_, gradients, std::span<const StagedPart>());
  if (const auto narrow = kernels_->narrow_gradients(); !narrow.empty()) {
    narrow_gradients_ = std::make_unique<NarrowGradients>(device_, weights_.trained(), narrow);
    norm_ = std::make_unique<BackgroundNorm>(*narrow_gradients_, optimizer, device_.thread_pool());
  }
  make_all_calls();
}

void StepPlan::allocate_buffers() {
  auto buffers = std::make_unique<Buffers>();
  Buffers& b = *buffers;
  const auto flat = [&](DataType dtype, int64_t count) {
    return device_.allocate(Layout::contiguous(dtype, {count}));
  };
  b.tokens = flat(DataType::int32, positions());
  b.targets = flat(DataType::int32, positions());
  b.target_weight = flat(DataType::fp32, positions());
  b.losses = flat(DataType::fp32, positions());
  b.loss = flat(DataType::fp32, 1);
  b.d_loss = flat(DataType::fp32, 1);
  b.rope_cos = device_.allocate(kernels_->common_layouts().at("rope_cos"));
  b.rope_sin = device_.allocate(kernels_->common_layouts().at("rope_sin"));
  b.mask = device_.allocate(kernels_->mask_layout());
  for (int32_t i = 0; i < hidden_count(); ++i)
    b.hidden.push_back(device_.allocate(kernels_->hidden_layout()));
  b.taps.resize(static_cast<size_t>(kernels_->largest_group()));
  for (auto& taps : b.taps)
    for (const Layout& slot : kernels_->tap_slots()) taps.push_back(device_.allocate(slot));

  const auto columns = static_cast<size_t>(positions());
  b.host_targets.resize(columns);
  b.host_weights.resize(columns);
  b.host_losses.resize(columns);
  b.positions.resize(columns);
  b.cosines.resize(columns * static_cast<size_t>(weights_.config().head_dim) / 2);
  b.sines.resize(b.cosines.size());
  const auto sequence = static_cast<size_t>(options_.sequence_length);
  b.mask_rows.resize(sequence * sequence);
  buffers_ = std::move(buffers);
}

// A failure leaves nothing that a second call would not replace.
void StepPlan::allocate_training_buffers() {
  Buffers& b = *buffers_;
  const int32_t layers = weights_.config().layer_count;
  b.kept.clear();
  b.layer_hidden.clear();
  b.layer_taps.assign(static_cast<size_t>(layers), {});
  const auto keep = [&](const Layout& layout) {
    b.kept.push_back(device_.allocate(layout));
    return b.kept.back().get();
  };
  for (int32_t layer = 0; layer <= layers; ++layer) {
    const bool passing = layer < lowest_layer() || layer >= first_passing();
    Buffer* evaluated = b.hidden[static_cast<size_t>(layer % hidden_count())].get();
    b.layer_hidden.push_back(passing ? evaluated : keep(kernels_->hidden_layout()));
  }
  for (const LayerGroup& group : kernels_->groups())
    for (int32_t layer = group.first; layer < group.end(); ++layer) {
      auto& taps = b.layer_taps[static_cast<size_t>(layer)];
      auto& evaluated = b.taps[static_cast<size_t>(layer - group.first)];
      taps.resize(kernels_->tap_slots().size());
      for (const size_t slot : kernels_->slots_of(group, layer))
        taps[slot] =
            layer >= first_passing() ? evaluated[slot].get() : keep(kernels_->tap_slots()[slot]);
    }
  for (auto& gradient : b.d_hidden) gradient = device_.allocate(kernels_->hidden_layout());
  const auto masks = dropout_layouts();
  if (!masks.empty())
    dropout_ =
        std::make_unique<DropoutMasks>(device_, weights_.adapter()->options().dropout, masks);
}

size_t StepPlan::bucket_of(int64_t parts) const {
  const auto blocks = kernels_->blocks(kernels_->groups().front());
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
    model::rope_tables(weights_.config(), b.positions, b.cosines, b.sines);
    backend::write_floats(*b.rope_cos, b.cosines);
    backend::write_floats(*b.rope_sin, b.sines);
  }
  if (!same_mask) write_mask(bucket);
  b.bucket = bucket;
}

// One mask a sequence, or one for all.
void StepPlan::write_mask(size_t bucket) {
  Buffers& b = *buffers_;
  const BlockKernels& first = kernels_->blocks(kernels_->groups().front())[bucket];
  Layout one = find_port(first.forward->inputs(), "mask").layout;
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

void StepPlan::fill_masks(const Call& call, const DropoutMoment& moment) {
  for (const size_t input : call.masks)
    dropout_->fill(moment, call.layer, call.kernel->inputs()[input].name, call.first_mask,
                   call.inputs[input]);
}

void StepPlan::run(std::span<Call> calls, const DropoutMoment& moment,
                   const std::atomic<bool>& cancel, PassResult& result) {
  for (Call& next : calls) {
    if (cancel.load(std::memory_order_relaxed)) fail(Status::cancelled, "cancelled by the caller");
    const auto start = std::chrono::steady_clock::now();
    update_->wait(next.copies_needed);
    fill_masks(next, moment);
    const double waited = seconds_since(start);
    next.kernel->run(next.inputs, next.outputs, next.options);
    for (const size_t tensor : next.narrow) norm_->add(tensor);
    result.overflowed |= next.kernel->overflowed();
    result.staging_seconds += waited;
    result.seconds[static_cast<size_t>(next.phase)] += seconds_since(start) - waited;
  }
}

// Sums are complete, and what the background found out is known, only after both waits.
void StepPlan::complete(std::span<const Call> calls, PassResult& result) {
  const auto start = std::chrono::steady_clock::now();
  result.bytes_staged += update_->finish();
  if (norm_) norm_->finish();
  for (const Call& call : calls) {
    call.kernel->synchronize();
    result.overflowed |= call.kernel->overflowed();
  }
  result.seconds[static_cast<size_t>(Phase::backward)] += seconds_since(start);
}

// After a failure, whose error matters more than another one found here.
void StepPlan::quiesce(std::span<const Call> calls) noexcept {
  if (norm_) norm_->finish();
  try {
    update_->finish();
  } catch (...) { // NOLINT(bugprone-empty-catch): see above
  }
  for (const Call& call : calls) {
    try {
      call.kernel->synchronize();
    } catch (...) { // NOLINT(bugprone-empty-catch): see above
    }
  }
}

// What changes seldom or is small is renewed before the pass, the trained weights beside it.
void StepPlan::renew(const Renewal& renewal, PassResult& result) {
  ThreadPool& pool = device_.thread_pool();
  auto& frozen = arrays_[static_cast<size_t>(WeightArray::frozen)];
  auto& norms = arrays_[static_cast<size_t>(WeightArray::norms)];
  if (renewal.frozen && frozen) result.bytes_staged += frozen->renew_all(pool);
  if (norms && (renewal.trained || renewal.frozen)) {
    inverse_row_norms(pool, weights_, trained_, norms_.values());
    result.bytes_staged += norms->renew_all(pool);
  }
  if (renewal.trained && !renewal.mirrored) update_->renew();
}

PassResult StepPlan::pass(const Batch& batch, double seed, const DropoutMoment& moment,
                          std::vector<Call> Calls::*calls, const Renewal& renewal,
                          const std::atomic<bool>& cancel) {
  PassResult result;
  const size_t bucket = bucket_of(batch.parts);
  std::vector<Call>& chosen = calls_[bucket].*calls;
  const backend::RunTotals before = kernels_->totals();
  const auto start = std::chrono::steady_clock::now();
  try {
    renew(renewal, result);
    load_positions(batch, bucket);
    result.tokens = load(batch, seed);
    result.staging_seconds = seconds_since(start);
    run(chosen, moment, cancel, result);
    complete(chosen, result);
  } catch (...) {
    quiesce(chosen);
    throw;
  }
  result.work = backend::totals_since(kernels_->totals(), before);
  return result;
}

PassResult StepPlan::forward_backward(const Batch& batch, double seed, const DropoutMoment& moment,
                                      const Renewal& renewal, bool narrow,
                                      const std::atomic<bool>& cancel) {
  const auto calls = narrow ? &Calls::narrow_training : &Calls::training;
  if (narrow) norm_->start();
  PassResult result = pass(batch, seed, moment, calls, renewal, cancel);
  float sum = 0;
  backend::read_elements(*buffers_->loss, std::span<float>(&sum, 1));
  result.loss_sum = sum;
  // Logits above fp16's range show nowhere else. One of minus infinity counts for a target alone:
  // any other has a probability of 0, as far smaller ones have.
  result.overflowed |= dtype_of(options_) == DataType::fp16 && !std::isfinite(sum);
  return result;
}

PassResult StepPlan::forward(const Batch& batch, const Renewal& renewal,
                             const std::atomic<bool>& cancel) {
  PassResult result = pass(batch, 0, {}, &Calls::evaluation, renewal, cancel);
  std::vector<float>& losses = buffers_->host_losses;
  backend::read_elements<float>(*buffers_->losses, losses);
  result.loss_sum = std::accumulate(losses.begin(), losses.end(), 0.0);
  return result;
}

std::span<const float> StepPlan::token_losses() const { return buffers_->host_losses; }

} // namespace anet::train
