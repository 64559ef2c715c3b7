#include "io/model_file/quantize_model.h"

#include "base/status.h"
#include "io/model_file/compress_tensor.h"

namespace anet::io {

CompressedTensor compress_tensor(ThreadPool& pool, const model::Parameter& parameter,
                                 std::span<const float> values, const quant::Scheme& scheme,
                                 PartAllocator& memory) {
  try {
    CompressedTensor tensor;
    tensor.weight =
        quant::quantize(pool, values, parameter.shape[0], parameter.shape[1], scheme, memory);
    tensor.report = report_of(parameter, scheme, tensor.weight);
    tensor.report.error = quant::measure_error(pool, values, tensor.weight);
    return tensor;
  } catch (const Error& error) {
    throw Error(error.status(), concat(parameter.name, ": ", error.message()), error.detail());
  }
}

quant::TensorReport report_of(const model::Parameter& parameter) {
  const uint64_t bytes = static_cast<uint64_t>(parameter.elements) * sizeof(float);
  quant::TensorReport report;
  report.name = parameter.name;
  report.bytes_before = bytes;
  report.bytes_after = bytes;
  return report;
}

quant::TensorReport report_of(const model::Parameter& parameter, const quant::Scheme& scheme,
                              const mil::CompressedWeight& weight) {
  quant::TensorReport report = report_of(parameter);
  report.scheme = scheme;
  report.bytes_after = weight.bytes();
  return report;
}

void check_recipe(const quant::Recipe& recipe, const model::Config& config) {
  const model::ParameterTable table(config);
  std::vector<std::string_view> matrices;
  for (const model::Parameter& parameter : table.all())
    if (parameter.shape.size() == 2) matrices.push_back(parameter.name);
  quant::check_overrides(recipe, matrices);
}

quant::Scheme scheme_of(const mil::CompressedWeight& weight) {
  return {weight.compression, weight.block_size};
}

QuantizedModel quantize_model(const model::Model& model, const quant::Recipe& recipe,
                              ThreadPool& pool, const TensorCallback& progress) {
  const auto wanted = [&](const model::Parameter& parameter) {
    return quant::scheme_for(recipe, parameter.name, parameter.shape);
  };
  check_recipe(recipe, model.config());
  QuantizedModel result;
  result.model = std::make_shared<model::Model>(
      model.config(), [&](const model::Parameter& p) { return wanted(p).has_value(); });
  TensorProgress state{.total = model.parameters().weight_count()};
  std::vector<float> expanded;
  PartAllocator memory(code_piece_bytes);
  for (const model::Parameter& target : result.model->parameters().all()) {
    const model::Parameter& source = *model.parameters().find(target.name);
    const std::optional<quant::Scheme> scheme = wanted(target);
    if (!scheme) {
      model.read(source, result.model->values(target));
      result.tensors.push_back(report_of(target));
    } else if (source.is_compressed() && scheme_of(model.compressed(source)) == *scheme) {
      const mil::CompressedWeight& weight = model.compressed(source);
      result.model->set_compressed(target, weight);
      result.tensors.push_back(report_of(target, *scheme, weight));
    } else {
      std::span<const float> values;
      if (source.is_compressed()) {
        expanded.resize(static_cast<size_t>(source.elements));
        model.read(source, expanded);
        values = expanded;
      } else {
        values = model.values(source);
      }
      CompressedTensor tensor = compress_tensor(pool, target, values, *scheme, memory);
      result.model->set_compressed(target, std::move(tensor.weight));
      result.tensors.push_back(std::move(tensor.report));
    }
    state.name = target.name;
    state.done += target.elements;
    if (progress) progress(state);
  }
  return result;
}

} // namespace anet::io
