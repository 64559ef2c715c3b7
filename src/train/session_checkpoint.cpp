// Saving a session and going on from what was saved.
#include "base/file.h"
#include "base/status.h"
#include "base/version.h"
#include "io/model_file/checkpoint_model.h"
#include "io/model_file/saved_model.h"
#include "io/model_file/model_source.h"
#include "train/session.h"

namespace anet::train {

namespace {

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

} // namespace

Json Session::checkpoint_sections() const {
  Json properties = Json::object();
  for (const auto& [key, value] : properties_) properties.set(key, Json(value));
  Json scale = Json::object();
  scale.set("scale", Json(loss_scale_.scale));
  scale.set("good_steps", Json(loss_scale_.good_steps));
  Json data = Json::object();
  data.set("cursor", Json(cursor_));
  data.set("tokens_seen", Json(tokens_seen_));
  if (!data_fingerprint_.empty()) data.set("fingerprint", Json(data_fingerprint_));
  Json evaluations = Json::object();
  if (progress_.best_loss) {
    evaluations.set("best_loss", Json(*progress_.best_loss));
    evaluations.set("best_step", Json(progress_.best_step));
    evaluations.set("without_improvement", Json(progress_.without_improvement));
  }
  Json sections = Json::object();
  sections.set("model", model::write_config(model_->config()));
  sections.set("session", write_options(options_));
  sections.set("loss_scale", std::move(scale));
  sections.set("data", std::move(data));
  sections.set("evaluations", std::move(evaluations));
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

void Session::restore_data(const JsonView& data) {
  cursor_ = data.at("cursor").unsigned_integer();
  if (const auto tokens = data.find("tokens_seen")) tokens_seen_ = tokens->unsigned_integer();
  data_fingerprint_ = data.string_or("fingerprint", "");
  restored_fingerprint_ = data_fingerprint_;
}

void Session::restore_evaluations(const JsonView& evaluations) {
  const auto best = evaluations.find("best_loss");
  if (!best) return;
  progress_ = {best->number(), evaluations.at("best_step").integer(),
               evaluations.at("without_improvement").integer()};
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
  restore_data(reader.section("data"));
  if (reader.sections().find("evaluations") != nullptr) // earlier versions wrote none
    restore_evaluations(reader.section("evaluations"));
  for (const JsonMember& member : reader.section("properties").members())
    properties_[member.key] = reader.section("properties").at(member.key).string();
}

std::unique_ptr<Session> resume(std::shared_ptr<backend::Device> device, const std::string& path,
                                const SessionOptions* options, Logger logger) {
  const io::CheckpointReader reader = io::open_checkpoint(path);
  SessionOptions chosen;
  if (options != nullptr)
    chosen = *options;
  else
    read_options(reader.section("session"), chosen);
  auto session =
      std::make_unique<Session>(std::move(device), io::checkpoint_model(reader), chosen, logger);
  session->restore(reader);
  return session;
}

std::shared_ptr<model::Model> load_model(const std::string& path) {
  return io::load_model(path).model;
}

void save_model(const model::Model& model, const std::string& path) { io::save_model(model, path); }

} // namespace anet::train
