#include "io/model_file/checkpoint_model.h"

#include "base/status.h"
#include "io/adapter_checkpoint.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/safetensors_files.h"
#include "io/model_file/sources.h"

namespace anet::io {
namespace {

model::Config config_from(const JsonView& json) {
  model::Config config;
  model::read_config(json, config);
  return model::resolve(config);
}

std::vector<TensorInfo> expected_tensors(const model::ParameterTable& table) {
  std::vector<TensorInfo> expected;
  for (const model::Parameter& parameter : table.all())
    expected.push_back({parameter.name, mil::DataType::fp32, parameter.shape});
  return expected;
}

// A checkpoint's weights: our own names and fp32.
class CheckpointSource final : public MappedSource {
public:
  CheckpointSource(CheckpointReader reader, FileSystem& files)
      : MappedSource(files), checkpoint_(std::move(reader)) {
    config_ = checkpoint_config(checkpoint_);
    const model::ParameterTable table(config_);
    check_tensors(checkpoint_.weights(), expected_tensors(table), "checkpoint weights");
    for (const model::Parameter& parameter : table.all())
      place(parameter, {.data = checkpoint_.weights().tensor(parameter.name).data});
  }

  std::string_view format() const override { return "checkpoint"; }

private:
  CheckpointReader checkpoint_;
};

} // namespace

CheckpointReader open_checkpoint(const std::string& path, FileSystem& files) {
  if (checkpoint_step(file_name(path)) || path_exists(join_path(path, "state.json"), files))
    return CheckpointReader(path, files);
  const CheckpointStore store(path, {}, files);
  if (auto reader = store.open_latest()) return std::move(*reader);
  std::string reasons;
  for (const CheckpointProblem& problem : store.problems())
    reasons += concat(reasons.empty() ? "; " : ", ", problem.entry.path, ": ", problem.message);
  fail(Status::not_found, "expected a checkpoint or a folder of checkpoints at '", path,
       "', seen no loadable one", reasons);
}

model::Config checkpoint_config(const CheckpointReader& reader) {
  if (reader.sections().find(adapter_section) != nullptr)
    fail(Status::invalid_checkpoint,
         "expected a checkpoint of a model, seen one of an adapter, which is loaded for its base: ",
         reader.directory());
  return config_from(reader.section("model"));
}

std::shared_ptr<model::Model> checkpoint_model(const CheckpointReader& reader) {
  auto model = std::make_shared<model::Model>(checkpoint_config(reader));
  check_tensors(reader.weights(), expected_tensors(model->parameters()), "model weights");
  for (const model::Parameter& parameter : model->parameters().all())
    copy_to_float(reader.weights().tensor(parameter.name), model->values(parameter));
  return model;
}

std::unique_ptr<ModelSource> open_checkpoint_model(const std::string& directory,
                                                   FileSystem& files) {
  return std::make_unique<CheckpointSource>(open_checkpoint(directory, files), files);
}

} // namespace anet::io
