#include "backend/ane/program.h"

#include "backend/ane/error_of.h"
#include "base/status.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

namespace anet::backend::ane {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds first_pause{100}; // ane-facts.md 3.6, R
constexpr milliseconds longest_pause{3200};
// Of a load when there is a better way than waiting.
constexpr int few_attempts = 2;

class BoundRequest final : public EngineRequest {
public:
  BoundRequest(std::shared_ptr<const CompiledProgram> program,
               std::vector<std::shared_ptr<Surface>> surfaces, Object request)
      : program_(std::move(program)), surfaces_(std::move(surfaces)), request_(std::move(request)) {
  }

  const CompiledProgram* program() const { return program_.get(); }
  const Object& request() const { return request_; }

private:
  std::shared_ptr<const CompiledProgram> program_;
  std::vector<std::shared_ptr<Surface>> surfaces_;
  Object request_;
};

void check_ports(const std::vector<EnginePort>& ports,
                 std::span<const std::shared_ptr<Surface>> surfaces, const char* direction) {
  if (ports.size() != surfaces.size())
    fail(Status::invalid_argument, surfaces.size(), " ", direction, " surfaces, expected ",
         ports.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    if (surfaces[i] == nullptr)
      fail(Status::invalid_argument, "the surface of ", direction, " '", ports[i].name,
           "' is null");
    if (surfaces[i]->size_bytes() < ports[i].size_bytes)
      fail(Status::shape_mismatch, "the surface of ", direction, " '", ports[i].name, "' has ",
           surfaces[i]->size_bytes(), " bytes, expected at least ", ports[i].size_bytes);
  }
}

} // namespace

CompiledProgram::CompiledProgram(std::shared_ptr<EngineContext> context, const ModelSource& source)
    : context_(std::move(context)), model_(context_, source) {
  if (!load_cached()) compile_and_load(source);
  if (const std::optional<Error> error = error_of([&] { procedures_ = model_.procedures(); })) {
    unload_quietly();
    throw Error(*error);
  }
}

CompiledProgram::~CompiledProgram() { unload_quietly(); }

bool CompiledProgram::load_cached() {
  if (!model_.is_cached()) return false;
  const int attempts = std::min(few_attempts, context_->options.load_attempts);
  const std::optional<Error> error = error_of([&] { load_patiently(attempts); });
  // A compilation would make no room.
  if (error && has_no_room(*error)) throw Error(*error);
  was_cached_ = !error;
  return was_cached_;
}

void CompiledProgram::compile_and_load(const ModelSource& source) {
  const bool stale = model_.is_cached();
  ModelDirectory directory(model_.directory());
  // Whoever had the directory before may have compiled the same program.
  if (!stale && load_cached()) return;
  if (model_.is_cached()) model_.purge();
  directory.write(source);
  model_.compile();
  load_patiently(context_->options.load_attempts);
}

void CompiledProgram::load_patiently(int attempts) {
  milliseconds pause = first_pause;
  for (int attempt = 1;; ++attempt) {
    const std::optional<Error> error = error_of([&] { model_.load(); });
    if (!error) break;
    // While programs of ours take up room the caller can make some, and should know soon.
    // Otherwise it is another process that has to.
    const int all = context_->options.load_attempts;
    const int for_room = context_->loaded > 0 ? std::min(few_attempts, all) : all;
    if (attempt >= (has_no_room(*error) ? for_room : attempts)) throw Error(*error);
    context_->options.pause(pause);
    pause = std::min(pause * 2, longest_pause);
  }
  loaded_ = true;
  ++context_->loaded;
}

bool CompiledProgram::is_loaded() const {
  const std::shared_lock lock(mutex_);
  return loaded_;
}

void CompiledProgram::load() {
  const std::unique_lock lock(mutex_);
  if (!loaded_) load_patiently(context_->options.load_attempts);
}

void CompiledProgram::unload() {
  const std::unique_lock lock(mutex_);
  if (!loaded_) return;
  loaded_ = false;
  --context_->loaded;
  model_.unload();
}

void CompiledProgram::unload_quietly() noexcept {
  try {
    unload();
  } catch (const std::exception&) {
    // Nobody uses the program any more; releasing the model is all that is left to do.
  }
}

std::unique_ptr<EngineRequest>
CompiledProgram::bind(size_t procedure, std::span<const std::shared_ptr<Surface>> inputs,
                      std::span<const std::shared_ptr<Surface>> outputs) {
  if (procedure >= procedures_.size())
    fail(Status::out_of_range, "procedure ", procedure, ", expected less than ",
         procedures_.size());
  const EngineProcedure& chosen = procedures_[procedure];
  check_ports(chosen.inputs, inputs, "input");
  check_ports(chosen.outputs, outputs, "output");
  std::vector<std::shared_ptr<Surface>> surfaces(inputs.begin(), inputs.end());
  surfaces.insert(surfaces.end(), outputs.begin(), outputs.end());
  return std::make_unique<BoundRequest>(shared_from_this(), std::move(surfaces),
                                        model_.make_request(chosen, inputs, outputs));
}

void CompiledProgram::evaluate(EngineRequest& request) {
  const auto* bound = dynamic_cast<const BoundRequest*>(&request);
  if (bound == nullptr || bound->program() != this)
    fail(Status::invalid_argument, "the request belongs to another program");
  const std::shared_lock lock(mutex_);
  if (!loaded_) fail(Status::invalid_state, "the program is not loaded");
  model_.evaluate(bound->request());
}

} // namespace anet::backend::ane
