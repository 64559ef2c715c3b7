#include "eval.h"
#include "adapter_flags.h"
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
  std::vector<AdapterSpec> adapters;
  EvalData data;
  DeviceFlags device;
  bool best = false;
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
         adapter_option(config.adapters),
         {"data", "PATH", "a file, or a folder with test.* or valid.* (required)",
          store(config.data.path)},
         {"part", "train|valid|test", "of a folder (test, if it is there, else valid)",
          [&config](const std::string& value) {
            config.data.part = parse_choice("--part", "train|valid|test", value);
          }},
         {"windows", "N", "rows to measure (0: all)",
          store_integer("windows", config.data.windows)},
         {"sequence_length", "N", "tokens in a row (the model's context, at most 512)",
          store_integer("sequence_length", config.data.sequence_length)},
         {"batch_size", "N", "(8)", store_integer("batch_size", config.data.batch_size)},
         {"precision", "NAME", "default, f32, f16 or bf16 (f32 where the device has it)",
          [&config](const std::string& value) { config.data.precision = parse_precision(value); }},
         {"per_example", "", "print a JSON object for each example, or window of a text",
          store_switch(config.data.per_example)},
         {"json", "", "print one JSON object", store_switch(config.json)}}},
       {"Text", text_options(config.data.text)},
       {"Rows", config.data.rows.options()},
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

EvalConfig parse_eval(const Arguments& arguments, bool& help) {
  EvalConfig config;
  const CommandLine line = eval_command_line(config);
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return config;
  }
  if (config.model.empty()) throw UsageError("--model is required");
  if (config.data.path.empty()) throw UsageError("--data is required");
  if (config.data.per_example && config.json)
    throw UsageError("--per-example and --json exclude each other");
  return config;
}

} // namespace

// Weights that are frozen for good have their own programs, so nothing is merged for one adapter.
static Session open_session(const Device& device, const Model& model,
                            const LoadedAdapters& adapters, const anet_session_options& options) {
  const auto& weighted = adapters.weighted();
  if (weighted.size() == 1 && weighted.front().weight == 1)
    return create<Session>(anet_session_create_adapter, device.get(),
                           adapters.handles().front().get(), &options);
  if (!weighted.empty()) {
    const Model merged =
        create<Model>(anet_model_merge, model.get(), weighted.data(), weighted.size());
    return create<Session>(anet_session_create, device.get(), merged.get(), &options);
  }
  return create<Session>(anet_session_create, device.get(), model.get(), &options);
}

Measurement open_measurement(const Device& device, const Model& model,
                             const LoadedAdapters& adapters, const TextSource& text,
                             const EvalData& data) {
  const anet_model_config shape = model_config(model);
  auto options = initialised<anet_session_options>();
  options.batch_size = static_cast<int32_t>(std::max<int64_t>(1, data.batch_size));
  options.precision = data.precision;
  options.sequence_length = data.sequence_length > 0 ? static_cast<int32_t>(data.sequence_length)
                                                     : std::min(shape.context_length, 512);
  CorpusOptions reading;
  reading.flags = &data.rows;
  reading.text = &text;
  reading.device = &device;
  reading.layout = data.rows.layout(data.path);
  // Which example a row holds is known where a row holds one.
  if (data.per_example && reading.layout != Layout::windows) reading.layout = Layout::padded;
  reading.sequence_length = options.sequence_length;
  reading.batch_size = options.batch_size;
  reading.vocab_size = shape.vocab_size;
  reading.sequential = true;
  set_layout(data.rows, reading.layout, options);
  std::string part = data.part;
  if (part.empty())
    part = has_part(data.path, "test") ? "test" : has_part(data.path, "valid") ? "valid" : "train";
  Corpus corpus = open_corpus(data.path, part, reading);
  return {open_session(device, model, adapters, options), std::move(corpus)};
}

anet_eval_result measure(const Measurement& measurement, uint64_t rows) {
  auto result = initialised<anet_eval_result>();
  call(anet_session_evaluate, measurement.session.get(), measurement.data.rows.get(), rows,
       &result);
  return result;
}

int run_eval(const Arguments& arguments) {
  bool help = false;
  const EvalConfig config = parse_eval(arguments, help);
  if (help) return exit_ok;

  const Device device = open_device(config.device);
  const std::string path =
      resolve_checkpoint(config.model, config.best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  const Model model = load_model(path, ANET_CHECKPOINT_LATEST);
  const TextSource text = open_text(config.data.text, facts_of_model(model, path));
  const LoadedAdapters adapters(model, config.adapters);
  const Measurement measurement = open_measurement(device, model, adapters, text, config.data);
  const auto rows = static_cast<uint64_t>(config.data.windows);
  if (config.data.per_example) {
    print_examples(measurement.session, measurement.data, rows,
                   config.data.rows.long_examples(config.data.path));
    return exit_ok;
  }
  print_result(config, measure(measurement, rows));
  return exit_ok;
}

} // namespace cli
