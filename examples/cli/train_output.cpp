// What a run leaves behind: the summary, the report and the last lines.
#include "data.h"
#include "report.h"
#include "text.h"
#include "train_run.h"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

namespace cli {
namespace {

namespace fs = std::filesystem;

void check_output(const std::string& flag, const std::string& path, bool folder) {
  if (path.empty()) return;
  fs::path target = fs::absolute(path).lexically_normal();
  if (!target.has_filename()) target = target.parent_path(); // a slash at the end
  const auto refuse = [&](const std::string& why) {
    throw Failure(ANET_E_IO, flag + ": cannot write '" + path + "': " + why);
  };
  if (!fs::exists(target)) {
    target = target.parent_path();
    if (!fs::is_directory(target)) refuse("there is no folder '" + target.string() + "'");
  } else if (fs::is_directory(target) != folder) {
    refuse(folder ? "it is no folder" : "it is a folder");
  }
  if (access(target.c_str(), W_OK) != 0) refuse("no permission");
}

// Folders are replaced as a whole, and the library does not delete what people keep in one.
void check_adapter_folder(const std::string& path) {
  if (!fs::exists(path)) return; // the folders above it are made
  check_output("--output", path, true);
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name != "adapter_config.json" && name != "adapter_model.safetensors" &&
        name != "adapters.safetensors")
      throw Failure("--output: '" + path + "' has files that were not written by this command; " +
                    "expected a new folder, an empty one or an earlier output");
  }
}

std::string validation_text(const TrainRun& run) {
  const TrainConfig& config = run.config;
  if (!run.data.validation) return "none";
  const Corpus& validation = *run.data.validation;
  if (!config.validation.empty() || has_part(config.data, "valid")) return validation.path;
  return "the last " + format_number(config.split.value_or(0.1), 2);
}

void add_data_settings(const TrainRun& run,
                       std::vector<std::pair<std::string, std::string>>& rows) {
  const Corpus& train = run.data.train;
  rows.emplace_back("layout", layout_name(run.layout));
  rows.emplace_back("rows", std::to_string(anet_dataset_window_count(train.rows.get())));
  rows.emplace_back("row_length", std::to_string(anet_dataset_sequence_length(train.rows.get())));
  if (!train.layout) return;
  rows.emplace_back("examples", std::to_string(anet_examples_count(train.examples.get())));
  rows.emplace_back("density", format_number(train.density(), 4));
  for (const char* key : {"supervised_tokens", "truncated", "skipped", "split"})
    rows.emplace_back(key, std::to_string(json_count(train.layout.get(), key)));
  rows.emplace_back("unusable_rows",
                    std::to_string(json_count(train.report.get(), "unusable_rows")));
}

std::vector<std::pair<std::string, std::string>> settings_of(const TrainRun& run) {
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
      {"tokenizer", run.text.tokenizer_path},
      {"data", config.data},
      {"validation", validation_text(run)}};
  add_data_settings(run, settings);
  settings.emplace_back("steps", std::to_string(config.steps));
  settings.emplace_back("device", info.description);
  settings.emplace_back("build", anet_build_info());
  for (const auto& [key, literal] : config.session) {
    const bool quoted = literal.front() == '"';
    settings.emplace_back(key, quoted ? literal.substr(1, literal.size() - 2) : literal);
  }
  return settings;
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

} // namespace

std::string TrainEnd::reason(const TrainConfig& config) const {
  if (interrupted) return "interrupted after step " + std::to_string(step);
  if (!early) return "done after step " + std::to_string(step);
  std::string text = "stopped early after step " + std::to_string(step) + ": no improvement";
  if (config.min_delta > 0) text += " by more than " + format_number(config.min_delta, 6);
  return text + " in " + std::to_string(config.patience) + " evaluations";
}

void check_outputs(const TrainConfig& config) {
  check_output("--log", config.log, false);
  check_output("--report", config.report, false);
  check_output("--summary", config.summary, false);
  const ExportFlags& exported = config.export_to;
  check_output("--export", exported.path, exported.format == "hugging-face");
  check_adapter_folder(config.finetune.output);
  if (!exported.companion.empty() && !fs::is_directory(exported.companion))
    throw Failure(ANET_E_FILE_NOT_FOUND,
                  "--export-companion: there is no folder '" + exported.companion + "'");
  if (config.checkpoint_root.empty()) return;
  // Missing folders above it are made.
  fs::path root = fs::absolute(config.checkpoint_root).lexically_normal();
  while (!fs::exists(root)) root = root.parent_path();
  check_output("--checkpoint-root", root.string(), true);
  if (fs::exists(root / "state.json"))
    throw Failure(
        "--checkpoint-root expects the folder of a run's checkpoints, got the checkpoint '" +
        config.checkpoint_root + "'");
}

// The weights of the best evaluation, where a checkpoint has them, else the last ones.
void write_adapter(const TrainRun& run, const TrainEnd& end) {
  const std::string& folder = run.config.finetune.output;
  auto options = initialised<anet_adapter_save_options>();
  options.base_name = run.config.model.c_str();
  const bool best = !end.best_checkpoint.empty() && end.best_step != end.step;
  const Adapter loaded = best ? load_adapter(run.model, end.best_checkpoint) : nullptr;
  call(anet_adapter_save, best ? loaded.get() : run.adapter.get(), folder.c_str(), &options);
  std::printf("adapter %s, %s\nto use  ane-train generate --model %s --adapter %s\n",
              folder.c_str(), best ? "the best of the run" : "as it is after the last step",
              run.config.model.c_str(), folder.c_str());
}

