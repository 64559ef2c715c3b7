#include "config.h"

#include "handles.h"
#include "json.h"
#include "text.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cli {
namespace {

enum class Kind { integer, unsigned_integer, number, boolean, word, bytes };

struct SessionKey {
  const char* key;
  Kind kind;
  const char* value;
  const char* help;
};

// Every field of anet_session_options; ane_train.h is the reference.
constexpr SessionKey session_keys[] = {
    {"batch_size", Kind::integer, "N", "sequences in a micro-batch (1)"},
    {"sequence_length", Kind::integer, "N", "tokens in a row (the model's context, at most 1024)"},
    {"accumulation_steps", Kind::integer, "N", "micro-batches in a step (1)"},
    {"learning_rate", Kind::number, "X", "(3e-4)"},
    {"schedule", Kind::word, "NAME", "constant, linear, cosine or wsd (constant)"},
    {"warmup_steps", Kind::integer, "N", "(0)"},
    {"total_steps", Kind::integer, "N", "where the schedule ends (--steps)"},
    {"decay_steps", Kind::integer, "N", "wsd: length of the decay (a fifth)"},
    {"min_learning_rate", Kind::number, "X", "(0)"},
    {"optimizer", Kind::word, "NAME", "adamw or sgd (adamw)"},
    {"optimizer_precision", Kind::word, "NAME", "of its state: f32 or bf16 (f32)"},
    {"beta1", Kind::number, "X", "(0.9)"},
    {"beta2", Kind::number, "X", "(0.999)"},
    {"epsilon", Kind::number, "X", "(1e-8)"},
    {"momentum", Kind::number, "X", "sgd (0)"},
    {"weight_decay", Kind::number, "X", "decoupled, matrices only (0)"},
    {"clip_norm", Kind::number, "X", "of the whole gradient (off)"},
    {"precision", Kind::word, "NAME", "default, f32, f16 or bf16 (f32 where the device has it)"},
    {"initial_loss_scale", Kind::number, "X", "f16 (65536)"},
    {"loss_scale_growth_steps", Kind::integer, "N", "f16 (2000)"},
    {"activation_checkpointing", Kind::boolean, "0|1", "recompute activations to save memory (0)"},
    {"loss_chunk", Kind::integer, "N", "positions whose logits are in memory at once"},
    {"max_memory", Kind::bytes, "SIZE", "refuse to start above it, as 2G or 512M (no limit)"},
    {"seed", Kind::unsigned_integer, "N", "of weights, data order and samples (0)"},
};

bool parse_boolean(const std::string& flag, const std::string& text) {
  if (text == "1" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  throw UsageError(flag + " expects 0 or 1, got '" + text + "'");
}

std::string json_literal(const SessionKey& key, const std::string& text) {
  const std::string flag = flag_of(key.key);
  switch (key.kind) {
  case Kind::integer:
    return std::to_string(parse_integer(flag, text));
  case Kind::unsigned_integer:
    return std::to_string(parse_unsigned(flag, text));
  case Kind::number:
    return exact_number(parse_number(flag, text));
  case Kind::bytes:
    return std::to_string(parse_bytes(flag, text));
  case Kind::boolean:
    return parse_boolean(flag, text) ? "true" : "false";
  case Kind::word:
    break;
  }
  return '"' + text + '"';
}

OptionGroup session_group(TrainConfig& config) {
  OptionGroup group{"Training (the \"session\" section of the configuration file)", {}};
  for (const SessionKey& key : session_keys) {
    group.options.push_back(
        {key.key, key.value, key.help, [&config, &key](const std::string& text) {
           config.session[key.key] = json_literal(key, text);
         }});
  }
  return group;
}

// cJSON has doubles, which hold all integers below 2^53.
std::string number_text(const std::string& shown, double value) {
  if (value != std::floor(value)) return exact_number(value);
  if (std::abs(value) < 0x1p53) return std::to_string(static_cast<int64_t>(value));
  throw UsageError(shown + ": a number from 2^53 on is exact only as a string, in quotes");
}

void apply_section(const CommandLine& line, const cJSON* section, const std::string& origin) {
  for (const cJSON* item = section->child; item != nullptr; item = item->next) {
    const std::string shown = std::string("'") + item->string + "' in " + origin;
    const Option& option = require_option(line, item->string, shown, false);
    if (option.key == "config") throw UsageError("a configuration file cannot name another one");
    if (option.value.empty() && !cJSON_IsBool(item)) {
      throw UsageError(shown + " must be true or false");
    }
    if (cJSON_IsString(item)) {
      option.apply(item->valuestring);
    } else if (cJSON_IsNumber(item)) {
      option.apply(number_text(shown, item->valuedouble));
    } else if (cJSON_IsBool(item)) {
      option.apply(cJSON_IsTrue(item) ? "true" : "false");
    } else {
      throw UsageError(shown + " must be a number, a string or a boolean");
    }
  }
}

void apply_config_file(TrainConfig& config, const std::string& path) {
  const Json root = json_parse(read_text_file(path), path);
  if (!cJSON_IsObject(root.get())) throw UsageError(path + ": expected a JSON object");
  const CommandLine line = train_command_line(config);
  CommandLine session{line.command, "", "", {}};
  CommandLine train{line.command, "", "", {}};
  for (const OptionGroup& group : line.groups) {
    const bool is_session = group.options.front().key == session_keys[0].key;
    (is_session ? session : train).groups.push_back(group);
  }
  for (const cJSON* item = root->child; item != nullptr; item = item->next) {
    const std::string key = item->string;
    if (key == "model") {
      config.model = cJSON_IsString(item) ? item->valuestring : json_text(item);
    } else if ((key == "session" || key == "train") && cJSON_IsObject(item)) {
      apply_section(key == "session" ? session : train, item, path);
    } else if (key == "session" || key == "train") {
      throw UsageError(path + ": '" + key + "' must be an object");
    } else {
      throw UsageError("unknown key '" + key + "' in " + path +
                       ", expected model, session or train");
    }
  }
}

OptionGroup model_group(TrainConfig& config) {
  return {"Model and data",
          {{"model", "NAME|JSON|PATH",
            "new: a configuration; else a model folder, GGUF, llama2.c, checkpoint (tiny)",
            store(config.model)},
           {"data", "PATH", "JSONL, text, .bin of token ids, or a folder with train.* and valid.*",
            store(config.data)},
           {"validation", "PATH", "the same, for the validation loss (the folder's valid.*)",
            store(config.validation)},
           {"split", "X", "without validation data: the share that is kept aside (0.1); 0: none",
            [&config](const std::string& text) { config.split = parse_number("--split", text); }},
           {"steps", "N", "optimizer steps, the resumed ones included (1000; finetune: 200)",
            [&config](const std::string& text) {
              config.steps = parse_count("steps", text);
              if (config.steps == 0) throw UsageError("--steps expects at least 1, got '0'");
            }},
           {"config", "FILE", "JSON {\"model\":..., \"session\":{...}, \"train\":{...}}; flags win",
            store(config.config)}}};
}

OptionGroup progress_group(TrainConfig& config) {
  return {
      "Progress",
      {{"eval_every", "N",
        "steps between validation losses; 0: the first and last alone (a tenth of --steps)",
        store_integer("eval_every", config.eval_every)},
       {"eval_windows", "N", "rows in a validation loss; 0: all (64)",
        store_integer("eval_windows", config.eval_windows)},
       {"sample", "PROMPT", "write samples that go on from it, through the chat template if any",
        store(config.sample)},
       {"sample_every", "N",
        "steps between samples; 0: the first and last alone (with each validation loss)",
        store_integer("sample_every", config.sample_every)},
       {"sample_tokens", "N", "(120)", store_integer("sample_tokens", config.sample_tokens)},
       {"log", "FILE", "one JSON object a line for every event", store(config.log)},
       {"report", "FILE", "a self-contained HTML page at the end", store(config.report)},
       {"summary", "FILE", "the final numbers as JSON", store(config.summary)}}};
}

constexpr const char* train_summary =
    "Trains a model, a new one or one from files, on JSONL, text or a .bin file of token ids.";
constexpr const char* finetune_summary =
    "Teaches a model from files by training a small adapter (LoRA) and leaves the model as it is;\n"
    "the best adapter is written for PEFT, to be used with generate --adapter.";

OptionGroup finetune_group(FinetuneFlags& flags) {
  OptionGroup group{"Adapter", adapter_options(flags.adapter)};
  group.options.push_back(
      {"output", "DIR", "where the adapter goes (adapter)", store(flags.output)});
  for (Option& option : flags.quantize.options("quantize"))
    group.options.push_back(std::move(option));
  group.options.push_back(
      {"full", "", "train the model's own weights, no adapter", store_switch(flags.full)});
  group.options.push_back({"trainable", "PATTERNS",
                           "--full: which ones, as layers.11.*,norm.weight",
                           store(flags.trainable)});
  return group;
}

void check_finetune(const TrainConfig& config) {
  const FinetuneFlags& flags = config.finetune;
  if (config.model.empty() && !config.resume) throw UsageError("--model is required");
  if (!flags.trainable.empty() && !flags.full) throw UsageError("--trainable needs --full");
  if (!flags.full) return;
  if (!flags.output.empty())
    throw UsageError("--output is of adapters; --export writes what --full has trained");
  if (flags.quantize.given()) throw UsageError("--quantize and --full exclude each other");
  if (config.describes_adapter())
    throw UsageError("--full trains no adapter: --rank and the like do not go with it");
}

void note_given(TrainConfig& config, CommandLine& line) {
  for (OptionGroup& group : line.groups) {
    for (Option& option : group.options) {
      option.apply = [&config, key = option.key,
                      apply = std::move(option.apply)](const std::string& text) {
        apply(text);
        config.given.insert(key);
      };
    }
  }
}

} // namespace

bool TrainConfig::describes_adapter() const {
  AdapterFlags unused;
  const std::vector<Option> options = adapter_options(unused);
  return std::any_of(options.begin(), options.end(),
                     [this](const Option& option) { return is_given(option.key); });
}

void check_evaluations(const TrainConfig& config) {
  if (config.patience > 0 && config.eval_every == 0)
    throw UsageError("--patience needs evaluations, --eval-every 0 makes none between the steps");
}

CommandLine train_command_line(TrainConfig& config) {
  CommandLine line;
  line.command = config.command();
  line.summary = std::string(config.finetune.on ? finetune_summary : train_summary) +
                 "\nCtrl-C stops, saves and says how to go on; a second one ends at once.\n"
                 "Exit codes: 0 done, 1 failure, 2 usage, 130 interrupted.";
  line.groups.push_back(model_group(config));
  if (config.finetune.on) line.groups.push_back(finetune_group(config.finetune));
  line.groups.push_back({"Text", text_options(config.text)});
  line.groups.push_back({"Rows", config.rows.options()});
  line.groups.push_back(session_group(config));
  line.groups.push_back(
      {"Checkpoints",
       {{"checkpoint_root", "DIR", "where checkpoints go; without it nothing is saved",
         store(config.checkpoint_root)},
        {"save_every", "N", "steps between checkpoints (only the last)",
         store_integer("save_every", config.save_every)},
        {"keep_last", "N", "checkpoints kept besides the best (all)",
         store_integer("keep_last", config.keep_last)},
        {"resume", "", "go on from the latest checkpoint below --checkpoint-root",
         store_switch(config.resume)},
        {"restart_data", "", "--resume: begin with the first row of the data, which may be others",
         store_switch(config.restart_data)}}});
  line.groups.push_back({"Export, when the training is over", export_options(config.export_to)});
  line.groups.push_back(
      {"Early stopping",
       {{"patience", "N", "stop after N evaluations in a row without improvement (never)",
         store_integer("patience", config.patience)},
        {"min_delta", "X", "what an improvement is, in nats (0)",
         store_number("min_delta", config.min_delta)}}});
  line.groups.push_back(progress_group(config));
  line.groups.push_back({"Device", device_options(config.device)});
  note_given(config, line);
  return line;
}

TrainConfig parse_train_config(const std::vector<std::string>& arguments, bool finetune,
                               bool& help) {
  // The first reading only finds --config, because flags win wherever they stand.
  TrainConfig flags;
  flags.finetune.on = finetune;
  parse_arguments(train_command_line(flags), arguments, help);
  TrainConfig config;
  config.finetune.on = finetune;
  if (finetune || flags.resume) config.model.clear();
  if (help) return config;
  if (!flags.config.empty()) apply_config_file(config, flags.config);
  parse_arguments(train_command_line(config), arguments, help);
  if (finetune) check_finetune(config);
  if (config.data.empty() && !config.resume) throw UsageError("--data is required");
  if (finetune && !config.resume) set_finetune_defaults(config);
  if (config.checkpoint_root.empty() && (config.resume || config.save_every > 0)) {
    throw UsageError(std::string(config.resume ? "--resume" : "--save-every") +
                     " needs --checkpoint-root");
  }
  const auto rate = config.session.find("learning_rate");
  if (rate != config.session.end() && parse_number("--learning-rate", rate->second) == 0) {
    throw UsageError("--learning-rate expects a number above 0, got '0'");
  }
  if (config.restart_data && !config.resume) throw UsageError("--restart-data needs --resume");
  if (!config.validation.empty() && config.split) {
    throw UsageError("--validation and --split exclude each other");
  }
  if (config.split && (*config.split < 0 || *config.split >= 1)) {
    throw UsageError("--split expects a share below 1, or 0 for no validation");
  }
  if (config.patience > 0 && config.split == 0.0) {
    throw UsageError("--patience needs validation data, --split 0 keeps none");
  }
  check_evaluations(config);
  if (config.min_delta < 0) throw UsageError("--min-delta expects a number of at least 0");
  check_export(config.export_to);
  return config;
}

void set_finetune_defaults(TrainConfig& config) {
  if (config.steps == 0) config.steps = 200;
  auto& session = config.session;
  session.emplace("learning_rate", config.finetune.full ? "2e-5" : "2e-4");
  session.emplace("clip_norm", "1");
  if (session.emplace("schedule", "\"cosine\"").second)
    session.emplace("warmup_steps", std::to_string(config.steps / 20));
  if (config.finetune.full) return;
  if (config.finetune.output.empty()) config.finetune.output = "adapter";
  if (config.checkpoint_root.empty())
    config.checkpoint_root = config.finetune.output + "-checkpoints";
}

void apply_session_options(const TrainConfig& config, anet_session_options& options) {
  std::string json = "{";
  for (const auto& [key, literal] : config.session) {
    if (json.size() > 1) json += ',';
    json += '"' + key + "\":" + literal;
  }
  try {
    call(anet_session_options_from_json, (json + "}").c_str(), &options);
  } catch (const Failure& failure) {
    throw UsageError(failure.what());
  }
}

anet_precision parse_precision(const std::string& text) {
  if (text == "default") return ANET_PRECISION_DEFAULT;
  if (text == "f32") return ANET_PRECISION_F32;
  if (text == "f16") return ANET_PRECISION_F16;
  if (text == "bf16") return ANET_PRECISION_BF16;
  throw UsageError("--precision expects default, f32, f16 or bf16, got '" + text + "'");
}

} // namespace cli
