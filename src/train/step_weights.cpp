#include "train/step_weights.h"

#include "backend/tensor_copy.h"
#include "base/status.h"
#include "train/folded_norm.h"

#include <algorithm>
#include <utility>

namespace anet::train {

namespace {

using backend::Layout;
using mil::DataType;

constexpr int64_t alignment = 16; // elements
// Products with weights that are inputs are faster in programs that read no more rows of a matrix,
// and convolutions of more channels were refused (ane-facts.md 4.4).
constexpr int64_t max_kernel_rows = 16384;

std::shared_ptr<const model::ParameterTable>
table_of(const std::shared_ptr<const model::Model>& model, const model::Config& config) {
  if (!model) return std::make_shared<const model::ParameterTable>(config);
  return {model, &model->parameters()};
}

mil::Shape port_shape(const model::Parameter& parameter, bool is_table) {
  if (is_table) return parameter.shape;
  if (parameter.shape.size() == 2) return {parameter.shape[0], parameter.shape[1], 1, 1};
  return {1, parameter.shape[0], 1, 1};
}

mil::Bytes narrowed(std::span<const float> values, DataType dtype) {
  std::vector<std::byte> bytes(values.size() * 2);
  const auto count = static_cast<int64_t>(values.size());
  backend::TensorCopy(Layout::contiguous(DataType::fp32, {count}),
                      Layout::contiguous(dtype, {count}))
      .run(reinterpret_cast<const std::byte*>(values.data()), bytes.data(), nullptr);
  return mil::Bytes(std::move(bytes));
}

} // namespace

StepWeights::StepWeights(const backend::Device& device, const model::Config& config,
                         std::shared_ptr<const model::Model> model,
                         const std::vector<std::string>& trainable)
    : config_(config), model_(std::move(model)), parameters_(table_of(model_, config_)),
      trained_(parameters_->all(), trainable),
      prefers_constants_(model_ != nullptr && device.capabilities().prefers_constants),
      divides_head_(device.capabilities().transposed_parameters) {
  if (const std::vector<int64_t> rows = head_rows(); !rows.empty())
    trained_.divide(parameters_->head(), rows.front() * config_.hidden_size);
}

StepWeights::StepWeights(const backend::Device& device,
                         std::shared_ptr<const model::Adapter> adapter)
    : config_(adapter->config()), model_(adapter->model()), adapter_(std::move(adapter)),
      parameters_(table_of(model_, config_)), trained_(adapter_->parameters(), {}),
      prefers_constants_(device.capabilities().prefers_constants),
      divides_head_(device.capabilities().transposed_parameters),
      stacks_adapters_(device.capabilities().stacks_products),
      joins_adapters_(device.capabilities().joins_products) {
  for (const model::LoraModule& module : adapter_->modules()) {
    if (module.magnitude < 0) continue;
    norms_.push_back({&module, norms_size_});
    norms_size_ += (module.base->shape[0] + alignment - 1) / alignment * alignment;
  }
}

std::vector<StepWeights::Entry> StepWeights::entries(int32_t layer) const {
  if (layer == embedding) return {{"embedding_weight", &parameters_->embedding()}};
  if (layer == head())
    return {{"final_norm_weight", &parameters_->final_norm()},
            {"head_weight", &parameters_->head()}};
  std::vector<Entry> entries;
  for (const model::Parameter& parameter : parameters_->layer(layer))
    entries.push_back({parameter.port, &parameter});
  return entries;
}

bool StepWeights::is_constant(const model::Parameter& parameter) const {
  if (parameter.is_compressed()) return true;
  return prefers_constants_ && (adapter_ != nullptr || trained_.find(parameter) == nullptr);
}

// An adapter knows those of the embedding and the head as those of no layer.
model::AdapterShape StepWeights::shape(int32_t layer) const {
  if (!adapter_) return {};
  model::AdapterShape shape = adapter_->shape(layer == head() ? embedding : layer);
  shape.stacked = stacks_adapters_;
  if (layer != embedding && layer != head()) return shape;
  const char* port = layer == embedding ? "embed_tokens" : "lm_head";
  std::erase_if(shape.modules, [&](const auto& module) { return module.port != port; });
  shape.dropout = shape.dropout && layer == head() && !shape.modules.empty();
  return shape;
}

// Parts of about equal size, whole vectors of the engine's. A head with an adapter stays in one, as
// its second matrix does, and so does a compressed one. One in constants is read transposed, too:
// then its rows are channels, of which a convolution has no more either.
std::vector<int64_t> StepWeights::head_rows() const {
  constexpr int64_t multiple = 32;
  const int64_t rows = config_.vocab_size;
  const model::Parameter& matrix = parameters_->head();
  const bool divides = is_constant(matrix) ? !matrix.is_compressed() : divides_head_;
  if (!divides || rows <= max_kernel_rows || !shape(head()).modules.empty()) return {};
  const int64_t count = (rows + max_kernel_rows - 1) / max_kernel_rows;
  const int64_t size = ((rows + count - 1) / count + multiple - 1) / multiple * multiple;
  std::vector<int64_t> parts;
  for (int64_t begin = 0; begin < rows; begin += size)
    parts.push_back(std::min(size, rows - begin));
  return parts;
}

void StepWeights::add_ports(std::vector<WeightPort>& ports, const Entry& entry,
                            bool is_head) const {
  const model::Parameter* parameter = entry.parameter;
  const TrainedTensor* tensor = adapter_ ? nullptr : trained_.find(*parameter);
  const auto add = [&](const std::string& name, int64_t begin) {
    if (tensor != nullptr)
      ports.push_back(
          {name, WeightArray::trained, parameter->offset + begin, tensor->offset + begin});
    else
      ports.push_back({name, WeightArray::frozen, parameter->offset + begin, -1});
  };
  const std::vector<int64_t> rows = is_head ? head_rows() : std::vector<int64_t>();
  if (rows.empty()) return add(entry.port, 0);
  int64_t begin = 0;
  for (size_t part = 0; part < rows.size(); ++part) {
    add(model::head_part_port(part), begin);
    begin += rows[part] * config_.hidden_size;
  }
}

std::vector<WeightPort> StepWeights::ports(int32_t layer) const {
  std::vector<WeightPort> ports;
  for (const Entry& entry : entries(layer)) {
    const bool is_head = layer == head() && entry.port == "head_weight";
    if (!is_constant(*entry.parameter)) add_ports(ports, entry, is_head);
  }
  for (const model::AdapterShape::Module& module : shape(layer).modules) {
    const std::string prefix = module.port + "_";
    const int32_t adapter_layer = layer == head() ? embedding : layer;
    for (const TrainedTensor& tensor : trained_.all()) {
      const model::Parameter& parameter = *tensor.parameter;
      if (parameter.layer == adapter_layer && parameter.port.starts_with(prefix))
        ports.push_back({parameter.port, WeightArray::trained, parameter.offset, tensor.offset});
    }
    for (const auto& [with_norms, offset] : norms_)
      if (with_norms->layer == adapter_layer && with_norms->port == module.port)
        ports.push_back({prefix + "inverse_norm", WeightArray::norms, offset, -1});
  }
  return ports;
}

std::vector<std::string> StepWeights::trained_ports(int32_t layer) const {
  std::vector<std::string> names;
  for (const WeightPort& port : ports(layer))
    if (port.gradient >= 0) names.push_back(port.port);
  return names;
}

bool StepWeights::has_constants(int32_t layer) const {
  const auto all = entries(layer);
  return std::any_of(all.begin(), all.end(),
                     [&](const Entry& entry) { return is_constant(*entry.parameter); });
}

const model::Parameter* StepWeights::find_parameter(int32_t layer, std::string_view port) const {
  const auto all = parameters_->layer(layer);
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const auto& parameter) { return parameter.port == port; });
  return found == all.end() ? nullptr : &*found;
}

