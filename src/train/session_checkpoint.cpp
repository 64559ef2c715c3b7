// Saving a session and going on from what was saved.
#include "base/file.h"
#include "base/status.h"
#include "base/version.h"
#include "io/adapter_checkpoint.h"
#include "io/model_file/checkpoint_model.h"
#include "io/model_file/model_source.h"
#include "io/model_file/saved_model.h"
#include "train/base_fingerprint.h"
#include "train/session.h"

#include <cmath>
#include <cstring>

namespace anet::train {

namespace {

// The file's name of a parameter's optimizer state.
std::string tensor_name(const model::Parameter& parameter, const std::string& state) {
  return parameter.name + "." + state;
}

io::TensorView state_tensor(const TrainedTensor& tensor, const std::string& state,
                            const StateArray& array) {
  const model::Parameter& parameter = *tensor.parameter;
  return {{tensor_name(parameter, state), array.dtype(), parameter.shape},
          array.bytes(tensor.offset, parameter.elements)};
}

std::vector<io::TensorView> weight_tensors(std::span<const model::Parameter> parameters,
                                           std::span<const float> flat) {
  std::vector<io::TensorView> tensors;
  for (const model::Parameter& parameter : parameters)
    tensors.push_back(io::float_tensor(parameter.name, parameter.shape,
                                       flat.subspan(static_cast<size_t>(parameter.offset),
                                                    static_cast<size_t>(parameter.elements))));
  return tensors;
}

// The options that the checkpoint's session had.
SessionOptions saved_options(const io::CheckpointReader& reader) {
  SessionOptions saved;
  read_options(reader.section("session"), saved);
  return saved;
}

// Exactly these tensors, one a trained tensor and state, of the type that the saved options name.
void check_states(const io::CheckpointReader& reader, const TrainedTensors& trained,
                  std::span<const std::string> states) {
  const mil::DataType dtype = Optimizer::state_type(saved_options(reader));
  std::vector<io::TensorInfo> expected;
  for (const std::string& state : states)
    for (const TrainedTensor& tensor : trained.all())
      expected.push_back({tensor_name(*tensor.parameter, state), dtype, tensor.parameter->shape});
  io::check_tensors(reader.optimizer(), expected, "checkpoint optimizer state");
}

// Also from the other type, when the options of the resumed session have changed.
void read_state(const io::SafetensorsReader& file, const TrainedTensors& trained,
                const std::string& state, StateArray& array) {
  for (const TrainedTensor& tensor : trained.all()) {
    const io::TensorView saved = file.tensor(tensor_name(*tensor.parameter, state));
    const auto size = static_cast<size_t>(tensor.parameter->elements);
    if (float* values = array.floats(tensor.offset))
      io::copy_to_float(saved, {values, size});
    else if (saved.dtype == mil::DataType::bf16)
      std::memcpy(array.bfloat16(tensor.offset), saved.data.data(), saved.data.size());
    else
      array.write(tensor.offset, io::to_float(saved));
  }
}

int64_t read_count(const JsonView& section, std::string_view key) {
  return section.at(key).integer(0, Session::max_count);
}

// A session of another precision keeps its own scale.
void read_loss_scale(const io::CheckpointReader& reader, PrecisionMode precision,
                     LossScale& scale) {
  if (precision != PrecisionMode::f16 || saved_options(reader).precision != precision) return;
  const JsonView saved = reader.section("loss_scale");
  const double value = saved.at("scale").number();
  if (!(value > 0) || !std::isfinite(value))
    saved.fail_here("expected a finite scale above 0, seen ", value);
  scale.scale = value;
  scale.good_steps = read_count(saved, "good_steps");
}

SessionOptions chosen_options(const io::CheckpointReader& reader, const SessionOptions* options) {
  return options != nullptr ? *options : saved_options(reader);
}

// Status of the caller's mistake: the other kind of checkpoint.
void check_kind(const io::CheckpointReader& reader, bool adapter) {
  const bool is_adapter = reader.sections().find(io::adapter_section) != nullptr;
  if (is_adapter == adapter) return;
  fail(Status::invalid_argument, "expected a checkpoint of ", adapter ? "an adapter" : "a model",
       ", seen one of ", adapter ? "a model" : "an adapter, which resumes on its base", ": ",
       reader.directory());
}

} // namespace

Json Session::checkpoint_sections() {
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
  if (adapter_) {
    if (!base_) base_ = base_fingerprint(*model_, device_->thread_pool());
    sections.set("base", *base_);
    sections.set(io::adapter_section, io::write_adapter(*adapter_));
  } else {
    sections.set("model", model::write_config(model_->config()));
  }
  Json optimizer = Json::object();
  optimizer.set("updates", Json(state_.optimizer().updates()));
  sections.set("optimizer", std::move(optimizer));
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
  if (!adapter_ && model_->is_compressed())
    fail(Status::unsupported, "expected fp32 weights to save in a checkpoint, seen a compressed ",
         "model; save the model by itself");
  const auto parameters = adapter_ ? adapter_->parameters() : model_->parameters().all();
  const auto weights = weight_tensors(parameters, this->weights());
  Optimizer& optimizer = state_.optimizer();
  optimizer.allocate();
  std::vector<io::TensorView> states;
  for (size_t i = 0; i < optimizer.names().size(); ++i)
    for (const TrainedTensor& tensor : trained().all())
      states.push_back(state_tensor(tensor, optimizer.names()[i], optimizer.state(i)));
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
  cursor_ = static_cast<uint64_t>(read_count(data, "cursor"));
  if (const auto tokens = data.find("tokens_seen")) tokens_seen_ = tokens->unsigned_integer();
  data_fingerprint_ = data.string_or("fingerprint", "");
  restored_fingerprint_ = data_fingerprint_;
}

void Session::restore_evaluations(const JsonView& evaluations) {
  const auto best = evaluations.find("best_loss");
  if (!best) return;
  progress_ = {best->number(), read_count(evaluations, "best_step"),
               read_count(evaluations, "without_improvement")};
}

void Session::restore(const io::CheckpointReader& reader) {
  Optimizer& optimizer = state_.optimizer();
  check_states(reader, trained(), optimizer.names());
  optimizer.allocate();
  for (size_t i = 0; i < optimizer.names().size(); ++i)
    read_state(reader.optimizer(), trained(), optimizer.names()[i], optimizer.state(i));
  optimizer.see_rows_of_state();
  read_loss_scale(reader, options_.precision, loss_scale_);
  if (reader.step() > max_count)
    fail(Status::invalid_checkpoint, "expected a step up to ", max_count, ", seen ", reader.step());
  steps_done_ = reader.step();
  optimizer.set_updates(steps_done_);
  if (reader.sections().find("optimizer") != nullptr) // earlier versions wrote none
    optimizer.set_updates(read_count(reader.section("optimizer"), "updates"));
  restore_data(reader.section("data"));
  if (reader.sections().find("evaluations") != nullptr) // earlier versions wrote none
    restore_evaluations(reader.section("evaluations"));
  for (const JsonMember& member : reader.section("properties").members())
    properties_[member.key] = reader.section("properties").at(member.key).string();
}

std::unique_ptr<Session> resume(std::shared_ptr<backend::Device> device, const std::string& path,
                                const SessionOptions* options, Logger logger) {
  const io::CheckpointReader reader = io::open_checkpoint(path);
  check_kind(reader, false);
  auto session = std::make_unique<Session>(std::move(device), io::checkpoint_model(reader),
                                           chosen_options(reader, options), logger);
  session->restore(reader);
  return session;
}

std::unique_ptr<Session> resume_adapter(std::shared_ptr<backend::Device> device,
                                        std::shared_ptr<const model::Model> base,
                                        const std::string& path, const SessionOptions* options,
                                        Logger logger) {
  const io::CheckpointReader reader = io::open_checkpoint(path);
  check_kind(reader, true);
  check_base(reader.section("base"), *base, device->thread_pool());
  auto session =
      std::make_unique<Session>(std::move(device), io::checkpoint_adapter(reader, std::move(base)),
                                chosen_options(reader, options), logger);
  session->restore(reader);
  return session;
}

std::shared_ptr<model::Model> load_model(const std::string& path) {
  return io::load_model(path).model;
}

void save_model(const model::Model& model, const std::string& path) { io::save_model(model, path); }

} // namespace anet::train
