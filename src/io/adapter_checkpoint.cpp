#include "io/adapter_checkpoint.h"

#include "base/status.h"
#include "io/tensor_view.h"

#include <utility>
#include <vector>

namespace anet::io {

namespace {

// What is wrong with the settings is wrong with the checkpoint.
std::shared_ptr<model::Adapter> make_adapter(std::shared_ptr<const model::Model> base,
                                             const model::LoraOptions& options,
                                             std::vector<model::LoraTarget> targets) {
  try {
    return std::make_shared<model::Adapter>(std::move(base), options, std::move(targets));
  } catch (const Error& error) {
    if (error.status() == Status::out_of_memory) throw;
    fail(Status::invalid_checkpoint, error.message());
  }
}

} // namespace

Json write_adapter(const model::Adapter& adapter) {
  const model::LoraOptions& options = adapter.options();
  Json modules = Json::array();
  for (const model::LoraModule& module : adapter.modules()) {
    Json entry = Json::object();
    entry.set("module", Json(module.target.module));
    entry.set("rank", Json(module.target.rank));
    entry.set("alpha", Json(module.target.alpha));
    modules.push_back(std::move(entry));
  }
  Json json = Json::object();
  json.set("rank", Json(options.rank));
  json.set("alpha", Json(options.alpha));
  json.set("dropout", Json(options.dropout));
  json.set("rslora", Json(options.rslora));
  json.set("dora", Json(options.dora));
  json.set("modules", std::move(modules));
  return json;
}

std::shared_ptr<model::Adapter> checkpoint_adapter(const CheckpointReader& reader,
                                                   std::shared_ptr<const model::Model> base) {
  constexpr int64_t max_rank = 4096;
  if (reader.sections().find(adapter_section) == nullptr)
    fail(Status::invalid_checkpoint,
         "expected a checkpoint of an adapter, seen one of a model: ", reader.directory());
  const JsonView json = reader.section(adapter_section);
  model::LoraOptions options;
  options.rank = static_cast<int32_t>(json.at("rank").integer(1, max_rank));
  options.alpha = json.at("alpha").number();
  options.dropout = json.at("dropout").number();
  options.rslora = json.at("rslora").boolean();
  options.dora = json.at("dora").boolean();
  std::vector<model::LoraTarget> targets;
  const JsonView modules = json.at("modules");
  for (size_t i = 0; i < modules.size(); ++i) {
    const JsonView entry = modules.at(i);
    targets.push_back({entry.at("module").string(),
                       static_cast<int32_t>(entry.at("rank").integer(1, max_rank)),
                       entry.at("alpha").number()});
  }
  auto adapter = make_adapter(std::move(base), options, std::move(targets));
  std::vector<TensorInfo> expected;
  for (const model::Parameter& parameter : adapter->parameters())
    expected.push_back({parameter.name, mil::DataType::fp32, parameter.shape});
  check_tensors(reader.weights(), expected, "checkpoint adapter");
  for (const model::Parameter& parameter : adapter->parameters())
    copy_to_float(reader.weights().tensor(parameter.name), adapter->values(parameter));
  return adapter;
}

} // namespace anet::io
