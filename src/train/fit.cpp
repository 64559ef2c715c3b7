// Session::fit: the training loop for callers who do not want to write it.
#include "base/status.h"
#include "train/session.h"

#include <optional>

namespace anet::train {

namespace {

void check_options(const FitOptions& options, const io::Dataset& train,
                   const io::Dataset* validation, int64_t sequence_length) {
  if (options.steps < 1)
    fail(Status::invalid_argument, "expected at least one step, seen ", options.steps);
  if (options.eval_every < 0 || options.save_every < 0 || options.keep_last < 0)
    fail(Status::invalid_argument,
         "expected eval_every, save_every and keep_last of at least 0, seen ", options.eval_every,
         ", ", options.save_every, " and ", options.keep_last);
  if (options.eval_every > 0 && validation == nullptr)
    fail(Status::invalid_argument, "expected a validation dataset because eval_every is ",
         options.eval_every, ", seen none");
  if (options.save_every > 0 && options.checkpoint_root.empty())
    fail(Status::invalid_argument, "expected a checkpoint_root because save_every is ",
         options.save_every, ", seen none");
  for (const io::Dataset* dataset : {&train, validation})
    if (dataset != nullptr && dataset->sequence_length() != sequence_length)
      fail(Status::shape_mismatch, "expected a dataset of windows of ", sequence_length,
           " tokens, seen ", dataset->sequence_length());
}

// True when the callback asks to stop.
bool report(const FitOptions& options, const FitEvent& event) {
  if (!options.callback) return false;
  const int32_t answer = options.callback(event);
  if (answer < 0) fail(Status::callback, "the callback returned ", answer);
  return answer > 0;
}

} // namespace

StepResult Session::fit(const io::Dataset& train, const io::Dataset* validation,
                        const FitOptions& options) {
  check_options(options, train, validation, options_.sequence_length);
  const Running running(*this);
  const auto micro_batches = static_cast<size_t>(options_.accumulation_steps);
  const int64_t rows = options_.batch_size;
  std::vector<io::Batch> data(micro_batches);
  std::vector<Batch> batches(micro_batches);
  std::optional<double> latest_loss;

  FitEvent event;
  // A step that fp16 skipped is reported and made up for; the loss scale bounds their number.
  const int64_t last_step = steps_done_ + options.steps;
  for (bool stop = false; !stop && steps_done_ < last_step;) {
    for (size_t i = 0; i < micro_batches; ++i) {
      const auto first = static_cast<int64_t>(cursor_) + static_cast<int64_t>(i) * rows;
      train.read(first, rows, data[i]);
      batches[i] = {rows, train.sequence_length(), data[i].inputs, data[i].targets};
    }
    event.step = step(batches);
    cursor_ += micro_batches * static_cast<uint64_t>(rows);
    event.kind = FitEvent::Kind::step;
    stop = report(options, event);
    if (event.step.skipped) continue;

    // Counted from the session's first step, so that a resumed run keeps the rhythm.
    if (options.eval_every > 0 && steps_done_ % options.eval_every == 0) {
      event.eval = evaluate(*validation, options.eval_windows);
      latest_loss = event.eval.loss;
      event.kind = FitEvent::Kind::eval;
      stop |= report(options, event);
    } else {
      latest_loss.reset();
    }
    if (options.save_every > 0 && steps_done_ % options.save_every == 0) {
      event.checkpoint = save(options.checkpoint_root, options.keep_last, latest_loss).path;
      event.kind = FitEvent::Kind::save;
      stop |= report(options, event);
    }
  }
  return event.step;
}

} // namespace anet::train
