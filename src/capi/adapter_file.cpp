// Adapters in files, and merged into models.
#include "io/adapter_file/adapter_file.h"
#include "capi/adapter.h"
#include "io/adapter_checkpoint.h"

#include "base/file.h"
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"
#include "io/checkpoint.h"
#include "model/merge.h"

namespace anet::capi {

namespace {

std::unique_ptr<anet_adapter> load(anet_model& model, const std::string& path) {
  const auto call = enter_model(model, Access::shared);
  const bool is_checkpoint = path_exists(path + "/state.json");
  auto adapter = is_checkpoint ? io::checkpoint_adapter(io::CheckpointReader(path), model.model)
                               : io::load_adapter(path, model.model);
  return std::make_unique<anet_adapter>(Ref(model), std::move(adapter));
}

io::AdapterSaveOptions save_options_of(const anet_adapter_save_options& options) {
  static constexpr io::AdapterFormat formats[] = {io::AdapterFormat::peft, io::AdapterFormat::mlx,
                                                  io::AdapterFormat::gguf};
  io::AdapterSaveOptions result;
  result.format =
      formats[check_enumerator(options.format, 0, 3, Status::unsupported_option, "options.format")];
  result.type = static_cast<io::ExportType>(
      check_enumerator(options.type, 0, 3, Status::unsupported_option, "options.type"));
  if (options.base_name != nullptr)
    result.base_name = read_string(options.base_name, "options.base_name");
  return result;
}

void check_some(const WeightedAdapters& adapters) {
  if (adapters.values().empty())
    fail(Status::invalid_argument, "expected at least one adapter, seen none");
}

std::unique_ptr<anet_model> merge(const anet_model& model, const WeightedAdapters& adapters) {
  check_some(adapters);
  const auto call = enter_model(model, Access::shared);
  auto merged = std::make_unique<anet_model>(model::merged_model(*model.model, adapters.values()));
  merged->extras = model.extras; // the tokenizer and the stop ids are the same
  return merged;
}

void merge_in_place(anet_model& model, const WeightedAdapters& adapters) {
  check_some(adapters);
  const auto call = CallScope<anet_model>(model, Access::exclusive, Nesting::refused, "model");
  if (model.merge)
    fail(Status::invalid_state, "expected a model without merged adapters; call "
                                "anet_model_unmerge first");
  model.model->check_writable();
  model.merge.emplace(model.model, adapters.values());
}

void unmerge(anet_model& model) {
  const auto call = CallScope<anet_model>(model, Access::exclusive, Nesting::refused, "model");
  if (!model.merge)
    fail(Status::invalid_state, "expected a model with merged adapters, seen one without");
  model.model->check_writable();
  model.merge->unmerge();
  model.merge.reset();
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_adapter_load(anet_model* model, const char* path, anet_adapter** adapter,
                              anet_error** error) {
  return guard_create(adapter, "adapter", error,
                      [&] { return load(check_handle(model, "model"), read_path(path, "path")); });
}

anet_status anet_adapter_save(const anet_adapter* adapter, const char* path,
                              const anet_adapter_save_options* options, anet_error** error) {
  return guard(error, [&] {
    const anet_adapter& handle = check_handle(adapter, "adapter");
    const std::string target = read_path(path, "path");
    const auto chosen = save_options_of(read_optional_struct(options, "options"));
    const auto call = enter_adapter(handle, Access::shared);
    anet::io::save_adapter(*handle.adapter, target, chosen);
  });
}

anet_status anet_model_merge(const anet_model* model, const anet_weighted_adapter* adapters,
                             size_t count, anet_model** merged, anet_error** error) {
  return guard_create(merged, "merged", error, [&] {
    return merge(check_handle(model, "model"), WeightedAdapters(adapters, count));
  });
}

anet_status anet_model_merge_in_place(anet_model* model, const anet_weighted_adapter* adapters,
                                      size_t count, anet_error** error) {
  return guard(error, [&] {
    merge_in_place(check_handle(model, "model"), WeightedAdapters(adapters, count));
  });
}

anet_status anet_model_unmerge(anet_model* model, anet_error** error) {
  return guard(error, [&] { unmerge(check_handle(model, "model")); });
}
