#include "monitor.h"

#include "text.h"

#include <cmath>
#include <utility>
#include <vector>

namespace cli {

Monitor::Monitor(const TrainConfig& config, const Session& session, int64_t first_step,
                 int64_t last_step, History history, Sampler sampler)
    : config_(config), session_(session), first_step_(first_step), history_(std::move(history)),
      log_(config.log, config.resume), progress_(first_step, last_step),
      sampler_(std::move(sampler)) {}

void Monitor::start() {
  if (!log_.is_open()) return;
  auto plan = initialised<anet_memory_plan>();
  call(anet_session_get_memory_plan, session_.get(), &plan);
  log_.start(first_step_, history_.settings, plan);
  log_places(first_step_);
}

void Monitor::log_places(int64_t step) {
  if (!log_.is_open()) return;
  std::vector<KernelPlace> kernels = kernel_places(session_);
  if (!same_places(kernels, history_.kernels)) log_.kernels(step, kernels);
  history_.kernels = std::move(kernels);
}

void Monitor::on_event(const anet_fit_event& event) {
  switch (event.kind) {
  case ANET_EVENT_STEP:
    history_.steps.push_back(*event.result);
    log_.step(*event.result);
    log_places(event.result->step);
    progress_.step(*event.result);
    break;
  case ANET_EVENT_EVAL:
    // A skipped step leaves the number, and with it the model, where they were.
    if (evaluated_step() == event.step.step) break;
    evaluation(event.step.step, event.eval, event.improved != 0);
    if (!config_.sample_every) take_sample(event.step.step);
    break;
  case ANET_EVENT_SAMPLE:
    take_sample(event.step.step);
    break;
  case ANET_EVENT_SAVE:
    saved(event.step.step, event.checkpoint);
    break;
  default:
    break; // a newer library may report more
  }
}

void Monitor::evaluation(int64_t step, const anet_eval_result& result, bool best) {
  const Evaluation evaluation{step, result.loss, result.seconds};
  history_.evaluations.push_back(evaluation);
  log_.evaluation(evaluation);
  progress_.note("step " + std::to_string(step) + "  validation loss " +
                 format_number(result.loss, 4) + ", perplexity " +
                 format_number(std::exp(result.loss), 2) + (best ? " (best)" : ""));
}

void Monitor::saved(int64_t step, const std::string& path) {
  saved_step_ = step;
  log_.save(step, path);
  progress_.note("step " + std::to_string(step) + "  saved " + path);
}

void Monitor::take_sample(int64_t step) {
  if (sampler_.generator == nullptr || sampled_step_ == step) return;
  sampled_step_ = step;
  auto sampling = initialised<anet_sampling_options>();
  sampling.max_tokens = config_.sample_tokens;
  sampling.temperature = 0.7;
  sampling.top_p = 0.95;
  sampling.seed = 1; // the same each time: what changes is the model
  sampling.stop_ids = sampler_.stop_ids.data();
  sampling.stop_count = static_cast<uint32_t>(sampler_.stop_ids.size());
  Sample sample{step, sampler_.shown};
  const auto append = [](int32_t, const char* text, size_t length, void* user_data) -> int32_t {
    static_cast<std::string*>(user_data)->append(text, length);
    return 0;
  };
  call(anet_generator_generate, sampler_.generator, sampler_.prompt.data(), sampler_.prompt.size(),
       &sampling, static_cast<anet_token_callback>(append), static_cast<void*>(&sample.text),
       nullptr, size_t{0}, nullptr);
  log_.sample(sample);
  progress_.note("step " + std::to_string(step) + "  sample: " + printable(sample.text));
  history_.samples.push_back(std::move(sample));
}

void Monitor::finish(int64_t step, bool interrupted, const std::string& reason) {
  progress_.finish();
  history_.kernels = kernel_places(session_);
  log_.end(step, interrupted, reason, history_.kernels);
}

int64_t Monitor::evaluated_step() const {
  return history_.evaluations.empty() ? -1 : history_.evaluations.back().step;
}

} // namespace cli
