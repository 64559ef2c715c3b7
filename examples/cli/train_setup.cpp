// How a run begins: the model, its text, the session and the data; new or from a checkpoint.
#include "data.h"
#include "text.h"
#include "train_run.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <utility>

namespace cli {
namespace {

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

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

void print_memory_plan(const anet_memory_plan& plan) {
  std::printf("memory  %s: weights %s, gradients %s, optimizer %s, activations %s, workspace %s\n",
              format_bytes(plan.total).c_str(), format_bytes(plan.weights + plan.staged).c_str(),
              format_bytes(plan.gradients).c_str(), format_bytes(plan.optimizer).c_str(),
              format_bytes(plan.activations).c_str(), format_bytes(plan.workspace).c_str());
}

void check_memory(const TrainRun& run, const anet_model_config& shape) {
  auto plan = initialised<anet_memory_plan>();
  if (run.adapter)
    call(anet_session_plan_adapter_memory, run.device.get(), run.adapter.get(), &run.options,
         &plan);
  else
    call(anet_session_plan_memory, run.device.get(), &shape, &run.options, &plan);
  print_memory_plan(plan);
  const uint64_t limit = run.options.max_memory;
  if (limit == 0 || plan.total <= limit) return;
  throw Failure(ANET_E_MEMORY_LIMIT,
                "that is more than --max-memory " + format_bytes(limit) +
                    "; a smaller batch or sequence, or --activation-checkpointing 1, needs less");
}

// Ids without text need no tokenizer.
bool is_token_data(const TrainConfig& config) {
  const std::string& format = config.rows["format"];
  if (!format.empty()) return format == "tokens";
  const std::string file = DataFlags::single_file(config.data, "train");
  return !file.empty() && is_token_file(file);
}

// The model from files, compressed if that was asked for, and the text that goes with `facts`: the
// model's path, or a checkpoint.
void load_base(TrainRun& run, const std::string& facts) {
  const QuantizeFlags& quantize = run.config.finetune.quantize;
  const anet_quantize_options options = quantize.quantize_options(run.device);
  run.model = load_model(run.config.model, ANET_CHECKPOINT_LATEST, true,
                         quantize.given() ? &options : nullptr);
  run.text = open_text(run.config.text, facts_of_model(run.model, facts));
}

// A new model takes the tokenizer's vocabulary; one from files brings its own tokenizer.
std::optional<anet_model_config> open_model(TrainRun& run) {
  TrainConfig& config = run.config;
  const bool bytes = config.text.tokenizer.empty() && !is_token_data(config);
  if (const auto fresh = new_model_config(config.model, 0)) {
    if (config.finetune.on)
      throw UsageError("finetune needs a model from files, got the configuration '" + config.model +
                       "'; train makes new ones");
    TextFacts facts;
    if (bytes) facts.tokenizer = "bytes";
    // A tokenizer.bin does not say how many ids it has, and what the JSON names stays.
    const bool needs_size = std::filesystem::path(config.text.tokenizer).extension() == ".bin";
    if (needs_size || config.model.front() == '{') facts.vocab_size = fresh->vocab_size;
    run.text = open_text(config.text, facts);
    if (!run.text.tokenizer) return fresh;
    return new_model_config(config.model, anet_tokenizer_vocab_size(run.text.tokenizer.get()));
  }
  config.model = resolve_checkpoint(config.model, ANET_CHECKPOINT_LATEST);
  load_base(run, config.model);
  return std::nullopt;
}

// What was set, and what was not: nobody should have to look up the defaults.
void print_finetune(const TrainRun& run) {
  const anet_session_options& options = run.options;
  static constexpr const char* schedules[] = {"constant", "linear", "cosine", "wsd"};
  if (run.adapter) std::printf("adapter %s\n", adapter_text(run.adapter).c_str());
  if (run.config.finetune.full)
    std::printf("trained %s\n", run.config.finetune.trainable.empty()
                                    ? "all weights of the model"
                                    : run.config.finetune.trainable.c_str());
  char rate[32];
  std::snprintf(rate, sizeof rate, "%g", options.learning_rate);
  std::printf("rate    %s, %s after %lld steps of warm-up; %lld steps of %d x %d x %d tokens\n",
              rate, schedules[options.schedule], static_cast<long long>(options.warmup_steps),
              static_cast<long long>(run.config.steps), std::max(1, options.accumulation_steps),
              std::max(1, options.batch_size), options.sequence_length);
}

void create_session(TrainRun& run) {
  if (run.adapter) {
    run.session = create<Session>(anet_session_create_adapter, run.device.get(), run.adapter.get(),
                                  &run.options);
  } else {
    run.session =
        create<Session>(anet_session_create, run.device.get(), run.model.get(), &run.options);
  }
}

// Beside the checkpoints of another run, the latest and the best of both would be taken for this
// one's.
void check_checkpoint_root(const TrainConfig& config) {
  const std::string& root = config.checkpoint_root;
  if (!has_checkpoints(root)) return;
  throw Failure(root + " has the checkpoints of another run: --resume goes on with it, and " +
                (config.trains_adapter() ? "--checkpoint-root or --output" : "--checkpoint-root") +
                " names another place");
}

void check_vocabulary(const TrainRun& run, const anet_model_config& shape) {
  if (!run.text.tokenizer) return;
  const int32_t needed = anet_tokenizer_vocab_size(run.text.tokenizer.get());
  if (shape.vocab_size >= needed) return;
  throw Failure("text needs a vocabulary of " + std::to_string(needed) + ", the model has " +
                std::to_string(shape.vocab_size));
}

void end_schedule(TrainRun& run) {
  if (run.options.schedule != ANET_SCHEDULE_CONSTANT && run.options.total_steps == 0)
    run.options.total_steps = run.config.steps;
}

void begin(TrainRun& run) {
  TrainConfig& config = run.config;
  if (config.steps == 0) config.steps = 1000;
  check_checkpoint_root(config);
  run.options = initialised<anet_session_options>();
  apply_session_options(config, run.options);
  if (!config.finetune.trainable.empty()) run.options.trainable = config.finetune.trainable.c_str();
  end_schedule(run);
  // A new model gets its weights after the plan has been seen to fit.
  const auto fresh = open_model(run);
  const anet_model_config shape = fresh ? *fresh : model_config(run.model);
  check_vocabulary(run, shape);
  if (run.options.sequence_length == 0) {
    const int32_t context = shape.context_length > 0 ? shape.context_length : 1024;
    run.options.sequence_length = std::min(context, 1024);
  }
  run.layout = config.rows.layout(config.data);
  set_layout(config.rows, run.layout, run.options);
  if (config.trains_adapter())
    run.adapter = create_adapter(run.model, config.finetune.adapter, run.options.seed);
  if (config.finetune.on) print_finetune(run);
  check_memory(run, shape);
  if (fresh) run.model = create<Model>(anet_model_create, &*fresh, run.options.seed);
  create_session(run);
}

// The checkpoint's settings stand where the command line is silent.
void take_properties(TrainRun& run) {
  TrainConfig& config = run.config;
  config.rows.merge(property(run.session, "data_options"));
  const std::string model = property(run.session, "model");
  if (config.model.empty()) {
    config.model = model;
  } else if (!config.trains_adapter() && config.model != model && absolute(config.model) != model) {
    std::fprintf(stderr, "note: --model is not used: the checkpoint has its own, of %s\n",
                 model.c_str());
    config.model = model;
  }
  const auto find = [&](const char* key) {
    return config.is_given(key) ? std::string() : property(run.session, key);
  };
  if (const std::string data = find("data"); !data.empty()) config.data = data;
  if (config.data.empty()) throw UsageError("the checkpoint names no data, --data is required");
  if (!config.is_given("validation") && !config.is_given("split")) {
    config.validation = find("validation");
    const std::string split = find("split");
    if (!split.empty()) config.split = parse_number("split", split);
  }
  const std::string steps = find("steps");
  if (!steps.empty()) config.steps = parse_integer("steps", steps);
  if (config.steps == 0) config.steps = 1000;
  const std::string patience = find("patience");
  if (!patience.empty()) config.patience = parse_integer("patience", patience);
  const std::string min_delta = find("min_delta");
  if (config.patience > 0 && !min_delta.empty())
    config.min_delta = parse_number("min_delta", min_delta);
}

// The checkpoint of an adapter names its model, and how that was compressed.
void load_resumed_base(TrainRun& run, const std::string& path) {
  FinetuneFlags& finetune = run.config.finetune;
  const auto properties = checkpoint_properties(path);
  const auto find = [&](const char* key) {
    const auto found = properties.find(key);
    return found == properties.end() ? std::string() : found->second;
  };
  if (find("adapter").empty()) {
    finetune.full = true; // the checkpoint has the whole model
    return;
  }
  if (run.config.model.empty()) run.config.model = find("model");
  if (!finetune.quantize.given()) finetune.quantize.from_text(find("quantize"));
  if (finetune.output.empty()) finetune.output = find("adapter");
  load_base(run, path);
}

Session resume_session(const TrainRun& run, const std::string& path,
                       const anet_session_options* options) {
  if (run.config.trains_adapter())
    return create<Session>(anet_session_resume_adapter, run.device.get(), run.model.get(),
                           path.c_str(), options);
  return create<Session>(anet_session_resume, run.device.get(), path.c_str(), options);
}

void resume(TrainRun& run) {
  TrainConfig& config = run.config;
  const std::string path = resolve_checkpoint(config.checkpoint_root, ANET_CHECKPOINT_LATEST);
  if (config.finetune.on) load_resumed_base(run, path);
  run.session = resume_session(run, path, nullptr);
  run.options = initialised<anet_session_options>();
  call(anet_session_get_options, run.session.get(), &run.options);
  const std::string trainable = run.options.trainable == nullptr ? "" : run.options.trainable;
  if (!config.is_given("trainable")) config.finetune.trainable = trainable;
  const anet_session_options kept = run.options;
  take_properties(run);
  apply_session_options(config, run.options);
  end_schedule(run);
  run.options.trainable =
      config.finetune.trainable.empty() ? nullptr : config.finetune.trainable.c_str();
  run.layout = config.rows.layout(config.data);
  set_layout(config.rows, run.layout, run.options);
  const bool same = run.options.documents == kept.documents &&
                    run.options.length_buckets == kept.length_buckets &&
                    config.finetune.trainable == trainable;
  if (!config.session.empty() || !same) {
    run.session.reset();
    run.session = resume_session(run, path, &run.options);
  }
  if (config.trains_adapter()) {
    run.adapter = create<Adapter>(anet_session_get_adapter, run.session.get());
    if (config.describes_adapter())
      check_adapter_flags(config.finetune.adapter, run.model, run.adapter);
  } else {
    run.model = create<Model>(anet_session_get_model, run.session.get());
    run.text = open_text(config.text, facts_of_model(run.model, path));
  }
  call(anet_session_get_step, run.session.get(), &run.first_step);
  auto plan = initialised<anet_memory_plan>();
  call(anet_session_get_memory_plan, run.session.get(), &plan);
  print_memory_plan(plan);
  std::printf("resumed %s\n", path.c_str());
}

// What a resumed run, `generate` and `eval` need to know besides the weights.
void keep_properties(const TrainRun& run) {
  const TrainConfig& config = run.config;
  const Session& session = run.session;
  const bool from_path = !config.model.empty() && !new_model_config(config.model, 0);
  set_property(session, "model", from_path ? absolute(config.model) : config.model);
  set_property(session, "adapter", run.adapter ? absolute(config.finetune.output) : "");
  set_property(session, "quantize", config.finetune.quantize.to_text());
  set_property(session, "data", absolute(config.data));
  set_property(session, "data_options", config.rows.to_json());
  set_property(session, "validation", absolute(config.validation));
  set_property(session, "split", config.split ? exact_number(*config.split) : "");
  set_property(session, "steps", std::to_string(config.steps));
  set_property(session, "patience", config.patience > 0 ? std::to_string(config.patience) : "");
  set_property(session, "min_delta", config.min_delta > 0 ? exact_number(config.min_delta) : "");
  set_property(session, "tokenizer", run.text.tokenizer_path);
  set_property(session, "companion", run.text.companion);
  set_property(session, "chat_template", run.text.chat_name);
  set_property(session, "stop_ids", join_ids(run.text.stop_ids));
}

// A template that prints the day sees the one on which the run began, also after a resume: else the
// data would be others.
void fix_date(const TrainRun& run) {
  if (anet_chat_template_uses_date(run.text.chat.get()) == 0) return;
  std::string date = property(run.session, "template_date");
  if (date.empty()) date = std::to_string(std::time(nullptr));
  call(anet_chat_template_set_date, run.text.chat.get(), parse_integer("template_date", date));
  set_property(run.session, "template_date", date);
}

void open_data(TrainRun& run) {
  fix_date(run);
  TrainConfig& config = run.config;
  call(anet_session_get_options, run.session.get(), &run.options);
  const anet_model_config shape = model_config(run.model);
  CorpusOptions options;
  options.flags = &config.rows;
  options.text = &run.text;
  options.device = &run.device;
  options.layout = run.layout;
  options.sequence_length =
      run.options.sequence_length > 0 ? run.options.sequence_length : shape.context_length;
  options.batch_size = std::max(1, run.options.batch_size);
  options.vocab_size = shape.vocab_size;
  options.seed = run.options.seed;
  run.data = open_corpus_pair(config.data, config.validation, config.split.value_or(0.1), options);
  if (config.min_delta > 0 && config.patience == 0)
    throw UsageError("--min-delta needs --patience");
  if (config.patience > 0 && !run.data.validation)
    throw UsageError("--patience needs validation data");
  check_evaluations(config);
  if (config.restart_data) call(anet_session_set_cursor, run.session.get(), uint64_t{0});
  keep_properties(run);
}

void open_generator(TrainRun& run) {
  if (run.config.sample.empty()) {
    if (run.config.sample_every.value_or(0) > 0) throw UsageError("--sample-every needs --sample");
    return;
  }
  auto options = initialised<anet_generator_options>();
  options.precision = run.options.precision;
  run.generator = create<Generator>(anet_generator_create, run.device.get(), run.model.get(),
                                    run.text.require_tokenizer().get(), &options);
  if (!run.adapter) return;
  const anet_weighted_adapter attached{run.adapter.get(), 1};
  call(anet_generator_set_adapters, run.generator.get(), &attached, size_t{1});
}

std::string rows_text(const Corpus& corpus, Layout layout) {
  const std::string count = format_count(anet_dataset_window_count(corpus.rows.get()));
  if (layout == Layout::windows) return count + " windows";
  return format_count(anet_examples_count(corpus.examples.get())) + " examples in " + count + " " +
         layout_name(layout) + " rows";
}

void print_data(const TrainRun& run) {
  const Corpus& train = run.data.train;
  std::printf("data    %s of %d tokens for training", rows_text(train, run.layout).c_str(),
              anet_dataset_sequence_length(train.rows.get()));
  if (run.layout != Layout::windows)
    std::printf(", %s %% full", format_number(100 * train.density(), 1).c_str());
  if (run.data.validation)
    std::printf(", %s for validation", rows_text(*run.data.validation, run.layout).c_str());
  std::printf("\n");
  const uint64_t lost = train.layout ? json_count(train.layout.get(), "lost_supervised") : 0;
  if (lost > 0)
    std::printf("        %s tokens to be learned are cut off: --sequence-length or --long split\n",
                format_count(lost).c_str());
  std::fflush(stdout);
}

} // namespace

TrainRun prepare_training(TrainConfig config) {
  TrainRun run;
  run.config = std::move(config);
  check_outputs(run.config);
  run.device = open_device(run.config.device);
  if (run.config.resume) {
    resume(run);
  } else {
    begin(run);
  }
  if (!run.config.export_to.path.empty())
    check_exportable(run.model, run.config.export_to, run.text.companion);
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, run.device.get(), &info);
  const anet_model_config shape = model_config(run.model);
  std::printf("device  %s\nmodel   %s parameters: %d layers, hidden size %d, vocabulary %d\n",
              info.description, format_count(anet_model_weight_count(run.model.get())).c_str(),
              shape.layer_count, shape.hidden_size, shape.vocab_size);
  if (!run.text.chat_problem.empty())
    std::fprintf(stderr, "warning: the model's chat template cannot be used: %s\n",
                 run.text.chat_problem.c_str());
  open_data(run);
  open_generator(run);
  print_data(run);
  return run;
}

} // namespace cli
