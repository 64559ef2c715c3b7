// Adapters of PEFT.
#include "base/status.h"
#include "io/adapter_file/adapter_tensors.h"
#include "io/adapter_file/peft_config.h"

#include <cmath>

namespace anet::io {
namespace {

constexpr std::string_view prefix = "base_model.model.";
constexpr std::string_view magnitude_suffix = ".lora_magnitude_vector";

AdapterTensor stored_name(const model::Parameter& parameter) {
  return {concat(prefix, parameter.name), false};
}

// Older versions of PEFT end a magnitude's name in ".weight".
AdapterNaming naming_of(const SafetensorsReader& weights) {
  return [&weights](const model::Parameter& parameter) {
    AdapterTensor tensor = stored_name(parameter);
    if (tensor.name.ends_with(magnitude_suffix) && !weights.contains(tensor.name) &&
        weights.contains(tensor.name + ".weight"))
      tensor.name += ".weight";
    return tensor;
  };
}

std::vector<model::LoraTarget> targets_of(const PeftConfig& config, const model::Model& base) {
  std::vector<model::LoraTarget> targets;
  for (const model::Parameter& parameter : base.parameters().all())
    if (parameter.shape.size() == 2)
      if (auto target = config.target(model::module_name(parameter)))
        targets.push_back(std::move(*target));
  return targets;
}

// Equal but for the rounding to the stored type.
bool is_copy(const TensorView& stored, std::span<const float> base) {
  const double tolerance = stored.dtype == mil::DataType::fp32 ? 0 : 0x1p-8;
  const std::vector<float> values = to_float(stored);
  for (size_t i = 0; i < values.size(); ++i)
    if (!(std::fabs(double{values[i]} - base[i]) <=
          tolerance * std::fabs(base[i]) + tolerance / 256))
      return false;
  return true;
}

// PEFT adds the model's own embedding and head to an adapter of them. They are what the model has,
// or they were trained too, which we cannot use.
bool is_base_weight(const SafetensorsReader& weights, const SafetensorsEntry& entry,
                    const model::Model& base) {
  std::string name = entry.name;
  if (!name.starts_with(prefix)) return false;
  name.erase(0, prefix.size());
  constexpr std::string_view layer = ".base_layer";
  if (const size_t at = name.find(layer); at != std::string::npos) name.erase(at, layer.size());
  const model::Parameter* parameter = base.parameters().find(name);
  if (parameter == nullptr || parameter->layer >= 0 || entry.shape != parameter->shape)
    return false;
  std::vector<float> values(static_cast<size_t>(parameter->elements));
  base.read(*parameter, values);
  if (!base.is_compressed() && !is_copy(weights.tensor(entry), values))
    fail(Status::unsupported, "cannot use an adapter with weights of its own for '", name,
         "'; only low-rank changes are supported");
  return true;
}

void refuse_tied_head(const AdapterFiles& files, const model::Config& config) {
  if (config.tie_embeddings && files.weights.contains(concat(prefix, "lm_head.lora_A.weight")))
    fail(Status::unsupported, files.path,
         ": cannot adapt 'lm_head' of a model whose embeddings are tied");
}

} // namespace

AdapterPointer read_peft(const AdapterFiles& files, const ModelPointer& base) {
  const PeftConfig config(JsonView(files.config, Status::invalid_data, files.source));
  refuse_tied_head(files, base->config());
  std::vector<model::LoraTarget> targets = targets_of(config, *base);
  if (targets.empty())
    fail(Status::invalid_data, files.source,
         ": expected 'target_modules' of this model, seen none of them");
  auto adapter = std::make_shared<model::Adapter>(base, config.options(), std::move(targets));
  read_adapter_tensors(
      files, naming_of(files.weights), *adapter,
      [&](const SafetensorsEntry& entry) { return is_base_weight(files.weights, entry, *base); });
  return adapter;
}

void write_peft(const model::Adapter& adapter, const AdapterSaveOptions& options,
                const AtomicDirectory& directory, FileSystem& files) {
  write_json(directory, adapter_config_file, write_peft_config(adapter, options.base_name), files);
  write_adapter_tensors(adapter, stored_name, options.type, directory.path_of(peft_weights_file),
                        {}, files);
}

} // namespace anet::io
