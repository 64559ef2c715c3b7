#include "capi/model.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/parameters.h"
#include "capi/structs.h"
#include "train/session.h"

#include <algorithm>
#include <span>

namespace anet::capi {

namespace {

std::unique_ptr<anet_model> create(const model::Config& config, uint64_t seed) {
  auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), model->config(), seed, model->weights());
  return std::make_unique<anet_model>(std::move(model));
}

std::span<const model::Parameter> parameters_of(const anet_model& handle) {
  return handle.model->parameters().all();
}

} // namespace

anet_parameter describe_parameter(const model::Model& model, const model::Parameter& parameter) {
  anet_parameter result = struct_of(parameter);
  if (!parameter.is_compressed()) return result;
  const mil::CompressedWeight& weight = model.compressed(parameter);
  result.compression = static_cast<anet_compression>(weight.compression);
  result.block_size = static_cast<int32_t>(weight.block_size);
  result.bytes = weight.bytes();
  return result;
}

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_model_create(const anet_model_config* config, uint64_t seed, anet_model** model,
                              anet_error** error) {
  return guard_create(model, "model", error,
                      [&] { return create(config_of(read_struct(config, "config")), seed); });
}

anet_status anet_model_save(const anet_model* model, const char* path, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const std::string target = read_path(path, "path");
    const auto call = enter_model(handle, Access::shared);
    anet::train::save_model(*handle.model, target);
  });
}

anet_status anet_model_get_config(const anet_model* model, anet_model_config* config,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const OutputStruct output(config, "config");
    output.write(struct_of(handle.model->config()));
  });
}

uint64_t anet_model_weight_count(const anet_model* model) {
  return is_valid(model) ? static_cast<uint64_t>(model->model->parameters().weight_count()) : 0;
}

uint64_t anet_model_weight_bytes(const anet_model* model) {
  return is_valid(model) ? model->model->weight_bytes() : 0;
}

size_t anet_model_parameter_count(const anet_model* model) {
  return is_valid(model) ? model->model->parameters().all().size() : 0;
}

anet_status anet_model_get_parameter(const anet_model* model, size_t index,
                                     anet_parameter* parameter, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const OutputStruct output(parameter, "parameter");
    const auto& found = parameter_at(parameters_of(handle), index);
    output.write(describe_parameter(*handle.model, found));
  });
}

anet_status anet_model_find_parameter(const anet_model* model, const char* name, size_t* index,
                                      anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    require(index, "index") = find_parameter(parameters_of(handle), read_string(name, "name"));
  });
}

anet_status anet_model_read_parameter(const anet_model* model, size_t index, float* values,
                                      size_t count, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const auto& parameter = parameter_at(parameters_of(handle), index);
    check_value_count(parameter, count);
    float* target = &require(values, "values");
    const auto call = enter_model(handle, Access::shared);
    handle.model->read(parameter, {target, count});
  });
}

anet_status anet_model_write_parameter(anet_model* model, size_t index, const float* values,
                                       size_t count, anet_error** error) {
  return guard(error, [&] {
    anet_model& handle = check_handle(model, "model");
    const auto& parameter = parameter_at(parameters_of(handle), index);
    check_value_count(parameter, count);
    const float* source = &require(values, "values");
    const auto call = enter_model(handle, Access::exclusive);
    handle.model->check_writable();
    std::copy(source, source + count, handle.model->values(parameter).begin());
    handle.model->touch();
  });
}

void anet_model_retain(anet_model* model) { retain_handle(model); }

void anet_model_release(anet_model* model) { release_handle(model); }
