#include "args.h"
#include "commands.h"
#include "config.h"
#include "text.h"
#include "writer.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>

namespace cli {
namespace {

CommandLine generate_command_line(GenerateConfig& config) {
  std::vector<Option> text = text_options(config.text);
  text.push_back({"system", "TEXT", "--chat: the system's message", store(config.system)});
  text.push_back({"template_variables", "JSON",
                  "for the chat template, {\"enable_thinking\":false}",
                  store(config.template_variables)});
  text.push_back({"parse_special", "", "special tokens spelled in prompts become their ids",
                  store_switch(config.parse_special)});
  return {
      "generate",
      "Continues a prompt, streaming the text. With --chat and no prompt it answers the lines of "
      "the\nstandard input, one turn a line; /reset forgets, /quit ends.",
      "",
      {{"Options",
        {{"model", "PATH", "model folder, GGUF, llama2.c, checkpoint or folder of them (required)",
          store(config.model)},
         {"best", "", "of a folder, the checkpoint with the lowest validation loss",
          store_switch(config.best)},
         adapter_option(config.adapters),
         {"prompt", "TEXT", "(a line break); -: the standard input",
          [&config](const std::string& value) {
            config.prompt = value;
            config.has_prompt = true;
          }},
         {"chat", "", "the prompt is a user's message", store_switch(config.chat)},
         {"prompts", "FILE",
          "a prompt a line, or JSONL with \"prompt\" or \"messages\"; writes JSONL",
          store(config.prompts)},
         {"batch_size", "N", "prompts at once (8)", store_integer("batch_size", config.batch_size)},
         {"context_length", "N", "tokens that are remembered (the model's, at most 4096)",
          store_integer("context_length", config.context_length)},
         {"precision", "NAME", "default, f32, f16 or bf16 (f32 where the device has it)",
          [&config](const std::string& value) { config.precision = parse_precision(value); }},
         {"statistics", "", "tokens and speed at the end, to the standard error",
          store_switch(config.statistics)}}},
       {"Sampling",
        {{"max_tokens", "N", "0: until the context is full (200)",
          store_integer("max_tokens", config.max_tokens)},
         {"temperature", "X", "0: the likeliest token (0.8)",
          store_number("temperature", config.temperature)},
         {"top_p", "X", "0: off (0.95)", store_number("top_p", config.top_p)},
         {"top_k", "N", "0: off (0)", store_integer("top_k", config.top_k)},
         {"min_p", "X", "least probability relative to the likeliest; 0: off (0)",
          store_number("min_p", config.min_p)},
         {"repetition_penalty", "X", "at least 1; 0: off (0)",
          store_number("repetition_penalty", config.repetition_penalty)},
         {"seed", "N", "the same seed writes the same text (0)",
          store_unsigned("seed", config.seed)}}},
       {"Text", std::move(text)},
       {"Device", device_options(config.device)}}};
}

int32_t stream_text(int32_t, const char* text, size_t length, void*) {
  return write_out({text, length}) ? 0 : 1;
}

void print_statistics(const anet_generation_result& result) {
  std::fprintf(stderr, "prompt %llu tokens in %.3f s, %llu written at %.0f tokens/s (%s)\n",
               static_cast<unsigned long long>(result.prompt_tokens), result.prefill_seconds,
               static_cast<unsigned long long>(result.generated_tokens),
               static_cast<double>(result.generated_tokens) / std::max(result.decode_seconds, 1e-9),
               finish_name(result.finish_reason));
}

int run_prompt(const GenerateConfig& config) {
  const Writer writer = open_writer(config);
  const std::vector<int32_t> prompt = encode_given(writer, config, config.prompt);
  const anet_sampling_options sampling = sampling_options(config, writer.text.stop_ids);
  const InterruptGuard guard(writer.generator.get());
  if (!config.chat) write_out(config.prompt);
  auto result = initialised<anet_generation_result>();
  try {
    call(anet_generator_generate, writer.generator.get(), prompt.data(), prompt.size(), &sampling,
         stream_text, nullptr, nullptr, size_t{0}, &result);
  } catch (const Failure& failure) {
    std::printf("\n");
    if (failure.status == ANET_E_CANCELLED) return exit_interrupted;
    throw;
  }
  std::printf("\n");
  if (config.statistics) print_statistics(result);
  return exit_ok;
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
  if (config.has_prompt && !config.prompts.empty())
    throw UsageError("--prompt and --prompts exclude each other");
  if (!config.system.empty() && !config.chat) throw UsageError("--system needs --chat");
  if (!config.prompts.empty()) return run_prompts(config);
  if (config.chat && !config.has_prompt) return run_chat(config);
  if (!config.has_prompt) config.prompt = "\n";
  if (config.prompt == "-") {
    config.prompt.assign(std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>());
    // A message does not end with the line break of the command that wrote it.
    if (config.chat && !config.prompt.empty() && config.prompt.back() == '\n')
      config.prompt.pop_back();
  }
  return run_prompt(config);
}

} // namespace cli
