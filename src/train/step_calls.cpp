// The calls of a pass: which kernel runs on which buffers, in which order.
#include "backend/host_access.h"
#include "base/status.h"
#include "train/step_buffers.h"
#include "train/step_plan.h"

#include <algorithm>

namespace anet::train {

namespace {

using backend::Buffer;
using backend::find_port;
using backend::Kernel;
using backend::Layout;
using backend::View;
using mil::DataType;

const backend::Port* port_of(std::span<const backend::Port> ports, const std::string& name) {
  const auto found = std::find_if(ports.begin(), ports.end(),
                                  [&](const backend::Port& port) { return port.name == name; });
  return found == ports.end() ? nullptr : &*found;
}

} // namespace

void StepPlan::bind_weights(const Kernel& kernel, std::span<const WeightPort> weights,
                            std::span<const JoinedWeight> joined, Bindings& bindings,
                            Call& call) const {
  // The last update reads gradients in its own order.
  const auto wait_for_update = [&](int64_t gradient, const backend::Port& port) {
    if (!updates_in_background_) return;
    const int64_t end = gradient + mil::element_count(port.layout.shape);
    call.copies_needed = std::max(call.copies_needed, update_->copies_until_read(gradient, end));
  };
  for (const JoinedWeight& weight : joined) bindings.emplace_back(weight.port(), weight.view());
  for (const WeightPort& weight : weights) {
    const auto& array = arrays_[static_cast<size_t>(weight.array)];
    for (const backend::Port& port : kernel.inputs()) {
      const auto part = part_of(weight, port, joined);
      if (!part) continue;
      if (part->target == nullptr) bindings.emplace_back(port.name, array->view(*part));
      if (weight.array == WeightArray::trained)
        call.copies_needed = std::max(call.copies_needed, array->copies_needed(*part));
    }
    // Gradients are summed in place, in fp32, or left as they are.
    const std::string gradient = gradient_port(weight.port);
    if (const backend::Port* port = port_of(kernel.outputs(), gradient)) {
      wait_for_update(weight.gradient, *port);
      bindings.emplace_back(gradient, gradients_->view({weight.gradient, port->layout}));
    }
    const std::string narrow = narrow_gradient_port(weight.port);
    if (const backend::Port* port = port_of(kernel.outputs(), narrow)) {
      wait_for_update(weight.gradient, *port);
      call.narrow.push_back(narrow_gradients_->index(weight.gradient));
      bindings.emplace_back(narrow, narrow_gradients_->view(call.narrow.back(), port->layout));
    }
  }
}

void StepPlan::bind_dropout(const Kernel& kernel, Bindings& bindings, Call& call) const {
  for (size_t i = 0; i < kernel.inputs().size(); ++i) {
    const backend::Port& port = kernel.inputs()[i];
    if (!port.name.ends_with("_dropout")) continue;
    bindings.emplace_back(port.name, dropout_->view(port.name, port.layout));
    call.masks.push_back(i);
  }
}

StepPlan::Call StepPlan::call(Kernel& kernel, Phase phase, int32_t layer,
                              std::span<const WeightPort> weights, Bindings bindings,
                              std::span<const JoinedWeight> joined) const {
  Call result;
  result.kernel = &kernel;
  result.phase = phase;
  result.layer = layer;
  bind_weights(kernel, weights, joined, bindings, result);
  bind_dropout(kernel, bindings, result);
  const auto bound = [&](const backend::Port& port) {
    for (const auto& [name, view] : bindings)
      if (name == port.name) return view;
    fail(Status::internal, "expected a buffer for port '", port.name, "', seen none");
  };
  for (const backend::Port& port : kernel.inputs()) result.inputs.push_back(bound(port));
  for (const backend::Port& port : kernel.outputs()) result.outputs.push_back(bound(port));
  return result;
}

StepPlan::LayerBuffers StepPlan::layer_buffers(const LayerGroup& group, int32_t layer,
                                               bool training) const {
  const Buffers& b = *buffers_;
  const auto at = static_cast<size_t>(layer);
  if (training) return {b.layer_hidden[at], b.layer_hidden[at + 1], b.layer_taps[at]};
  const size_t count = b.hidden.size();
  LayerBuffers buffers{b.hidden[at % count].get(), b.hidden[(at + 1) % count].get(), {}};
  for (const auto& tap : b.taps[at - static_cast<size_t>(group.first)])
    buffers.taps.push_back(tap.get());
  return buffers;
}

// What a layer of a group has alone. A buffer may be larger than what a kernel makes of it.
void StepPlan::bind_layer(const BlockKernels& block, const LayerGroup& group, size_t place,
                          bool training, Bindings& bindings) const {
  const int32_t layer = group.first + static_cast<int32_t>(place);
  const LayerBuffers buffers = layer_buffers(group, layer, training);
  bindings.emplace_back(placed_port(place, "hidden"), *buffers.hidden);
  if (layer + 1 == group.end()) bindings.emplace_back("hidden_out", *buffers.hidden_out);
  for (size_t i = 0; i < block.taps.size(); ++i) {
    const BlockTap& tap = block.taps[i];
    if (tap.place != place) continue;
    const Layout& layout = find_port(block.forward->outputs(), tap.port).layout;
    bindings.emplace_back(tap.port, View(*buffers.taps[block.slots[i]], 0, layout));
  }
}

StepPlan::Call StepPlan::block_call(size_t bucket, Phase phase, size_t index, bool training,
                                    bool narrow) const {
  const Buffers& b = *buffers_;
  const LayerGroup& group = kernels_->groups()[index];
  const BlockKernels& block = kernels_->blocks(group)[bucket];
  Bindings bindings = {
      {"rope_cos", *b.rope_cos},
      {"rope_sin", *b.rope_sin},
      {"mask", View(*b.mask, 0, find_port(block.forward->inputs(), "mask").layout)},
  };
  if (phase == Phase::backward) {
    bindings.emplace_back("d_hidden_out", *b.d_hidden[(index + 1) % 2]);
    bindings.emplace_back("d_hidden", *b.d_hidden[index % 2]);
  }
  for (size_t place = 0; place < static_cast<size_t>(group.count); ++place)
    bind_layer(block, group, place, training, bindings);
  const std::vector<WeightPort> weights = kernels_->weight_ports(group);
  const std::span<const JoinedWeight> joined = kernels_->joined_weights(group);
  if (phase == Phase::backward)
    return call(narrow ? *block.narrow_backward : *block.backward, phase, group.first, weights,
                std::move(bindings), joined);
  Call result = call(training ? *block.forward : block.evaluating(), phase, group.first, weights,
                     std::move(bindings), joined);
  // Layers that are trained have hidden states and taps of their own.
  result.options.keeps_views = training && group.first >= lowest_layer();
  return result;
}

StepPlan::Call StepPlan::head_call(const Chunk& chunk, bool training, bool narrow) const {
  const Buffers& b = *buffers_;
  Kernel& kernel = narrow && kernels_->narrow_head() != nullptr
                       ? *kernels_->narrow_head()
                       : kernels_->head(training, chunk.size);
  const auto part = [&](Buffer& buffer) {
    const DataType dtype = buffer.layout().dtype;
    const auto offset = static_cast<size_t>(chunk.begin * mil::data_type_bits(dtype) / 8);
    return View(buffer, offset, Layout::contiguous(dtype, {1, 1, 1, chunk.size}));
  };
  const auto columns = [&](Buffer& buffer) {
    const Layout& layout = find_port(kernel.inputs(), "hidden").layout;
    return View(buffer, static_cast<size_t>(chunk.begin * layout.strides.back()), layout);
  };
  const auto last = static_cast<size_t>(weights_.head());
  Buffer& hidden = training ? *b.layer_hidden[last] : *b.hidden[last % b.hidden.size()];
  Bindings bindings = {{"hidden", columns(hidden)},
                       {"targets", part(*b.targets)},
                       {"target_weight", part(*b.target_weight)},
                       {"loss", *b.loss},
                       {"losses", part(*b.losses)},
                       {"d_loss", *b.d_loss}};
  if (training)
    bindings.emplace_back("d_hidden", columns(*b.d_hidden[kernels_->groups().size() % 2]));
  Call result = call(kernel, Phase::loss, weights_.head(), weights_.ports(weights_.head()),
                     std::move(bindings));
  // No draw of an earlier chunk comes again.
  result.first_mask = chunk.begin * weights_.config().hidden_size;
  return result;
}

StepPlan::Call StepPlan::embedding_call(Kernel& kernel, Phase phase) const {
  const Buffers& b = *buffers_;
  const bool training = phase == Phase::backward;
  Bindings bindings = {{"tokens", *b.tokens}, {"hidden", *b.hidden.front()}};
  if (training) bindings.emplace_back("d_hidden", *b.d_hidden.front());
  return call(kernel, phase, StepWeights::embedding, weights_.ports(StepWeights::embedding),
              std::move(bindings));
}

void StepPlan::make_all_calls() {
  calls_.clear();
  for (size_t bucket = 0; bucket < kernels_->blocks(kernels_->groups().front()).size(); ++bucket) {
    calls_.emplace_back();
    make_calls(bucket);
    if (can_train()) calls_.back().training = training_calls(bucket, false);
    if (narrow_gradients_) calls_.back().narrow_training = training_calls(bucket, true);
  }
}

void StepPlan::make_calls(size_t bucket) {
  std::vector<Call>& calls = calls_[bucket].evaluation;
  calls.push_back(embedding_call(kernels_->embedding_forward(), Phase::forward));
  for (size_t group = 0; group < kernels_->groups().size(); ++group)
    calls.push_back(block_call(bucket, Phase::forward, group, false));
  for (const Chunk& chunk : kernels_->chunks()) calls.push_back(head_call(chunk, false));
}

std::vector<StepPlan::Call> StepPlan::training_calls(size_t bucket, bool narrow) const {
  std::vector<Call> calls;
  Call embedding = embedding_call(kernels_->embedding_forward(), Phase::forward);
  embedding.outputs.front().buffer = buffers_->layer_hidden.front();
  calls.push_back(std::move(embedding));
  const std::span<const LayerGroup> groups = kernels_->groups();
  for (size_t group = 0; group < groups.size(); ++group)
    calls.push_back(block_call(bucket, Phase::forward, group, true));
  for (const Chunk& chunk : kernels_->chunks()) calls.push_back(head_call(chunk, true, narrow));
  for (size_t group = groups.size(); group-- > 0 && groups[group].first >= lowest_layer();)
    calls.push_back(block_call(bucket, Phase::backward, group, true, narrow));
  if (kernels_->embedding_backward() != nullptr)
    calls.push_back(embedding_call(*kernels_->embedding_backward(), Phase::backward));
  return calls;
}

} // namespace anet::train
