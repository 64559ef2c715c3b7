#include "writer.h"

#include "data.h"
#include "text.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <unistd.h>

namespace cli {
namespace {

std::atomic<anet_generator*> interruptible{nullptr};

void on_interrupt(int signal) {
  anet_generator* generator = interruptible.exchange(nullptr);
  if (generator == nullptr) _exit(128 + signal);
  anet_generator_cancel(generator);
}

} // namespace

Writer open_writer(const GenerateConfig& config) {
  Writer writer;
  writer.device = open_device(config.device);
  const std::string path =
      resolve_checkpoint(config.model, config.best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  writer.model = load_model(path, ANET_CHECKPOINT_LATEST);
  writer.text = open_text(config.text, facts_of_model(writer.model, path));
  auto options = initialised<anet_generator_options>();
  options.precision = config.precision;
  // The cache is allocated whole: 40960 tokens of a model with 0.6 billion weights take 9 GB.
  constexpr int32_t default_context = 4096;
  options.context_length =
      config.context_length > 0
          ? static_cast<int32_t>(config.context_length)
          : std::min(model_config(writer.model).context_length, default_context);
  writer.generator =
      create<Generator>(anet_generator_create, writer.device.get(), writer.model.get(),
                        writer.text.require_tokenizer().get(), &options);
  writer.adapters = LoadedAdapters(writer.model, config.adapters);
  const auto& adapters = writer.adapters.weighted();
  if (!adapters.empty())
    call(anet_generator_set_adapters, writer.generator.get(), adapters.data(), adapters.size());
  return writer;
}

anet_sampling_options sampling_options(const GenerateConfig& config,
                                       const std::vector<int32_t>& stop_ids) {
  auto sampling = initialised<anet_sampling_options>();
  sampling.max_tokens = static_cast<int32_t>(config.max_tokens);
  sampling.temperature = config.temperature;
  sampling.top_p = config.temperature > 0 ? config.top_p : 0;
  sampling.min_p = config.temperature > 0 ? config.min_p : 0;
  sampling.top_k = static_cast<int32_t>(config.top_k);
  sampling.repetition_penalty = config.repetition_penalty;
  sampling.seed = config.seed;
  sampling.stop_ids = stop_ids.empty() ? nullptr : stop_ids.data();
  sampling.stop_count = static_cast<uint32_t>(stop_ids.size());
  return sampling;
}

std::vector<int32_t> encode_given(const Writer& writer, const GenerateConfig& config,
                                  const std::string& prompt) {
  const Tokenizer& tokenizer = writer.text.require_tokenizer();
  if (!config.chat) return encode_prompt(tokenizer, prompt, config.parse_special);
  if (!config.parse_special && spells_special(tokenizer, prompt + config.system))
    throw Failure("the message spells a special token, which would forge the conversation's "
                  "structure; --parse-special sends it all the same");
  return encode_chat(writer.text, single_turn(config.system, prompt), config.template_variables);
}

bool write_out(std::string_view text) {
  static const bool terminal = isatty(STDOUT_FILENO) != 0;
  const std::string shown = terminal ? printable(text) : std::string(text);
  const size_t written = std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
  return written == shown.size();
}

InterruptGuard::InterruptGuard(anet_generator* generator) {
  interruptible = generator;
  std::signal(SIGINT, on_interrupt);
}

InterruptGuard::~InterruptGuard() { interruptible = nullptr; }

const char* finish_name(anet_finish_reason reason) {
  switch (reason) {
  case ANET_FINISH_LENGTH:
    return "length";
  case ANET_FINISH_STOP:
    return "stop";
  case ANET_FINISH_CONTEXT:
    return "context";
  default:
    return "callback";
  }
}

} // namespace cli
