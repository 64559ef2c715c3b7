#include "eval.h"
#include "args.h"
#include "commands.h"
#include "config.h"
#include "corpus.h"
#include "data.h"
#include "device_flags.h"
#include "json.h"
#include "text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cli {
namespace {

struct EvalConfig {
  std::string model;
  std::string data;
  std::string part;
  TextFlags text;
  DataFlags rows;
  DeviceFlags device;
  int64_t windows = 0;
  int64_t batch_size = 8;
  int64_t sequence_length = 0;
  anet_precision precision = ANET_PRECISION_DEFAULT;
  bool best = false;
  bool per_example = false;
  bool json = false;
};

CommandLine eval_command_line(EvalConfig& config) {
  return {
      "eval",
      "Measures loss (nats a token) and perplexity on JSONL, text or a .bin file of token ids.",
      "",
      {{"Options",
        {{"model", "PATH", "model folder, GGUF, llama2.c, checkpoint or folder of them (required)",
          store(config.model)},
         {"best", "", "of a folder, the checkpoint with the lowest validation loss",
          store_switch(config.best)},
         {"data", "PATH", "a file, or a folder with test.* or valid.* (required)",
          store(config.data)},
         {"part", "train|valid|test", "of a folder (test, if it is there, else valid)",
          [&config](const std::string& value) {
            config.part = parse_choice("--part", "train|valid|test", value);
          }},
         {"windows", "N", "rows to measure (0: all)", store_integer("windows", config.windows)},
         {"sequence_length", "N", "tokens in a row (the model's context, at most 512)",
          store_integer("sequence_length", config.sequence_length)},
         {"batch_size", "N", "(8)", store_integer("batch_size", config.batch_size)},
         {"precision", "NAME", "default, f32 or f16 (f32 where the device has it)",
          [&config](const std::string& value) { config.precision = parse_precision(value); }},
         {"per_example", "", "print a JSON object for each example, or window of a text",
          store_switch(config.per_example)},
         {"json", "", "print one JSON object", store_switch(config.json)}}},
       {"Text", text_options(config.text)},
       {"Rows", config.rows.options()},
       {"Device", device_options(config.device)}}};
}

void print_result(const EvalConfig& config, const anet_eval_result& result) {
  const double perplexity = std::exp(result.loss);
  if (config.json) {
    const Json object = json_object();
    json_set(object, "loss", result.loss);
    json_set(object, "perplexity", perplexity);
    json_set_count(object, "tokens", result.tokens);
    json_set(object, "seconds", result.seconds);
    std::printf("%s\n", json_text(object.get()).c_str());
    return;
  }
  std::printf("loss        %.4f\nperplexity  %.4f\ntokens      %llu\nspeed       %s tokens/s\n",
              result.loss, perplexity, static_cast<unsigned long long>(result.tokens),
              format_count(static_cast<uint64_t>(static_cast<double>(result.tokens) /
                                                 std::max(result.seconds, 1e-9)))
                  .c_str());
}

std::string part_of(const EvalConfig& config) {
  if (!config.part.empty()) return config.part;
  if (has_part(config.data, "test")) return "test";
  return has_part(config.data, "valid") ? "valid" : "train";
}

EvalConfig parse_eval(const Arguments& arguments, bool& help) {
  EvalConfig config;
  const CommandLine line = eval_command_line(config);
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return config;
  }
  if (config.model.empty()) throw UsageError("--model is required");
  if (config.data.empty()) throw UsageError("--data is required");
  if (config.per_example && config.json)
    throw UsageError("--per-example and --json exclude each other");
  return config;
}

} // namespace

int run_eval(const Arguments& arguments) {
  bool help = false;
  const EvalConfig config = parse_eval(arguments, help);
  if (help) return exit_ok;

  const Device device = open_device(config.device);
  const std::string path =
      resolve_checkpoint(config.model, config.best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  const Model model = load_model(path, ANET_CHECKPOINT_LATEST);
  const TextSource text = open_text(config.text, facts_of_model(model, path));
  const anet_model_config shape = model_config(model);

  auto options = initialised<anet_session_options>();
  options.batch_size = static_cast<int32_t>(std::max<int64_t>(1, config.batch_size));
  options.precision = config.precision;
  options.sequence_length = config.sequence_length > 0
                                ? static_cast<int32_t>(config.sequence_length)
                                : std::min(shape.context_length, 512);
  CorpusOptions reading;
  reading.flags = &config.rows;
  reading.text = &text;
  reading.device = &device;
  reading.layout = config.rows.layout(config.data);
  // Which example a row holds is known where a row holds one.
  if (config.per_example && reading.layout != Layout::windows) reading.layout = Layout::padded;
  reading.sequence_length = options.sequence_length;
  reading.batch_size = options.batch_size;
  reading.vocab_size = shape.vocab_size;
  reading.sequential = true;
  set_layout(config.rows, reading.layout, options);
  const Corpus data = open_corpus(config.data, part_of(config), reading);
  const Session session = create<Session>(anet_session_create, device.get(), model.get(), &options);
  const auto rows = static_cast<uint64_t>(config.windows);
  if (config.per_example) {
    print_examples(session, data, rows, config.rows.long_examples(config.data));
    return exit_ok;
  }
  auto result = initialised<anet_eval_result>();
  call(anet_session_evaluate, session.get(), data.rows.get(), rows, &result);
  print_result(config, result);
  return exit_ok;
}

} // namespace cli