StepWeights::NormMatrices StepWeights::matrices_behind(int32_t layer,
                                                       const model::BlockNorm& norm) const {
  const auto find = [&](const std::string& port) {
    const model::Parameter* found = find_parameter(layer, port);
    if (found == nullptr) fail(Status::internal, "expected a parameter ", port, ", seen none");
    return found;
  };
  NormMatrices result{find(norm.weight), {}};
  for (const char* module : norm.modules)
    result.matrices.push_back(find(std::string(module) + "_weight"));
  return result;
}

std::optional<double> StepWeights::fold_factor(const NormMatrices& norm) const {
  const auto is_plain_constant = [&](const model::Parameter* parameter) {
    return is_constant(*parameter) && !parameter->is_compressed();
  };
  if (!is_plain_constant(norm.weight) ||
      !std::all_of(norm.matrices.begin(), norm.matrices.end(), is_plain_constant))
    return std::nullopt;
  const std::span<const float> weight = model_->values(*norm.weight);
  return norm_factor(weight, [&](double factor) {
    const std::vector<float> columns = column_factors(weight, factor);
    const std::vector<float> ones(columns.size(), 1.0f);
    return fp16_holds(columns, ones) &&
           std::all_of(norm.matrices.begin(), norm.matrices.end(), [&](const auto* matrix) {
             return fp16_holds(model_->values(*matrix), columns);
           });
  });
}