// A conversation is continued by its assistant; any other text goes on.
Sampler sampler_of(const TrainRun& run) {
  Sampler sampler;
  sampler.generator = run.generator.get();
  if (sampler.generator == nullptr) return sampler;
  const std::string& prompt = run.config.sample;
  const bool chat = run.text.chat != nullptr && run.layout != Layout::windows;
  sampler.prompt =
      chat ? encode_chat(run.text, single_turn("", prompt), run.config.rows["template_variables"])
           : encode_prompt(run.text.require_tokenizer(), prompt);
  sampler.stop_ids = run.text.stop_ids;
  sampler.shown = chat ? prompt + "\n" : prompt;
  return sampler;
}

History history_of(const TrainRun& run) {
  History history;
  const std::string& log = run.config.log;
  if (run.config.resume && !log.empty() && std::filesystem::exists(log)) {
    read_log(log, run.first_step, history);
  }
  history.settings = settings_of(run);
  return history;
}

void write_summary(const TrainRun& run, const Monitor& monitor, const TrainEnd& end) {
  const History& history = monitor.history();
  const Json summary = json_object();
  json_set_count(summary, "parameters", anet_model_weight_count(run.model.get()));
  json_set_count(summary, "steps", static_cast<uint64_t>(end.step));
  json_set(summary, "seconds", end.seconds);
  json_set(summary, "tokens_per_second", monitor.progress().tokens_per_second());
  json_set(summary, "engine_share", share_of_engine(history.kernels));
  json_set_count(summary, "engine_evaluations", sum_of(history.kernels, &KernelPlace::evaluations));
  json_set_count(summary, "fallbacks", sum_of(history.kernels, &KernelPlace::fallbacks));
  json_set(summary, "end", end.reason(run.config));
  json_set(summary, "stopped_early", end.early);
  json_set(summary, "layout", layout_name(run.layout));
  json_set(summary, "density", run.data.train.density());
  if (!history.evaluations.empty()) {
    json_set(summary, "val_loss_before", history.evaluations.front().loss);
    json_set(summary, "val_loss_after", history.evaluations.back().loss);
    json_set(summary, "val_perplexity_after", std::exp(history.evaluations.back().loss));
  }
  if (end.best_loss) {
    json_set(summary, "best_loss", *end.best_loss);
    json_set_count(summary, "best_step", static_cast<uint64_t>(end.best_step));
    json_set(summary, "best_checkpoint", end.best_checkpoint);
  }
  if (!history.samples.empty()) {
    json_set(summary, "sample_before", history.samples.front().text);
    json_set(summary, "sample_after", history.samples.back().text);
  }
  write_text_file(run.config.summary, json_lines(summary.get()) + "\n");
}

void write_report(const TrainRun& run, const Monitor& monitor, const TrainEnd& end) {
  const History& history = monitor.history();
  std::vector<std::pair<std::string, std::string>> numbers;
  if (!history.evaluations.empty()) {
    const double loss = history.evaluations.back().loss;
    numbers.emplace_back("validation loss", format_number(loss, 3));
    numbers.emplace_back("perplexity", format_number(std::exp(loss), 2));
    numbers.emplace_back("at the start", format_number(history.evaluations.front().loss, 3));
  }
  if (end.best_loss)
    numbers.emplace_back("best, after step " + std::to_string(end.best_step),
                         format_number(*end.best_loss, 3));
  numbers.emplace_back("parameters", format_count(anet_model_weight_count(run.model.get())));
  numbers.emplace_back("steps",
                       std::to_string(history.steps.empty() ? 0 : history.steps.back().step));
  numbers.emplace_back("tokens/s",
                       format_count(static_cast<uint64_t>(monitor.progress().tokens_per_second())));
  numbers.emplace_back("time", format_duration(end.seconds));
  if (run.layout != Layout::windows)
    numbers.emplace_back(std::string("of ") + layout_name(run.layout) + " rows is data",
                         format_number(100 * run.data.train.density(), 1) + " %");
  if (sum_of(history.kernels, &KernelPlace::evaluations) > 0)
    numbers.emplace_back("of the FLOPs on the engine",
                         format_number(100 * share_of_engine(history.kernels), 1) + " %");
  write_text_file(run.config.report, report_html(history, numbers, end.reason(run.config)));
}

void print_end(const TrainRun& run, const Monitor& monitor, const TrainEnd& end) {
  std::printf("%s, %s, %s tokens/s\n", end.reason(run.config).c_str(),
              format_duration(end.seconds).c_str(),
              format_count(static_cast<uint64_t>(monitor.progress().tokens_per_second())).c_str());
  if (end.best_loss) {
    std::printf("best    loss %.4f, perplexity %.2f after step %lld%s%s\n", *end.best_loss,
                std::exp(*end.best_loss), static_cast<long long>(end.best_step),
                end.best_checkpoint.empty() ? "" : ": ", end.best_checkpoint.c_str());
  }
  print_work(monitor.history().kernels);
  if (!end.interrupted) return;
  if (run.config.checkpoint_root.empty()) {
    std::printf("nothing was saved: there is no --checkpoint-root\n");
  } else {
    std::printf("to go on: ane-train %s --resume --checkpoint-root %s\n", run.config.command(),
                run.config.checkpoint_root.c_str());
  }
}

} // namespace cli
