#include "io/adapter_file/adapter_tensors.h"

#include "base/status.h"
#include "io/model_file/encode.h"
#include "io/model_file/safetensors_files.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

namespace anet::io {
namespace {

mil::Shape stored_shape(const model::Parameter& parameter, bool transposed) {
  mil::Shape shape = parameter.shape;
  if (transposed) std::reverse(shape.begin(), shape.end());
  return shape;
}

// [rows, columns] -> [columns, rows].
void transpose(std::span<const float> values, int64_t rows, int64_t columns,
               std::span<float> result) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      result[static_cast<size_t>(j * rows + i)] = values[static_cast<size_t>(i * columns + j)];
}

bool is_transposed(const model::Parameter& parameter, const AdapterTensor& tensor) {
  return tensor.transposed && parameter.shape.size() == 2;
}

void read_one(const AdapterFiles& files, const SafetensorsEntry& entry, bool transposed,
              std::span<float> values) {
  const TensorView view = files.weights.tensor(entry);
  if (!transposed) return copy_to_float(view, values);
  const std::vector<float> stored = to_float(view);
  transpose(stored, view.shape[0], view.shape[1], values);
}

mil::DataType data_type(ExportType type) {
  if (type == ExportType::fp16) return mil::DataType::fp16;
  return type == ExportType::bf16 ? mil::DataType::bf16 : mil::DataType::fp32;
}

} // namespace

void read_adapter_tensors(const AdapterFiles& files, const AdapterNaming& naming,
                          model::Adapter& adapter,
                          const std::function<bool(const SafetensorsEntry&)>& may_ignore) {
  ProblemList problems;
  std::set<std::string> used;
  for (const model::Parameter& parameter : adapter.parameters()) {
    const AdapterTensor tensor = naming(parameter);
    const bool transposed = is_transposed(parameter, tensor);
    const mil::Shape expected = stored_shape(parameter, transposed);
    const SafetensorsEntry* entry = files.weights.find(tensor.name);
    used.insert(tensor.name);
    if (entry == nullptr)
      problems.add("'", tensor.name, "' is missing");
    else if (!safetensors_encoding(entry->dtype))
      problems.add("'", tensor.name, "' has type ", entry->dtype, ", expected F32, F16 or BF16");
    else if (entry->shape != expected)
      problems.add("'", tensor.name, "' has shape ", mil::shape_to_string(entry->shape),
                   ", expected ", mil::shape_to_string(expected));
    else
      read_one(files, *entry, transposed, adapter.values(parameter));
  }
  for (const SafetensorsEntry& entry : files.weights.entries())
    if (!used.contains(entry.name) && !may_ignore(entry))
      problems.add("'", entry.name, "' is not part of the adapter that ", adapter_config_file,
                   " describes");
  problems.check(files.path);
}

void write_adapter_tensors(const model::Adapter& adapter, const AdapterNaming& naming,
                           ExportType type, const std::string& path, Metadata metadata,
                           FileSystem& files) {
  std::unordered_map<std::string, const model::Parameter*> parameters;
  std::vector<TensorInfo> infos;
  for (const model::Parameter& parameter : adapter.parameters()) {
    const AdapterTensor tensor = naming(parameter);
    parameters.emplace(tensor.name, &parameter);
    infos.push_back(
        {tensor.name, data_type(type), stored_shape(parameter, is_transposed(parameter, tensor))});
  }
  OutputFile file(path, files);
  SafetensorsWriter writer(file, std::move(infos), std::move(metadata));
  std::vector<float> turned;
  std::vector<std::byte> bytes;
  for (const TensorInfo& info : writer.order()) {
    const model::Parameter& parameter = *parameters.at(info.name);
    std::span<const float> values = adapter.values(parameter);
    if (is_transposed(parameter, naming(parameter))) {
      turned.resize(values.size());
      transpose(values, parameter.shape[0], parameter.shape[1], turned);
      values = turned;
    }
    encode(encoding_of(type), values, info.name, bytes);
    writer.write(info.name, bytes);
  }
  writer.finish();
  file.close();
}

std::string name_in_layer(const model::LoraModule& module) {
  if (module.layer < 0) return module.target.module;
  const std::string prefix = concat("model.layers.", module.layer, ".");
  return module.target.module.substr(prefix.size());
}

AdapterLayout layout_of(const model::Adapter& adapter) {
  AdapterLayout layout;
  std::map<int32_t, std::vector<std::string>> by_layer;
  for (const model::LoraModule& module : adapter.modules()) {
    if (module.layer < 0)
      layout.outside.push_back(module.target.module);
    else
      by_layer[module.layer].push_back(name_in_layer(module));
  }
  layout.uniform = true;
  if (!by_layer.empty()) layout.in_layer = by_layer.begin()->second;
  for (const auto& [layer, names] : by_layer) {
    layout.layers.push_back(layer);
    layout.uniform = layout.uniform && names == layout.in_layer;
  }
  return layout;
}

void write_json(const AtomicDirectory& directory, std::string_view name, const Json& json,
                FileSystem& files) {
  OutputFile file(directory.path_of(name), files);
  file.write(as_bytes(json.to_string(2) + "\n"));
  file.close();
}

Json plain_number(double value) {
  const bool whole = value == std::floor(value) && std::fabs(value) < 0x1p53;
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

} // namespace anet::io
