#include "commands.h"
#include "config.h"
#include "data.h"
#include "json.h"
#include "monitor.h"
#include "report.h"
#include "text.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
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

// Everything that one run holds.
struct Run {
  TrainConfig config;
  Device device;
  Tokenizer tokenizer;
  Session session;
  Model model;
  Dataset train;
  Dataset validation;
  Generator generator;
  anet_session_options options{};
  int64_t first_step = 0;
};

bool is_text(const Run& run) { return !is_token_file(run.config.data); }

std::string property(const Session& session, const char* key) {
  const char* value = nullptr;
  anet_error* error = nullptr;
  const anet_status status = anet_session_get_property(session.get(), key, &value, &error);
  if (status != ANET_OK && status != ANET_E_NOT_FOUND) throw_error(status, error);
  anet_error_release(error);
  return status == ANET_OK ? value : "";
}

void set_property(const Session& session, const char* key, const std::string& value) {
  call(anet_session_set_property, session.get(), key, value.c_str());
}

void print_memory_plan(const anet_memory_plan& plan) {
  std::printf("memory  %s: weights %s, gradients %s, optimizer %s, activations %s, workspace %s\n",
              format_bytes(plan.total).c_str(), format_bytes(plan.weights + plan.staged).c_str(),
              format_bytes(plan.gradients).c_str(), format_bytes(plan.optimizer).c_str(),
              format_bytes(plan.activations).c_str(), format_bytes(plan.workspace).c_str());
}

void check_memory(const Run& run, const anet_model_config& shape) {
  auto plan = initialised<anet_memory_plan>();
  call(anet_session_plan_memory, run.device.get(), &shape, &run.options, &plan);
  print_memory_plan(plan);
  const uint64_t limit = run.options.max_memory;
  if (limit == 0 || plan.total <= limit) return;
  throw Failure(ANET_E_MEMORY_LIMIT,
                "that is more than --max-memory " + format_bytes(limit) +
                    "; a smaller batch or sequence, or --activation-checkpointing 1, needs less");
}

void begin(Run& run) {
  TrainConfig& config = run.config;
  if (config.steps == 0) config.steps = 1000;
  run.options = initialised<anet_session_options>();
  apply_session_options(config, run.options);
  if (run.options.schedule != ANET_SCHEDULE_CONSTANT && run.options.total_steps == 0) {
    run.options.total_steps = config.steps;
  }
  // A new model gets its weights after the plan has been seen to fit.
  const auto fresh = new_model_config(config.model, run.tokenizer, is_text(run));
  if (!fresh) run.model = load_model(config.model, ANET_CHECKPOINT_LATEST);
  check_memory(run, fresh ? *fresh : model_config(run.model));
  if (fresh) run.model = create<Model>(anet_model_create, &*fresh, run.options.seed);
  run.session =
      create<Session>(anet_session_create, run.device.get(), run.model.get(), &run.options);
}

// The checkpoint's settings stand where the command line is silent.
void resume(Run& run) {
  TrainConfig& config = run.config;
  const std::string path = resolve_checkpoint(config.checkpoint_root, ANET_CHECKPOINT_LATEST);
  run.session = create<Session>(anet_session_resume, run.device.get(), path.c_str(), nullptr);
  run.options = initialised<anet_session_options>();
  call(anet_session_get_options, run.session.get(), &run.options);
  if (!config.session.empty()) {
    apply_session_options(config, run.options);
    run.session.reset();
    run.session =
        create<Session>(anet_session_resume, run.device.get(), path.c_str(), &run.options);
  }
  run.model = create<Model>(anet_session_get_model, run.session.get());
  call(anet_session_get_step, run.session.get(), &run.first_step);
  if (config.data.empty()) config.data = property(run.session, "data");
  if (config.data.empty()) throw UsageError("the checkpoint names no data, --data is required");
  if (config.validation.empty() && config.split == 0) {
    config.validation = property(run.session, "validation");
    const std::string split = property(run.session, "split");
    if (!split.empty()) config.split = parse_number("split", split);
  }
  const std::string steps = property(run.session, "steps");
  if (config.steps == 0) config.steps = steps.empty() ? 1000 : parse_integer("steps", steps);
  auto plan = initialised<anet_memory_plan>();
  call(anet_session_get_memory_plan, run.session.get(), &plan);
  print_memory_plan(plan);
  std::printf("resumed %s\n", path.c_str());
}

