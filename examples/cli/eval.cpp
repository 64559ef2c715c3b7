#include "args.h"
#include "commands.h"
#include "config.h"
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
  DeviceFlags device;
  int64_t windows = 0;
  int64_t batch_size = 8;
  int64_t sequence_length = 0;
  anet_precision precision = ANET_PRECISION_DEFAULT;
  bool best = false;
  bool json = false;
};

CommandLine eval_command_line(EvalConfig& config) {
  return {"eval",
          "Measures loss (nats a token) and perplexity on text or on a .bin file of token ids.",
          "",
          {{"Options",
            {{"model", "PATH", "checkpoint, folder of checkpoints or weights file (required)",
              store(config.model)},
             {"best", "", "of a folder, the checkpoint with the lowest validation loss",
              [&config](const std::string&) { config.best = true; }},
             {"data", "FILE", "(required)", store(config.data)},
             {"windows", "N", "(0: the whole file)", store_integer("windows", config.windows)},
             {"sequence_length", "N", "tokens in a window (the model's context, at most 512)",
              store_integer("sequence_length", config.sequence_length)},
             {"batch_size", "N", "(8)", store_integer("batch_size", config.batch_size)},
             {"precision", "NAME", "default, f32 or f16 (f32 where the device has it)",
              [&config](const std::string& value) { config.precision = parse_precision(value); }},
             {"json", "", "print one JSON object",
              [&config](const std::string&) { config.json = true; }}}},
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

} // namespace

int run_eval(const Arguments& arguments) {
  EvalConfig config;
  const CommandLine line = eval_command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (config.model.empty()) throw UsageError("--model is required");
  if (config.data.empty()) throw UsageError("--data is required");

  const Device device = open_device(config.device);
  const Tokenizer tokenizer = open_tokenizer();
  const Model model =
      load_model(config.model, config.best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  const anet_model_config shape = model_config(model);

  auto options = initialised<anet_session_options>();
  options.batch_size = static_cast<int32_t>(std::max<int64_t>(1, config.batch_size));
  options.precision = config.precision;
  options.sequence_length = config.sequence_length > 0
                                ? static_cast<int32_t>(config.sequence_length)
                                : std::min(shape.context_length, 512);
  const Dataset data =
      open_dataset(config.data, tokenizer, options.sequence_length, shape.vocab_size, 0, true);
  const Session session = create<Session>(anet_session_create, device.get(), model.get(), &options);
  auto result = initialised<anet_eval_result>();
  call(anet_session_evaluate, session.get(), data.get(), static_cast<uint64_t>(config.windows),
       &result);
  print_result(config, result);
  return exit_ok;
}

} // namespace cli
