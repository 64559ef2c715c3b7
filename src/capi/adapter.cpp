// Adapters: making, describing, reading and writing them. Files and merging are in
// adapter_file.cpp.
#include "capi/adapter.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/parameters.h"
#include "capi/structs.h"

#include <algorithm>

namespace anet::capi {

namespace {

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

model::LoraOptions options_of(const anet_adapter_options& options) {
  model::LoraOptions result;
  result.rank = options.rank;
  result.alpha = options.alpha;
  result.dropout = options.dropout;
  result.rslora = check_flag(options.rslora, Status::unsupported_option, "options.rslora");
  result.dora = check_flag(options.dora, Status::unsupported_option, "options.dora");
  result.targets = read_patterns(options.targets, "options.targets");
  result.first_layer = options.first_layer;
  result.layer_count = options.layer_count;
  for (const anet_adapter_override& override :
       read_array(options.overrides, options.override_count, "options.overrides")) {
    if (override.reserved != 0) fail_reserved("options.overrides[]", "reserved");
    result.overrides.push_back({read_string(override.pattern, "options.overrides[].pattern"),
                                override.rank, override.alpha});
  }
  return result;
}

std::unique_ptr<anet_adapter> create(anet_model& model, const anet_adapter_options& options) {
  const auto call = enter_model(model, Access::shared);
  return std::make_unique<anet_adapter>(
      Ref(model), std::make_shared<model::Adapter>(model.model, options_of(options), options.seed));
}

anet_adapter_info describe(const model::Adapter& adapter) {
  anet_adapter_info info{};
  const auto modules = adapter.modules();
  const auto largest =
      std::max_element(modules.begin(), modules.end(),
                       [](const auto& a, const auto& b) { return a.target.rank < b.target.rank; });
  if (largest != modules.end()) {
    info.rank = largest->target.rank;
    info.alpha = largest->target.alpha;
  }
  info.dropout = adapter.options().dropout;
  info.rslora = adapter.options().rslora;
  info.dora = adapter.options().dora;
  info.module_count = modules.size();
  info.weight_count = static_cast<uint64_t>(adapter.weight_count());
  return info;
}

anet_adapter_module describe(const model::LoraModule& module) {
  anet_adapter_module result{};
  result.rank = module.target.rank;
  result.name = module.target.module.c_str();
  result.alpha = module.target.alpha;
  result.scale = module.scale;
  return result;
}

} // namespace

std::vector<std::string> read_patterns(const char* text, const char* argument) {
  std::vector<std::string> patterns;
  if (text == nullptr) return patterns;
  const std::string list = read_string(text, argument);
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    patterns.push_back(trimmed(std::string_view(list).substr(begin, end - begin)));
    if (patterns.back().empty())
      fail(Status::invalid_argument, "expected patterns separated by commas in '", argument,
           "', seen '", list, "'");
    begin = end + 1;
  }
  return patterns;
}

WeightedAdapters::WeightedAdapters(const anet_weighted_adapter* adapters, size_t count) {
  for (const anet_weighted_adapter& added : read_array(adapters, count, "adapters")) {
    const anet_adapter& handle = check_handle(added.adapter, "adapters[].adapter");
    scopes_.push_back(enter_adapter(handle, Access::shared));
    values_.push_back({handle.adapter, added.weight});
  }
}

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_adapter_create(anet_model* model, const anet_adapter_options* options,
                                anet_adapter** adapter, anet_error** error) {
  return guard_create(adapter, "adapter", error, [&] {
    return create(check_handle(model, "model"), read_optional_struct(options, "options"));
  });
}

anet_status anet_adapter_get_info(const anet_adapter* adapter, anet_adapter_info* info,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_adapter& handle = check_handle(adapter, "adapter");
    const OutputStruct output(info, "info");
    output.write(describe(*handle.adapter));
  });
}

anet_status anet_adapter_get_module(const anet_adapter* adapter, size_t index,
                                    anet_adapter_module* module, anet_error** error) {
  return guard(error, [&] {
    const anet_adapter& handle = check_handle(adapter, "adapter");
    const OutputStruct output(module, "module");
    const auto modules = handle.adapter->modules();
    check_index(index, modules.size(), "module");
    output.write(describe(modules[index]));
  });
}

anet_status anet_adapter_get_model(const anet_adapter* adapter, anet_model** model,
                                   anet_error** error) {
  return guard_create(model, "model", error,
                      [&] { return check_handle(adapter, "adapter").model; });
}

size_t anet_adapter_parameter_count(const anet_adapter* adapter) {
  return is_valid(adapter) ? adapter->adapter->parameters().size() : 0;
}

anet_status anet_adapter_get_parameter(const anet_adapter* adapter, size_t index,
                                       anet_parameter* parameter, anet_error** error) {
  return guard(error, [&] {
    const anet_adapter& handle = check_handle(adapter, "adapter");
    const OutputStruct output(parameter, "parameter");
    output.write(struct_of(parameter_at(handle.adapter->parameters(), index)));
  });
}

anet_status anet_adapter_find_parameter(const anet_adapter* adapter, const char* name,
                                        size_t* index, anet_error** error) {
  return guard(error, [&] {
    const anet_adapter& handle = check_handle(adapter, "adapter");
    require(index, "index") =
        find_parameter(handle.adapter->parameters(), read_string(name, "name"));
  });
}

anet_status anet_adapter_read_parameter(const anet_adapter* adapter, size_t index, float* values,
                                        size_t count, anet_error** error) {
  return guard(error, [&] {
    const anet_adapter& handle = check_handle(adapter, "adapter");
    const auto& parameter = parameter_at(handle.adapter->parameters(), index);
    check_value_count(parameter, count);
    float* target = &require(values, "values");
    const auto call = enter_adapter(handle, Access::shared);
    const auto source = std::as_const(*handle.adapter).values(parameter);
    std::copy(source.begin(), source.end(), target);
  });
}

anet_status anet_adapter_write_parameter(anet_adapter* adapter, size_t index, const float* values,
                                         size_t count, anet_error** error) {
  return guard(error, [&] {
    anet_adapter& handle = check_handle(adapter, "adapter");
    const auto& parameter = parameter_at(handle.adapter->parameters(), index);
    check_value_count(parameter, count);
    const float* source = &require(values, "values");
    const auto call = enter_adapter(handle, Access::exclusive);
    std::copy(source, source + count, handle.adapter->values(parameter).begin());
    handle.adapter->touch();
  });
}

void anet_adapter_retain(anet_adapter* adapter) { retain_handle(adapter); }

void anet_adapter_release(anet_adapter* adapter) { release_handle(adapter); }