void open_data(Run& run) {
  TrainConfig& config = run.config;
  call(anet_session_get_options, run.session.get(), &run.options);
  const anet_model_config shape = model_config(run.model);
  const int32_t length =
      run.options.sequence_length > 0 ? run.options.sequence_length : shape.context_length;
  Dataset data =
      open_dataset(config.data, run.tokenizer, length, shape.vocab_size, run.options.seed, false);
  if (!config.validation.empty()) {
    run.train = std::move(data);
    run.validation =
        open_dataset(config.validation, run.tokenizer, length, shape.vocab_size, 0, true);
  } else {
    if (config.split == 0) config.split = 0.1;
    anet_dataset* train = nullptr;
    anet_dataset* validation = nullptr;
    call(anet_dataset_split, data.get(), config.split, &train, &validation);
    run.train.reset(train);
    run.validation.reset(validation);
  }
  const auto absolute = [](const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).string();
  };
  set_property(run.session, "data", absolute(config.data));
  set_property(run.session, "validation", absolute(config.validation));
  set_property(run.session, "split", config.split > 0 ? format_number(config.split, 6) : "");
  set_property(run.session, "steps", std::to_string(config.steps));
}

void open_generator(Run& run) {
  if (run.config.sample.empty()) return;
  if (!is_text(run)) throw UsageError("--sample needs text data, not token ids");
  auto options = initialised<anet_generator_options>();
  options.precision = run.options.precision;
  run.generator = create<Generator>(anet_generator_create, run.device.get(), run.model.get(),
                                    run.tokenizer.get(), &options);
}

std::vector<std::pair<std::string, std::string>> settings_of(const Run& run) {
  const TrainConfig& config = run.config;
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, run.device.get(), &info);
  const anet_model_config shape = model_config(run.model);
  std::vector<std::pair<std::string, std::string>> settings = {
      {"model", config.model},
      {"parameters", std::to_string(anet_model_weight_count(run.model.get()))},
      {"layers", std::to_string(shape.layer_count)},
      {"hidden_size", std::to_string(shape.hidden_size)},
      {"vocab_size", std::to_string(shape.vocab_size)},
      {"data", config.data},
      {"validation", config.validation.empty() ? "the last " + format_number(config.split, 2)
                                               : config.validation},
      {"steps", std::to_string(config.steps)},
      {"device", info.description},
      {"build", anet_build_info()}};
  for (const auto& [key, literal] : config.session) {
    const bool quoted = literal.front() == '"';
    settings.emplace_back(key, quoted ? literal.substr(1, literal.size() - 2) : literal);
  }
  return settings;
}

History history_of(const Run& run) {
  History history;
  const std::string& log = run.config.log;
  if (run.config.resume && !log.empty() && std::filesystem::exists(log)) {
    read_log(log, run.first_step, history);
  }
  history.settings = settings_of(run);
  return history;
}

int32_t forward_event(const anet_fit_event* event, void* user_data) {
  static_cast<Monitor*>(user_data)->on_event(*event);
  return interrupted ? 1 : 0;
}

// An exception must not pass through the library; it is kept and thrown again behind it.
struct GuardedMonitor {
  Monitor& monitor;
  std::exception_ptr failure;

  static int32_t on_event(const anet_fit_event* event, void* user_data) {
    auto& self = *static_cast<GuardedMonitor*>(user_data);
    try {
      return forward_event(event, &self.monitor);
    } catch (...) {
      self.failure = std::current_exception();
      return -1;
    }
  }
};

void evaluate(Run& run, Monitor& monitor, int64_t step) {
  auto result = initialised<anet_eval_result>();
  call(anet_session_evaluate, run.session.get(), run.validation.get(), run.config.eval_windows,
       &result);
  monitor.evaluation(step, result);
}