model::FoldedNorms StepWeights::folded_norms(int32_t layer, DataType dtype) const {
  model::FoldedNorms folded;
  if (dtype != DataType::fp16 || layer == embedding || layer == head()) return folded;
  for (const model::BlockNorm& norm : model::block_norms())
    if (const auto factor = fold_factor(matrices_behind(layer, norm)))
      folded.emplace(norm.weight, *factor);
  for (const char* norm : model::head_norms)
    if (const model::Parameter* weight = find_parameter(layer, norm))
      if (is_constant(*weight)) folded.emplace(norm, 1);
  return folded;
}

Constants StepWeights::constants(int32_t layer, DataType dtype,
                                 const model::FoldedNorms& folded) const {
  Constants constants;
  for (const model::BlockNorm& norm : model::block_norms())
    if (const auto found = folded.find(norm.weight); found != folded.end())
      add_folded(constants, matrices_behind(layer, norm), found->second);
  for (const Entry& entry : entries(layer)) {
    if (!is_constant(*entry.parameter) || constants.contains(entry.port)) continue;
    const bool is_head = layer == head() && entry.port == "head_weight";
    add_constants(constants, entry, is_head, dtype);
  }
  return constants;
}

std::vector<std::string> StepWeights::joinable_ports(int32_t layer) const {
  std::vector<std::string> ports;
  if (!joins_adapters_ || layer == embedding || layer == head()) return ports;
  for (const model::AdapterShape::Module& module : shape(layer).modules)
    if (const model::Parameter* matrix = find_parameter(layer, module.port + "_weight"))
      if (is_constant(*matrix) && !matrix->is_compressed()) ports.push_back(matrix->port);
  return ports;
}

void StepWeights::add_folded(Constants& constants, const NormMatrices& norm, double factor) const {
  const std::vector<float> columns = column_factors(model_->values(*norm.weight), factor);
  const auto add = [&](const model::Parameter& parameter, mil::Bytes bytes) {
    const mil::Type type{DataType::fp16, port_shape(parameter, false), {}};
    constants.emplace(parameter.port, mil::Literal::bytes(type, std::move(bytes)));
  };
  add(*norm.weight, narrowed(columns, DataType::fp16));
  for (const model::Parameter* matrix : norm.matrices)
    add(*matrix, fp16_with_columns(model_->values(*matrix), columns));
}

void StepWeights::add_constants(Constants& constants, const Entry& entry, bool is_head,
                                DataType dtype) const {
  const model::Parameter& parameter = *entry.parameter;
  if (parameter.is_compressed()) {
    constants.emplace(entry.port, model_->compressed(parameter));
    return;
  }
  const mil::Type type{dtype, port_shape(parameter, entry.port == "embedding_weight"), {}};
  const mil::Bytes bytes = constant_bytes(parameter, dtype);
  const std::vector<int64_t> rows = is_head ? head_rows() : std::vector<int64_t>();
  if (rows.empty()) {
    constants.emplace(entry.port, mil::Literal::bytes(type, bytes));
    return;
  }
  const auto whole = std::make_shared<const mil::Bytes>(bytes);
  const size_t row_bytes = bytes.size() / static_cast<size_t>(type.shape.front());
  size_t begin = 0;
  for (size_t part = 0; part < rows.size(); ++part) {
    const size_t size = static_cast<size_t>(rows[part]) * row_bytes;
    mil::Type part_type = type;
    part_type.shape.front() = rows[part];
    const mil::Bytes part_bytes(whole, whole->view().subspan(begin, size));
    constants.emplace(model::head_part_port(part), mil::Literal::bytes(part_type, part_bytes));
    begin += size;
  }
}

mil::Bytes StepWeights::constant_bytes(const model::Parameter& parameter, DataType dtype) const {
  const std::span<const float> values = model_->values(parameter);
  if (dtype == DataType::fp32) return {model_, std::as_bytes(values)};
  if (&parameter != &parameters_->embedding()) return narrowed(values, dtype);
  if (narrow_embedding_.size() == 0) narrow_embedding_ = narrowed(values, dtype);
  return narrow_embedding_;
}

uint64_t StepWeights::constant_copy_bytes(DataType dtype) const {
  uint64_t bytes = 0;
  if (dtype != DataType::fp32)
    for (const model::Parameter& parameter : parameters_->all())
      if (is_constant(parameter) && !parameter.is_compressed())
        bytes += static_cast<uint64_t>(parameter.elements) * 2;
  return bytes;
}

int32_t StepWeights::lowest_trained() const {
  for (int32_t layer = embedding; layer < head(); ++layer)
    if (!trained_ports(layer).empty()) return layer;
  return head();
}

bool StepWeights::can_avoid_constants() const {
  return prefers_constants_ && !model_->is_compressed();
}

} // namespace anet::train
