// Saving a session and going on from what was saved.
#include "base/file.h"
#include "base/status.h"
#include "base/version.h"
#include "io/safetensors.h"
#include "train/session.h"

#include <algorithm>
#include <filesystem>

namespace anet::train {

namespace {

constexpr const char* config_key = "ane_train.model_config";

// The file's name of a tensor: that of the parameter, or of its optimizer state.
std::string tensor_name(const model::Parameter& parameter, const std::string& state) {
  return state.empty() ? parameter.name : parameter.name + "." + state;
}

std::vector<io::TensorView> tensors_of(const model::ParameterTable& parameters,
                                       std::span<const float> flat, const std::string& state) {
  std::vector<io::TensorView> tensors;
  for (const model::Parameter& parameter : parameters.all())
    tensors.push_back(io::float_tensor(tensor_name(parameter, state), parameter.shape,
                                       flat.subspan(static_cast<size_t>(parameter.offset),
                                                    static_cast<size_t>(parameter.elements))));
  return tensors;
}

// The file must hold exactly these tensors, one a parameter and state.
void check_file(const io::SafetensorsReader& file, const model::ParameterTable& parameters,
                std::span<const std::string> states, std::string_view what) {
  std::vector<io::TensorInfo> expected;
  for (const std::string& state : states)
    for (const model::Parameter& parameter : parameters.all())
      expected.push_back({tensor_name(parameter, state), mil::DataType::fp32, parameter.shape});
  io::check_tensors(file, expected, what);
}

void read_tensors(const io::SafetensorsReader& file, const model::ParameterTable& parameters,
                  const std::string& state, std::span<float> flat) {
  for (const model::Parameter& parameter : parameters.all())
    io::copy_to_float(file.tensor(tensor_name(parameter, state)),
                      flat.subspan(static_cast<size_t>(parameter.offset),
                                   static_cast<size_t>(parameter.elements)));
}

model::Config config_from(const JsonView& json) {
  model::Config config;
  model::read_config(json, config);
  return model::resolve(config);
}

std::shared_ptr<model::Model> model_from(const model::Config& config,
                                         const io::SafetensorsReader& weights) {
  auto model = std::make_shared<model::Model>(config);
  const std::string plain[] = {""};
  check_file(weights, model->parameters(), plain, "model weights");
  read_tensors(weights, model->parameters(), "", model->weights());
  return model;
}

// A file that is no safetensors file is no model either.
io::SafetensorsReader open_weights(const std::string& path) {
  try {
    return io::SafetensorsReader(path);
  } catch (const Error& error) {
    if (error.status() != Status::invalid_data) throw;
    throw Error(Status::invalid_checkpoint, error.message(), error.detail());
  }
}

io::CheckpointReader open_checkpoint(const std::string& path) {
  const std::filesystem::path name = std::filesystem::path(path).filename();
  if (io::checkpoint_step(name.string()) || std::filesystem::exists(path + "/state.json"))
    return io::CheckpointReader(path);
  const io::CheckpointStore store(path);
  if (auto reader = store.open_latest()) return std::move(*reader);
  std::string reasons;
  for (const io::CheckpointProblem& problem : store.problems())
    reasons += concat(reasons.empty() ? "; " : ", ", problem.entry.path, ": ", problem.message);
  fail(Status::not_found, "expected a checkpoint or a folder of checkpoints at '", path,
       "', seen no loadable one", reasons);
}

} // namespace

Json Session::checkpoint_sections() const {
  Json properties = Json::object();
  for (const auto& [key, value] : properties_) properties.set(key, Json(value));
  Json scale = Json::object();
  scale.set("scale", Json(loss_scale_.scale));
  scale.set("good_steps", Json(loss_scale_.good_steps));
  Json data = Json::object();
  data.set("cursor", Json(cursor_));
  Json sections = Json::object();
  sections.set("model", model::write_config(model_->config()));
  sections.set("session", write_options(options_));
  sections.set("loss_scale", std::move(scale));
  sections.set("data", std::move(data));
  sections.set("properties", std::move(properties));
  return sections;
}

io::CheckpointEntry Session::save(const std::string& root, int64_t keep_last,
                                  std::optional<double> loss) {
  if (accumulated_.micro_batches != 0)
    fail(Status::invalid_state, "expected no accumulated gradient, seen ",
         accumulated_.micro_batches, " micro-batches; a checkpoint holds whole steps");
  const model::ParameterTable& parameters = model_->parameters();
  const auto weights = tensors_of(parameters, model_->weights(), "");
  std::vector<io::TensorView> states;
  for (size_t i = 0; i < optimizer_.names().size(); ++i) {
    const auto tensors = tensors_of(parameters, optimizer_.state(i), optimizer_.names()[i]);
    states.insert(states.end(), tensors.begin(), tensors.end());
  }
  io::CheckpointStore store(root, {keep_last});
  const io::CheckpointContents contents{.step = steps_done_,
                                        .library_version = std::string(library_version),
                                        .weights = weights,
                                        .optimizer = states,
                                        .sections = checkpoint_sections()};
  const io::CheckpointEntry entry = store.save(contents, loss);
  logger_.write(LogLevel::info, "session", "saved ", entry.path);
  return entry;
}

void Session::restore(const io::CheckpointReader& reader) {
  check_file(reader.optimizer(), model_->parameters(), optimizer_.names(),
             "checkpoint optimizer state");
  for (size_t i = 0; i < optimizer_.names().size(); ++i)
    read_tensors(reader.optimizer(), model_->parameters(), optimizer_.names()[i],
                 optimizer_.state(i));
  const JsonView scale = reader.section("loss_scale");
  // A session of another precision keeps its own scale.
  if (options_.precision == PrecisionMode::f16 && scale.at("scale").number() > 1) {
    loss_scale_.scale = scale.at("scale").number();
    loss_scale_.good_steps = scale.at("good_steps").integer();
  }
  steps_done_ = reader.step();
  cursor_ = reader.section("data").at("cursor").unsigned_integer();
  for (const JsonMember& member : reader.section("properties").members())
    properties_[member.key] = reader.section("properties").at(member.key).string();
}

std::unique_ptr<Session> resume(std::shared_ptr<backend::Device> device, const std::string& path,
                                const SessionOptions* options, Logger logger) {
  const io::CheckpointReader reader = open_checkpoint(path);
  SessionOptions chosen;
  if (options != nullptr)
    chosen = *options;
  else
    read_options(reader.section("session"), chosen);
  auto session = std::make_unique<Session>(
      std::move(device), model_from(config_from(reader.section("model")), reader.weights()), chosen,
      logger);
  session->restore(reader);
  return session;
}

std::shared_ptr<model::Model> load_model(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    const io::CheckpointReader reader = open_checkpoint(path);
    return model_from(config_from(reader.section("model")), reader.weights());
  }
  const io::SafetensorsReader file = open_weights(path);
  const auto config = file.metadata().find(config_key);
  if (config == file.metadata().end())
    fail(Status::invalid_checkpoint, "expected metadata '", config_key, "' in '", path,
         "', seen none; is it a file that anet_model_save wrote");
  const Json json = Json::parse(config->second, config_key, Status::invalid_checkpoint);
  return model_from(config_from(JsonView(json, Status::invalid_checkpoint)), file);
}

void save_model(const model::Model& model, const std::string& path) {
  io::save_safetensors(path, tensors_of(model.parameters(), model.weights(), ""),
                       {{config_key, model::write_config(model.config()).to_string()}});
}

} // namespace anet::train