void fit(Run& run, Monitor& monitor, int64_t steps) {
  const TrainConfig& config = run.config;
  GuardedMonitor guarded{monitor, nullptr};
  auto options = initialised<anet_fit_options>();
  options.steps = steps;
  options.eval_every =
      config.eval_every > 0 ? config.eval_every : std::max<int64_t>(1, config.steps / 10);
  options.eval_windows = config.eval_windows;
  options.save_every = config.save_every;
  options.checkpoint_root = config.save_every > 0 ? config.checkpoint_root.c_str() : nullptr;
  options.keep_last = config.keep_last;
  options.callback = GuardedMonitor::on_event;
  options.user_data = &guarded;
  try {
    call(anet_session_fit, run.session.get(), run.train.get(), run.validation.get(), &options,
         nullptr);
  } catch (const Failure& failure) {
    if (guarded.failure) std::rethrow_exception(guarded.failure);
    if (failure.status != ANET_E_CANCELLED || !interrupted) throw;
  }
}

void save(Run& run, Monitor& monitor, int64_t step) {
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

void write_summary(const Run& run, const Monitor& monitor, double seconds) {
  const History& history = monitor.history();
  const Json summary = json_object();
  json_set_count(summary, "parameters", anet_model_weight_count(run.model.get()));
  json_set_count(summary, "steps", static_cast<uint64_t>(run.config.steps));
  json_set(summary, "seconds", seconds);
  json_set(summary, "tokens_per_second", monitor.progress().tokens_per_second());
  json_set(summary, "engine_share", share_of_engine(history.kernels));
  json_set_count(summary, "engine_evaluations", sum_of(history.kernels, &KernelPlace::evaluations));
  json_set_count(summary, "fallbacks", sum_of(history.kernels, &KernelPlace::fallbacks));
  if (!history.evaluations.empty()) {
    json_set(summary, "val_loss_before", history.evaluations.front().loss);
    json_set(summary, "val_loss_after", history.evaluations.back().loss);
  }
  if (!history.samples.empty()) {
    json_set(summary, "sample_before", history.samples.front().text);
    json_set(summary, "sample_after", history.samples.back().text);
  }
  write_text_file(run.config.summary, json_lines(summary.get()) + "\n");
}

void write_report(const Run& run, const Monitor& monitor, double seconds) {
  const History& history = monitor.history();
  std::vector<std::pair<std::string, std::string>> numbers;
  if (!history.evaluations.empty()) {
    numbers.emplace_back("validation loss", format_number(history.evaluations.back().loss, 3));
    numbers.emplace_back("at the start", format_number(history.evaluations.front().loss, 3));
  }
  numbers.emplace_back("parameters", format_count(anet_model_weight_count(run.model.get())));
  numbers.emplace_back("steps",
                       std::to_string(history.steps.empty() ? 0 : history.steps.back().step));
  numbers.emplace_back("tokens/s",
                       format_count(static_cast<uint64_t>(monitor.progress().tokens_per_second())));
  numbers.emplace_back("time", format_duration(seconds));
  if (sum_of(history.kernels, &KernelPlace::evaluations) > 0)
    numbers.emplace_back("of the FLOPs on the engine",
                         format_number(100 * share_of_engine(history.kernels), 1) + " %");
  write_text_file(run.config.report, report_html(history, numbers));
}

void print_data(const Run& run) {
  std::printf("data    %s windows of %d tokens for training, %s for validation\n",
              format_count(anet_dataset_window_count(run.train.get())).c_str(),
              anet_dataset_sequence_length(run.train.get()),
              format_count(anet_dataset_window_count(run.validation.get())).c_str());
  std::fflush(stdout);
}

Run prepare(TrainConfig config) {
  Run run;
  run.config = std::move(config);
  run.device = open_device(run.config.device);
  run.tokenizer = open_tokenizer();
  if (run.config.resume) {
    resume(run);
  } else {
    begin(run);
  }
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, run.device.get(), &info);
  const anet_model_config shape = model_config(run.model);
  std::printf("device  %s\nmodel   %s parameters: %d layers, hidden size %d, vocabulary %d\n",
              info.description, format_count(anet_model_weight_count(run.model.get())).c_str(),
              shape.layer_count, shape.hidden_size, shape.vocab_size);
  open_data(run);
  open_generator(run);
  print_data(run);
  return run;
}

