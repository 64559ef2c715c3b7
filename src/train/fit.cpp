// Session::fit: the training loop for callers who do not want to write it.
#include "base/status.h"
#include "train/session.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace anet::train {

namespace {

void check_options(const FitOptions& options, const io::Dataset* validation) {
  if (options.steps < 1)
    fail(Status::invalid_argument, "expected at least one step, seen ", options.steps);
  if (options.eval_every < 0 || options.save_every < 0 || options.keep_last < 0)
    fail(Status::invalid_argument,
         "expected eval_every, save_every and keep_last of at least 0, seen ", options.eval_every,
         ", ", options.save_every, " and ", options.keep_last);
  if (options.sample_every < 0 || options.patience < 0)
    fail(Status::invalid_argument, "expected sample_every and patience of at least 0, seen ",
         options.sample_every, " and ", options.patience);
  if (!(options.min_delta >= 0) || !std::isfinite(options.min_delta))
    fail(Status::invalid_argument, "expected min_delta of at least 0, seen ", options.min_delta);
  if (options.eval_every > 0 && validation == nullptr)
    fail(Status::invalid_argument, "expected a validation dataset because eval_every is ",
         options.eval_every, ", seen none");
  if (options.eval_at_end && validation == nullptr)
    fail(Status::invalid_argument,
         "expected a validation dataset because eval_at_end is set, seen none");
  if (options.patience > 0 && options.eval_every == 0)
    fail(Status::invalid_argument, "expected eval_every above 0 because patience is ",
         options.patience, ", seen 0");
  if (options.min_delta > 0 && options.patience == 0)
    fail(Status::unsupported_option, "expected min_delta only with patience, seen ",
         options.min_delta);
  if (options.sample_every > 0 && !options.callback)
    fail(Status::invalid_argument, "expected a callback because sample_every is ",
         options.sample_every, ", seen none");
  if (options.save_every > 0 && options.checkpoint_root.empty())
    fail(Status::invalid_argument, "expected a checkpoint_root because save_every is ",
         options.save_every, ", seen none");
}

// True when the callback asks to stop.
bool report(const FitOptions& options, const FitEvent& event) {
  if (!options.callback) return false;
  const int32_t answer = options.callback(event);
  if (answer < 0) fail(Status::callback, "the callback returned ", answer);
  return answer > 0;
}

bool is_due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

} // namespace

void Session::check_resumed_data(const std::string& fingerprint) const {
  if (restored_fingerprint_.empty() || fingerprint == restored_fingerprint_) return;
  fail(Status::invalid_data, "expected the data that the checkpoint was trained on (fingerprint ",
       restored_fingerprint_.substr(0, 12), "), seen other data or another order (",
       fingerprint.substr(0, 12), "); set the cursor to 0 to begin anew with it");
}

bool Session::note_evaluation(double loss, double min_delta) {
  const bool improved = !progress_.best_loss || loss < *progress_.best_loss - min_delta;
  if (improved)
    progress_ = {loss, steps_done_, 0};
  else
    progress_.without_improvement += 1;
  return improved;
}

// What is due after an update. True when the callback asks to stop.
bool Session::after_step(const io::Dataset* validation, const FitOptions& options, bool at_end,
                         FitEvent& event, FitResult& result) {
  bool stop = false;
  std::optional<double> latest_loss;
  if (is_due(options.eval_every, steps_done_) || at_end) {
    event.eval = evaluate(*validation, options.eval_windows);
    result.evaluation = event.eval;
    latest_loss = event.eval.loss;
    event.improved = note_evaluation(event.eval.loss, options.min_delta);
    event.kind = FitEvent::Kind::eval;
    stop |= report(options, event);
  }
  if (is_due(options.sample_every, steps_done_)) {
    event.kind = FitEvent::Kind::sample;
    stop |= report(options, event);
  }
  if (is_due(options.save_every, steps_done_)) {
    event.checkpoint = save(options.checkpoint_root, options.keep_last, latest_loss).path;
    event.kind = FitEvent::Kind::save;
    stop |= report(options, event);
  }
  return stop;
}

FitResult Session::fit(const io::Dataset& train, const io::Dataset* validation,
                       const FitOptions& options) {
  check_options(options, validation);
  check_dataset(train);
  if (validation != nullptr) check_dataset(*validation);
  const std::string fingerprint = train.fingerprint();
  check_resumed_data(fingerprint);
  if (options.save_every > 0)
    io::CheckpointStore(options.checkpoint_root).check_no_later(steps_done_);
  restored_fingerprint_.clear();
  data_fingerprint_ = fingerprint;

  const Running running(*this);
  const auto micro_batches = static_cast<size_t>(options_.accumulation_steps);
  const int64_t rows = options_.batch_size;
  std::vector<io::Batch> data(micro_batches);
  std::vector<Batch> batches(micro_batches);

  FitResult result;
  FitEvent event;
  // A step that fp16 skipped is reported and made up for; the loss scale bounds their number.
  const int64_t most = std::numeric_limits<int64_t>::max() - steps_done_;
  const int64_t last_step = steps_done_ + std::min(options.steps, most);
  for (bool stop = false; !stop && steps_done_ < last_step;) {
    for (size_t i = 0; i < micro_batches; ++i) {
      const auto first = static_cast<int64_t>(cursor_) + static_cast<int64_t>(i) * rows;
      train.read(first, rows, data[i]);
      batches[i] = batch_of(data[i]);
    }
    event.step = step(batches);
    cursor_ += micro_batches * static_cast<uint64_t>(rows);
    event.kind = FitEvent::Kind::step;
    stop = report(options, event);
    if (!event.step.skipped) {
      const bool at_end = options.eval_at_end && (stop || steps_done_ == last_step);
      stop |= after_step(validation, options, at_end, event, result);
    }
    if (stop) {
      result.end = FitEnd::callback;
    } else if (options.patience > 0 && progress_.without_improvement >= options.patience) {
      result.end = FitEnd::no_improvement;
      stop = true;
    }
  }
  result.step = event.step;
  result.best_loss = progress_.best_loss;
  result.best_step = progress_.best_step;
  if (result.end == FitEnd::no_improvement)
    logger_.write(LogLevel::info, "session", "stopped after ", progress_.without_improvement,
                  " evaluations without improvement; the best loss is ", *progress_.best_loss,
                  " at step ", progress_.best_step);
  return result;
}

} // namespace anet::train
