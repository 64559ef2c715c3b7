#include "generate/programs.h"

#include "backend/host_access.h"
#include "backend/tensor_copy.h"
#include "model/transformer.h"

#include <algorithm>

namespace anet::generate {

namespace {

using backend::Layout;
using backend::View;
using mil::DataType;

constexpr int64_t prefill_positions = 64; // prompt tokens that one pass takes

} // namespace

LogitsHead::LogitsHead(backend::Device& device, BoundWeights& weights, DataType dtype,
                       int64_t columns, const std::shared_ptr<backend::Workspace>& workspace)
    : weights_(weights), columns_(columns) {
  backend::CompileOptions options;
  options.workspace = workspace;
  options.label = "logits";
  options.role = backend::Role::loss;
  const mil::Function function =
      model::logits_function(weights.model().config(), dtype, columns, weights.shape());
  kernel_ = device.compile(weights.with_constants(function, no_layer), options);
  weights.declare(*kernel_, no_layer);
}

void LogitsHead::bind(backend::Device& device) {
  hidden_ = device.allocate(backend::find_port(kernel_->inputs(), "hidden").layout);
  logits_ = device.allocate(kernel_->outputs().front().layout);
  for (const backend::Port& port : kernel_->inputs())
    inputs_.push_back(weights_.view(port, no_layer).value_or(View(*hidden_)));
  output_ = View(*logits_);
  values_.resize(static_cast<size_t>(weights_.model().config().vocab_size * columns_));
}

// Tied to the head, the embedding is staged once, in the layout that the head's product likes.
std::optional<Layout> LogitsHead::embedding_layout() const {
  const model::Model& model = weights_.model();
  if (!model.config().tie_embeddings || model.parameters().embedding().is_compressed())
    return std::nullopt;
  return backend::as_matrix(backend::find_port(kernel_->inputs(), "head_weight").layout);
}

std::span<const float> LogitsHead::run(backend::Buffer& states, int64_t first) {
  {
    Layout from = states.layout();
    from.shape.back() = columns_;
    const backend::Mapping source(states, false);
    const backend::Mapping target(*hidden_, true);
    backend::TensorCopy(from, hidden_->layout())
        .run(source.data() + first * from.strides.back(), target.data(), nullptr);
  }
  kernel_->run(inputs_, {&output_, 1});
  backend::read_floats(*logits_, values_);
  return values_;
}

Programs::Programs(backend::Device& device, model::Model& model, const ProgramSizes& sizes,
                   const AdapterRoom& room)
    : weights(device, model, room), workspace(device.make_workspace()),
      heads(make_heads(device, sizes)),
      prefill(device, weights, sizes.dtype, 1, std::min(prefill_positions, sizes.context),
              sizes.context, {heads.front().embedding_layout(), std::nullopt}, workspace),
      decode(device, weights, sizes.dtype, 1, 1, sizes.context, shared_layouts(1), workspace) {
  if (sizes.rows > 1)
    batch.emplace(device, weights, sizes.dtype, sizes.rows, 1, sizes.context,
                  shared_layouts(sizes.rows), workspace);
  weights.stage();
  cache.emplace(device, model.config(), prefill.cache_layout(), sizes.rows, sizes.context);
  workspace->reserve();
  for (int64_t row = 0; row < sizes.rows; ++row) prefill.bind(*cache, row);
  decode.bind(*cache, 0);
  if (batch) batch->bind(*cache, 0);
  for (LogitsHead& head : heads) head.bind(device);
}

std::vector<LogitsHead> Programs::make_heads(backend::Device& device, const ProgramSizes& sizes) {
  std::vector<LogitsHead> made;
  made.emplace_back(device, weights, sizes.dtype, 1, workspace);
  if (sizes.rows > 1) made.emplace_back(device, weights, sizes.dtype, sizes.rows, workspace);
  return made;
}

SharedLayouts Programs::shared_layouts(int64_t rows) const {
  return {heads.front().embedding_layout(), layout_of_rows(prefill.cache_layout(), rows)};
}

} // namespace anet::generate
