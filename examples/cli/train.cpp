#include "commands.h"
#include "data.h"
#include "text.h"
#include "train_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <unistd.h>

namespace cli {
namespace {

// The first Ctrl-C stops the session at its next kernel: the running step is undone, so the state
// that is saved is the one after the last whole step. The second one ends the process.
std::atomic<anet_session*> interruptible{nullptr};
std::atomic<bool> interrupted{false};

void on_interrupt(int signal) {
  if (interrupted.exchange(true)) _exit(128 + signal);
  if (anet_session* session = interruptible.load()) anet_session_cancel(session);
}

// An exception must not pass through the library; it is kept and thrown again behind it.
struct GuardedMonitor {
  Monitor& monitor;
  std::exception_ptr failure;

  static int32_t on_event(const anet_fit_event* event, void* user_data) {
    auto& self = *static_cast<GuardedMonitor*>(user_data);
    try {
      self.monitor.on_event(*event);
      // To end the fit as it is; a positive number would have it evaluate first.
      return interrupted ? -1 : 0;
    } catch (...) {
      self.failure = std::current_exception();
      return -1;
    }
  }
};

void evaluate(TrainRun& run, Monitor& monitor, int64_t step) {
  if (!run.data.validation) return;
  auto result = initialised<anet_eval_result>();
  call(anet_session_evaluate, run.session.get(), run.data.validation->rows.get(),
       run.config.eval_windows, &result);
  monitor.evaluation(step, result);
}

anet_fit_options fit_options(const TrainRun& run, int64_t steps) {
  const TrainConfig& config = run.config;
  auto options = initialised<anet_fit_options>();
  options.steps = steps;
  if (run.data.validation) {
    options.eval_every = config.eval_every.value_or(std::max<int64_t>(1, config.steps / 10));
    options.eval_at_end = 1;
  }
  options.eval_windows = config.eval_windows;
  options.save_every = config.save_every;
  options.patience = config.patience;
  options.min_delta = config.min_delta;
  options.sample_every = config.sample_every.value_or(0);
  // Early stopping without the best weights would be of little use, and adapters are small.
  const bool keeps_best = config.patience > 0 || config.trains_adapter();
  if (keeps_best && config.save_every == 0 && !config.checkpoint_root.empty())
    options.save_every = options.eval_every;
  options.checkpoint_root = options.save_every > 0 ? config.checkpoint_root.c_str() : nullptr;
  options.keep_last = config.keep_last;
  return options;
}

void take_result(const anet_fit_result& result, TrainEnd& end) {
  end.early = result.end == ANET_FIT_NO_IMPROVEMENT;
  if (result.has_best == 0) return;
  end.best_loss = result.best_loss;
  end.best_step = result.best_step;
}

// A log that cannot be written any more ends the run, but must not cost what was trained.
void keep_trained(const TrainRun& run) {
  const std::string& root = run.config.checkpoint_root;
  if (root.empty()) return;
  auto options = initialised<anet_save_options>();
  options.keep_last = run.config.keep_last;
  try {
    call(anet_session_save, run.session.get(), root.c_str(), &options);
    std::printf("saved below %s\n", root.c_str());
  } catch (const Failure&) { // the first failure is the one to tell
  }
}

void fit(TrainRun& run, Monitor& monitor, int64_t steps, TrainEnd& end) {
  GuardedMonitor guarded{monitor, nullptr};
  anet_fit_options options = fit_options(run, steps);
  options.callback = GuardedMonitor::on_event;
  options.user_data = &guarded;
  auto result = initialised<anet_fit_result>();
  try {
    call(anet_session_fit, run.session.get(), run.data.train.rows.get(),
         run.data.validation ? run.data.validation->rows.get() : nullptr, &options, &result);
    take_result(result, end);
  } catch (const Failure& failure) {
    if (guarded.failure) {
      keep_trained(run);
      std::rethrow_exception(guarded.failure);
    }
    const bool stopped = failure.status == ANET_E_CANCELLED || failure.status == ANET_E_CALLBACK;
    if (stopped && interrupted) return;
    if (failure.status != ANET_E_INVALID_DATA || run.first_step == 0) throw;
    throw Failure(failure.status,
                  failure.what() + std::string("; for other data there is --restart-data"));
  }
}

void save(TrainRun& run, Monitor& monitor, int64_t step) {
  const TrainConfig& config = run.config;
  if (config.checkpoint_root.empty() || monitor.saved_step() == step) return;
  auto options = initialised<anet_save_options>();
  options.keep_last = config.keep_last;
  if (monitor.evaluated_step() == step) {
    options.has_validation_loss = 1;
    options.validation_loss = monitor.history().evaluations.back().loss;
  }
  call(anet_session_save, run.session.get(), config.checkpoint_root.c_str(), &options);
  monitor.saved(step, resolve_checkpoint(config.checkpoint_root, ANET_CHECKPOINT_LATEST));
}

// "" when no saved checkpoint has a validation loss.
std::string best_checkpoint(const std::string& root) {
  if (root.empty() || !std::filesystem::is_directory(root)) return "";
  try {
    return call_text(anet_checkpoint_find, root.c_str(),
                     static_cast<anet_checkpoint_choice>(ANET_CHECKPOINT_BEST));
  } catch (const Failure& failure) {
    if (failure.status == ANET_E_NOT_FOUND) return "";
    throw;
  }
}

// After an early stop the last weights are not the ones that anybody wants.
void export_result(const TrainRun& run, const TrainEnd& end) {
  const ExportFlags& flags = run.config.export_to;
  if (flags.path.empty() || end.interrupted) return;
  if (run.adapter) {
    const anet_weighted_adapter merged{run.adapter.get(), 1};
    export_model(create<Model>(anet_model_merge, run.model.get(), &merged, size_t{1}), flags,
                 run.text.companion);
  } else if (end.early && !end.best_checkpoint.empty()) {
    std::printf("exporting the best checkpoint\n");
    export_model(load_model(end.best_checkpoint, ANET_CHECKPOINT_LATEST), flags,
                 run.text.companion);
  } else {
    export_model(run.model, flags, run.text.companion);
  }
}

TrainEnd train(TrainRun& run, Monitor& monitor) {
  const auto start = std::chrono::steady_clock::now();
  TrainEnd end;
  end.step = run.first_step;
  if (run.first_step == 0) {
    evaluate(run, monitor, 0);
    monitor.take_sample(0);
  }
  interruptible = run.session.get();
  std::signal(SIGINT, on_interrupt);
  while (end.step < run.config.steps && !interrupted && !end.early) {
    fit(run, monitor, run.config.steps - end.step, end);
    call(anet_session_get_step, run.session.get(), &end.step);
  }
  interruptible = nullptr;
  end.interrupted = interrupted;
  if (!end.interrupted) monitor.take_sample(end.step);
  save(run, monitor, end.step);
  end.best_checkpoint = best_checkpoint(run.config.checkpoint_root);
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return end;
}

} // namespace

static int run_training(const Arguments& arguments, bool finetune) {
  bool help = false;
  TrainConfig config = parse_train_config(arguments, finetune, help);
  if (help) {
    print_help(train_command_line(config));
    return exit_ok;
  }
  TrainRun run = prepare_training(std::move(config));
  if (run.first_step >= run.config.steps) {
    std::printf("%lld steps are done already; --steps asks for more\n",
                static_cast<long long>(run.first_step));
    TrainEnd end;
    end.step = run.first_step;
    end.best_checkpoint = best_checkpoint(run.config.checkpoint_root);
    if (run.adapter) write_adapter(run, end);
    export_result(run, end);
    return exit_ok;
  }
  Monitor monitor(run.config, run.session, run.first_step, run.config.steps, history_of(run),
                  sampler_of(run));
  monitor.start();
  const TrainEnd end = train(run, monitor);
  monitor.finish(end.step, end.interrupted, end.reason(run.config));
  print_end(run, monitor, end);
  // What was trained comes first: a report that fails must not cost it.
  if (run.adapter && !end.interrupted) write_adapter(run, end);
  export_result(run, end);
  if (!run.config.summary.empty()) write_summary(run, monitor, end);
  if (!run.config.report.empty()) write_report(run, monitor, end);
  return end.interrupted ? exit_interrupted : exit_ok;
}

int run_train(const Arguments& arguments) { return run_training(arguments, false); }

int run_finetune(const Arguments& arguments) { return run_training(arguments, true); }

} // namespace cli
