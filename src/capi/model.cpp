#include "capi/model.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"
#include "train/session.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace anet::capi {

namespace {

std::unique_ptr<anet_model> create(const model::Config& config, uint64_t seed) {
  auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), model->config(), seed, model->weights());
  return std::make_unique<anet_model>(std::move(model));
}

const model::Parameter& find(const anet_model& handle, size_t index) {
  const auto parameters = handle.model->parameters().all();
  check_index(index, parameters.size(), "parameter");
  return parameters[index];
}

size_t find(const anet_model& handle, const std::string& name) {
  const auto parameters = handle.model->parameters().all();
  if (const model::Parameter* found = handle.model->parameters().find(name))
    return static_cast<size_t>(found - parameters.data());
  std::vector<std::string_view> names;
  for (const model::Parameter& parameter : parameters) names.push_back(parameter.name);
  const auto nearest = nearest_key(name, names);
  fail(Status::not_found, "expected the name of a parameter, seen '", name, "'",
       nearest ? concat(", did you mean '", *nearest, "'") : std::string());
}

anet_parameter describe(const model::Parameter& parameter) {
  anet_parameter result{};
  result.rank = static_cast<uint32_t>(parameter.shape.size());
  result.name = parameter.name.c_str();
  std::copy(parameter.shape.begin(), parameter.shape.end(), result.shape);
  result.offset = static_cast<uint64_t>(parameter.offset);
  result.element_count = static_cast<uint64_t>(parameter.elements);
  return result;
}

void check_count(const model::Parameter& parameter, size_t count) {
  if (count != static_cast<size_t>(parameter.elements))
    fail(Status::shape_mismatch, "expected ", parameter.elements, " values for '", parameter.name,
         "' of shape ", mil::shape_to_string(parameter.shape), ", seen ", count);
}

} // namespace

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

size_t anet_model_parameter_count(const anet_model* model) {
  return is_valid(model) ? model->model->parameters().all().size() : 0;
}

anet_status anet_model_get_parameter(const anet_model* model, size_t index,
                                     anet_parameter* parameter, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const OutputStruct output(parameter, "parameter");
    output.write(describe(find(handle, index)));
  });
}

anet_status anet_model_find_parameter(const anet_model* model, const char* name, size_t* index,
                                      anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    require(index, "index") = find(handle, read_string(name, "name"));
  });
}

anet_status anet_model_read_parameter(const anet_model* model, size_t index, float* values,
                                      size_t count, anet_error** error) {
  return guard(error, [&] {
    const anet_model& handle = check_handle(model, "model");
    const auto& parameter = find(handle, index);
    check_count(parameter, count);
    float* target = &require(values, "values");
    const auto call = enter_model(handle, Access::shared);
    const std::span<const float> source = handle.model->values(parameter);
    std::copy(source.begin(), source.end(), target);
  });
}

anet_status anet_model_write_parameter(anet_model* model, size_t index, const float* values,
                                       size_t count, anet_error** error) {
  return guard(error, [&] {
    anet_model& handle = check_handle(model, "model");
    const auto& parameter = find(handle, index);
    check_count(parameter, count);
    const float* source = &require(values, "values");
    const auto call = enter_model(handle, Access::exclusive);
    std::copy(source, source + count, handle.model->values(parameter).begin());
    handle.model->touch();
  });
}

void anet_model_retain(anet_model* model) { retain_handle(model); }

void anet_model_release(anet_model* model) { release_handle(model); }
