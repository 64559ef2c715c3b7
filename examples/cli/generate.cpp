#include "args.h"
#include "commands.h"
#include "config.h"
#include "data.h"
#include "device_flags.h"
#include "text.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <unistd.h>

namespace cli {
namespace {

std::atomic<anet_generator*> interruptible{nullptr};

struct GenerateConfig {
  std::string model;
  std::string prompt = "\n";
  DeviceFlags device;
  int64_t max_tokens = 200;
  int64_t top_k = 0;
  int64_t seed = 0;
  double temperature = 0.8;
  double top_p = 0.95;
  anet_precision precision = ANET_PRECISION_DEFAULT;
  bool best = false;
  bool statistics = false;
};

CommandLine generate_command_line(GenerateConfig& config) {
  return {"generate",
          "Continues a prompt, streaming the text. The model must have been trained on text.",
          "",
          {{"Options",
            {{"model", "PATH", "checkpoint, folder of checkpoints or weights file (required)",
              store(config.model)},
             {"best", "", "of a folder, the checkpoint with the lowest validation loss",
              [&config](const std::string&) { config.best = true; }},
             {"prompt", "TEXT", "(a line break)", store(config.prompt)},
             {"max_tokens", "N", "0: until the context is full (200)",
              store_integer("max_tokens", config.max_tokens)},
             {"temperature", "X", "0: the likeliest token (0.8)",
              store_number("temperature", config.temperature)},
             {"top_p", "X", "0: off (0.95)", store_number("top_p", config.top_p)},
             {"top_k", "N", "0: off (0)", store_integer("top_k", config.top_k)},
             {"seed", "N", "the same seed writes the same text (0)",
              store_integer("seed", config.seed)},
             {"precision", "NAME", "default, f32 or f16 (f32 where the device has it)",
              [&config](const std::string& value) { config.precision = parse_precision(value); }},
             {"statistics", "", "tokens and speed at the end, to the standard error",
              [&config](const std::string&) { config.statistics = true; }}}},
           {"Device", device_options(config.device)}}};
}

int32_t stream_text(int32_t id, const char* text, size_t length, void* user_data) {
  (void)id;
  (void)user_data;
  static const bool terminal = isatty(STDOUT_FILENO) != 0;
  const std::string_view piece(text, length);
  const std::string shown = terminal ? printable(piece) : std::string(piece);
  const size_t written = std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
  return written == shown.size() ? 0 : 1;
}

void on_interrupt(int signal) {
  anet_generator* generator = interruptible.exchange(nullptr);
  if (generator == nullptr) _exit(128 + signal);
  anet_generator_cancel(generator);
}

void print_statistics(const anet_generation_result& result) {
  std::fprintf(stderr, "prompt %llu tokens in %.3f s, %llu written at %.0f tokens/s\n",
               static_cast<unsigned long long>(result.prompt_tokens), result.prefill_seconds,
               static_cast<unsigned long long>(result.generated_tokens),
               static_cast<double>(result.generated_tokens) /
                   std::max(result.decode_seconds, 1e-9));
}

} // namespace

int run_generate(const Arguments& arguments) {
  GenerateConfig config;
  const CommandLine line = generate_command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (config.model.empty()) throw UsageError("--model is required");

  const Device device = open_device(config.device);
  const Tokenizer tokenizer = open_tokenizer();
  const Model model =
      load_model(config.model, config.best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  if (model_config(model).vocab_size < anet_tokenizer_vocab_size(tokenizer.get())) {
    throw Failure("the model's vocabulary is smaller than the byte tokenizer's");
  }
  auto options = initialised<anet_generator_options>();
  options.precision = config.precision;
  const Generator generator = create<Generator>(anet_generator_create, device.get(), model.get(),
                                                tokenizer.get(), &options);

  std::vector<int32_t> prompt(config.prompt.size());
  size_t prompt_count = 0;
  call(anet_tokenizer_encode, tokenizer.get(), config.prompt.data(), config.prompt.size(), 0u,
       prompt.data(), prompt.size(), &prompt_count);

  const int32_t stop_id = anet_tokenizer_eos_id(tokenizer.get());
  auto sampling = initialised<anet_sampling_options>();
  sampling.max_tokens = static_cast<int32_t>(config.max_tokens);
  sampling.temperature = config.temperature;
  sampling.top_p = config.temperature > 0 ? config.top_p : 0;
  sampling.top_k = static_cast<int32_t>(config.top_k);
  sampling.seed = static_cast<uint64_t>(config.seed);
  sampling.stop_ids = &stop_id;
  sampling.stop_count = 1;

  interruptible = generator.get();
  std::signal(SIGINT, on_interrupt);
  stream_text(0, config.prompt.data(), config.prompt.size(), nullptr);
  auto result = initialised<anet_generation_result>();
  try {
    call(anet_generator_generate, generator.get(), prompt.data(), prompt_count, &sampling,
         stream_text, nullptr, nullptr, size_t{0}, &result);
  } catch (const Failure& failure) {
    interruptible = nullptr;
    std::printf("\n");
    if (failure.status == ANET_E_CANCELLED) return exit_interrupted;
    throw;
  }
  interruptible = nullptr;
  std::printf("\n");
  if (config.statistics) print_statistics(result);
  return exit_ok;
}

} // namespace cli
