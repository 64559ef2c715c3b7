// Models in few bits.
#include "capi/quantize.h"

#include "base/name_pattern.h"
#include "capi/arguments.h"
#include "capi/device.h"
#include "capi/guard.h"
#include "capi/model.h"
#include "capi/parameters.h"
#include "capi/structs.h"
#include "io/model_file/quantize_model.h"

#include <algorithm>

namespace anet::capi {

namespace {

using mil::Compression;

static_assert(static_cast<anet_compression>(Compression::int8_channel) ==
              ANET_COMPRESSION_INT8_CHANNEL);
static_assert(static_cast<anet_compression>(Compression::int8_block) ==
              ANET_COMPRESSION_INT8_BLOCK);
static_assert(static_cast<anet_compression>(Compression::int4_block) ==
              ANET_COMPRESSION_INT4_BLOCK);
static_assert(static_cast<anet_compression>(Compression::palette4) == ANET_COMPRESSION_PALETTE4);

std::optional<quant::Scheme> scheme_of(anet_compression compression, int32_t block_size,
                                       const char* field) {
  check_enumerator(compression, ANET_COMPRESSION_NONE, 6, Status::unsupported_option, field);
  if (compression == ANET_COMPRESSION_DEFAULT) compression = ANET_COMPRESSION_INT8_CHANNEL;
  const bool has_blocks = compression >= ANET_COMPRESSION_INT8_BLOCK;
  if (block_size < 0 || (block_size != 0 && !has_blocks))
    fail(Status::unsupported_option,
         "expected block_size 0 or, where values share a scale, above "
         "0, seen ",
         block_size, " with ", anet_compression_name(compression));
  if (compression == ANET_COMPRESSION_NONE) return std::nullopt;
  return quant::Scheme{static_cast<Compression>(compression), block_size};
}

void check_patterns(const quant::Recipe& recipe, const model::Model& model) {
  for (const quant::Recipe::Override& override : recipe.overrides) {
    const auto all = model.parameters().all();
    const bool found = std::any_of(all.begin(), all.end(), [&](const model::Parameter& parameter) {
      return parameter.shape.size() == 2 && matches_name(override.pattern, parameter.name);
    });
    if (!found)
      fail(Status::invalid_argument,
           "expected a pattern of matrices such as 'down_proj.weight' or "
           "'layers.0.*', seen '",
           override.pattern, "', which matches none of this model");
  }
}

std::unique_ptr<anet_model> quantize(const anet_model& model,
                                     const anet_quantize_options& options) {
  const quant::Recipe recipe = recipe_of(options);
  check_patterns(recipe, *model.model);
  const auto pool = threads_of(options);
  const auto call = enter_model(model, Access::shared);
  io::QuantizedModel made = io::quantize_model(
      *model.model, recipe, *pool, tensor_callback(options.progress, options.user_data));
  auto handle = std::make_unique<anet_model>(std::move(made.model));
  handle->quantization = std::move(made.tensors);
  handle->extras = model.extras; // the tokenizer and the stop ids are the same
  return handle;
}

anet_tensor_report describe(const anet_model& model, size_t index) {
  const model::Parameter& parameter = parameter_at(model.model->parameters().all(), index);
  const anet_parameter values = describe_parameter(*model.model, parameter);
  anet_tensor_report report{};
  report.compression = values.compression;
  report.name = values.name;
  report.block_size = values.block_size;
  report.bytes_before = values.element_count * sizeof(float);
  report.bytes_after = values.bytes;
  report.has_error = !parameter.is_compressed() || !model.quantization.empty();
  if (!parameter.is_compressed() || model.quantization.empty()) return report;
  const quant::TensorError& error = model.quantization.at(index).error;
  report.worst = error.worst;
  report.rms = error.rms;
  report.relative_rms = error.relative_rms;
  return report;
}

} // namespace

quant::Recipe recipe_of(const anet_quantize_options& options) {
  quant::Recipe recipe;
  const auto scheme = scheme_of(options.compression, options.block_size, "options.compression");
  if (scheme)
    recipe.scheme = *scheme;
  else
    recipe.overrides.push_back({"*", std::nullopt});
  for (const anet_quantize_override& override :
       read_array(options.overrides, options.override_count, "options.overrides"))
    recipe.overrides.push_back(
        {read_string(override.pattern, "options.overrides[].pattern"),
         scheme_of(override.compression, override.block_size, "options.overrides[].compression")});
  return recipe;
}

std::shared_ptr<ThreadPool> threads_of(const anet_quantize_options& options) {
  if (options.device == nullptr) return std::make_shared<ThreadPool>(1);
  const auto& device = check_handle(options.device, "options.device").device;
  return {device, &device->thread_pool()};
}

} // namespace anet::capi

using namespace anet::capi;

const char* anet_compression_name(anet_compression compression) {
  if (compression == ANET_COMPRESSION_NONE) return "fp32";
  if (compression < ANET_COMPRESSION_INT8_CHANNEL || compression > ANET_COMPRESSION_PALETTE4)
    return "undefined";
  return anet::mil::compression_name(static_cast<anet::mil::Compression>(compression));
}

anet_status anet_model_quantize(const anet_model* model, const anet_quantize_options* options,
                                anet_model** quantized, anet_error** error) {
  return guard_create(quantized, "quantized", error, [&] {
    return quantize(check_handle(model, "model"), read_optional_struct(options, "options"));
  });
}

anet_status anet_model_get_quantization_report(const anet_model* model, size_t index,
                                               anet_tensor_report* report, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const OutputStruct output(report, "report");
    output.write(describe(handle, index));
  });
}