// The log and the report have all of it.
std::string shortened(const std::string& reason) {
  constexpr size_t length = 200;
  return reason.size() <= length ? reason : printable(reason.substr(0, length)) + "...";
}

// Nothing on a device that is the CPU alone: it has no reasons.
void print_work(const std::vector<KernelPlace>& kernels) {
  const bool used = sum_of(kernels, &KernelPlace::evaluations) > 0;
  for (const KernelPlace& kernel : kernels) {
    const bool unexpected = kernel.fallbacks > 0 || (!used && kernel.host_flops > 0);
    if (unexpected && !kernel.reason.empty())
      std::printf("%s fell back to the CPU: %s\n", kernel.label.c_str(),
                  shortened(kernel.reason).c_str());
  }
  if (!used) return;
  std::printf("engine  %s %% of the FLOPs, %s evaluations, %llu retries, %llu fallbacks\n",
              format_number(100 * share_of_engine(kernels), 1).c_str(),
              format_count(sum_of(kernels, &KernelPlace::evaluations)).c_str(),
              static_cast<unsigned long long>(sum_of(kernels, &KernelPlace::retries)),
              static_cast<unsigned long long>(sum_of(kernels, &KernelPlace::fallbacks)));
}

void print_end(const Run& run, const Monitor& monitor, int64_t step, double seconds) {
  std::printf("%s after step %lld, %s, %s tokens/s\n", interrupted ? "interrupted" : "done",
              static_cast<long long>(step), format_duration(seconds).c_str(),
              format_count(static_cast<uint64_t>(monitor.progress().tokens_per_second())).c_str());
  print_work(monitor.history().kernels);
  if (!interrupted) return;
  if (run.config.checkpoint_root.empty()) {
    std::printf("nothing was saved: there is no --checkpoint-root\n");
  } else {
    std::printf("to go on: ane-train train --resume --checkpoint-root %s\n",
                run.config.checkpoint_root.c_str());
  }
}

} // namespace

int run_train(const Arguments& arguments) {
  bool help = false;
  TrainConfig config = parse_train_config(arguments, help);
  if (help) {
    print_help(train_command_line(config));
    return exit_ok;
  }
  Run run = prepare(std::move(config));
  if (run.first_step >= run.config.steps) {
    std::printf("%lld steps are done already; --steps asks for more\n",
                static_cast<long long>(run.first_step));
    return exit_ok;
  }
  const auto start = std::chrono::steady_clock::now();
  Monitor monitor(run.config, run.first_step, run.config.steps, history_of(run),
                  run.generator.get(), run.tokenizer.get());
  monitor.start();
  if (run.first_step == 0) {
    evaluate(run, monitor, 0);
    monitor.take_sample(0);
  }
  interruptible = run.session.get();
  std::signal(SIGINT, on_interrupt);
  int64_t step = run.first_step;
  // Steps that F16 skipped do not count, so there may be some left after a fit.
  while (step < run.config.steps && !interrupted) {
    fit(run, monitor, run.config.steps - step);
    call(anet_session_get_step, run.session.get(), &step);
  }
  interruptible = nullptr;
  if (!interrupted && monitor.evaluated_step() != step) {
    evaluate(run, monitor, step);
    monitor.take_sample(step);
  }
  save(run, monitor, step);
  monitor.finish(step, interrupted, kernel_places(run.session));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!run.config.summary.empty()) write_summary(run, monitor, seconds);
  if (!run.config.report.empty()) write_report(run, monitor, seconds);
  print_end(run, monitor, step, seconds);
  return interrupted ? exit_interrupted : exit_ok;
}

} // namespace cli
