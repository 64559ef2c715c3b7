#include "io/model_file/checkpoint_model.h"

#include "base/status.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/safetensors_files.h"
#include "io/model_file/sources.h"

namespace anet::io {
namespace {

constexpr const char* config_key = "ane_train.model_config";

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

// A checkpoint's weights, or a file of save_model: our own names and fp32.
class CheckpointSource final : public MappedSource {
public:
  CheckpointSource(CheckpointReader reader, FileSystem& files)
      : MappedSource(files), checkpoint_(std::move(reader)), format_("checkpoint") {
    config_ = checkpoint_config(*checkpoint_);
    place_all(checkpoint_->weights(), "checkpoint weights");
  }

  CheckpointSource(const std::string& path, FileSystem& files)
      : MappedSource(files), file_(path, files), format_("safetensors") {
    const auto config = file_.metadata().find(config_key);
    if (config == file_.metadata().end())
      fail(Status::invalid_checkpoint, "expected metadata '", config_key, "' in '", path,
           "', seen none; weights of a Hugging Face model are opened by their directory");
    const Json json = Json::parse(config->second, config_key, Status::invalid_checkpoint);
    config_ = config_from(JsonView(json, Status::invalid_checkpoint));
    place_all(file_, "model weights");
  }

  std::string_view format() const override { return format_; }

private:
  void place_all(const SafetensorsReader& file, std::string_view what) {
    const model::ParameterTable table(config_);
    check_tensors(file, expected_tensors(table), what);
    for (const model::Parameter& parameter : table.all())
      place(parameter, {.data = file.tensor(parameter.name).data});
  }

  std::optional<CheckpointReader> checkpoint_; // or
  SafetensorsReader file_;
  std::string_view format_;
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
  return config_from(reader.section("model"));
}

std::shared_ptr<model::Model> checkpoint_model(const CheckpointReader& reader) {
  auto model = std::make_shared<model::Model>(checkpoint_config(reader));
  check_tensors(reader.weights(), expected_tensors(model->parameters()), "model weights");
  for (const model::Parameter& parameter : model->parameters().all())
    copy_to_float(reader.weights().tensor(parameter.name), model->values(parameter));
  return model;
}

void save_model(const model::Model& model, const std::string& path, FileSystem& files) {
  std::vector<TensorView> tensors;
  for (const model::Parameter& parameter : model.parameters().all())
    tensors.push_back(float_tensor(parameter.name, parameter.shape, model.values(parameter)));
  save_safetensors(path, tensors, {{config_key, model::write_config(model.config()).to_string()}},
                   files);
}

std::unique_ptr<ModelSource> open_checkpoint_model(const std::string& directory,
                                                   FileSystem& files) {
  return std::make_unique<CheckpointSource>(open_checkpoint(directory, files), files);
}

std::unique_ptr<ModelSource> open_saved_model(const std::string& path, FileSystem& files) {
  return std::make_unique<CheckpointSource>(path, files);
}

} // namespace anet::io
