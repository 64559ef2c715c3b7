#include "generate/bound_weights.h"

#include "base/status.h"

#include <algorithm>
#include <map>
#include <string>

namespace anet::generate {

using backend::Port;
using backend::View;

BoundWeights::BoundWeights(backend::Device& device, model::Model& model, const AdapterRoom& room)
    : device_(device), model_(model), slots_(model, room) {}

bool BoundWeights::has_constant_layers() const {
  const auto all = model_.parameters().all();
  return std::any_of(all.begin(), all.end(), [](const model::Parameter& parameter) {
    return parameter.layer >= 0 && parameter.is_compressed();
  });
}

const model::Parameter* BoundWeights::parameter(std::string_view port, int32_t layer) const {
  const model::ParameterTable& table = model_.parameters();
  if (layer == no_layer) {
    if (port == "embedding_weight") return &table.embedding();
    if (port == "final_norm_weight") return &table.final_norm();
    return port == "head_weight" ? &table.head() : nullptr;
  }
  for (const model::Parameter& parameter : table.layer(layer))
    if (parameter.port == port) return &parameter;
  return nullptr;
}

mil::Function BoundWeights::with_constants(const mil::Function& function, int32_t layer) const {
  std::map<std::string, mil::ConstantValue> constants;
  for (const mil::ValueId input : function.inputs) {
    const std::string& port = function.value(input).name;
    const model::Parameter* weight = parameter(port, layer);
    if (weight != nullptr && weight->is_compressed())
      constants.emplace(port, model_.compressed(*weight));
  }
  return constants.empty() ? function : mil::bind_constants(function, constants);
}

std::optional<BoundWeights::Place> BoundWeights::place(const Port& port, int32_t layer) const {
  if (const model::Parameter* weight = parameter(port.name, layer))
    return Place{false, {weight->offset, port.layout}};
  const int64_t offset = slots_.offset(layer, port.name);
  if (offset < 0) return std::nullopt;
  return Place{true, {offset, port.layout}};
}

void BoundWeights::declare(const backend::Kernel& kernel, int32_t layer) {
  for (const Port& port : kernel.inputs())
    if (const auto found = place(port, layer))
      (found->adapter ? adapter_parts_ : model_parts_).push_back(found->part);
}

void BoundWeights::stage() {
  model_array_.emplace(device_, model_.weights(), model_parts_);
  adapter_array_.emplace(device_, slots_.values(), adapter_parts_);
  adapter_array_->renew_all(device_.thread_pool());
}

std::optional<View> BoundWeights::view(const Port& port, int32_t layer) const {
  const auto found = place(port, layer);
  if (!found) return std::nullopt;
  return (found->adapter ? adapter_array_ : model_array_)->view(found->part);
}

bool BoundWeights::renew() {
  model_.settle(); // kernels read in place, too
  const uint64_t revision = model_.revision();
  if (staged_revision_ == revision) return false;
  staged_revision_.reset(); // a copy that fails may leave some old
  model_array_->renew_all(device_.thread_pool());
  staged_revision_ = revision;
  return true;
}

void BoundWeights::set_adapters(std::span<const model::WeightedAdapter> adapters) {
  slots_.fill(adapters, device_.thread_pool());
  adapter_array_->renew_all(device_.thread_pool());
}

} // namespace anet::generate
