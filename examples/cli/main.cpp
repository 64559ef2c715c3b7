// ane-train: trains and runs language models from the command line. Uses the public header alone.
#include "commands.h"

#include "handles.h"
#include "text.h"

#include <cstdio>

namespace cli {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments&);
};

constexpr Command commands[] = {
    {"train", "train a new model, or one from files, on conversations, texts or token files",
     run_train},
    {"finetune", "teach a model from files by an adapter (LoRA), also on a quantized model",
     run_finetune},
    {"generate", "continue a prompt, or a conversation", run_generate},
    {"eval", "loss and perplexity of a model on a file", run_eval},
    {"quantize", "hold a model's matrices in 8 or 4 bits, with a report of what it costs",
     run_quantize},
    {"adapters", "adapters list, merge, convert: PEFT, mlx-lm, GGUF", run_adapters},
    {"export", "write a model for other tools: Hugging Face, GGUF, llama2.c", run_export},
    {"tokenize", "text to token ids and back", run_tokenize},
    {"data", "data check: what training would see in files", run_data},
    {"info", "what a model file or a checkpoint holds", run_info},
    {"devices", "what this machine can train on", run_devices},
    {"doctor", "whether the Neural Engine works here, and what it is like", run_doctor},
    {"bench-device", "how fast a device is, point by point", run_bench_device},
};

void print_usage(std::FILE* stream) {
  std::fprintf(stream, "usage: ane-train COMMAND [options]\n\n");
  for (const Command& command : commands) {
    std::fprintf(stream, "  %-12s %s\n", command.name, command.summary);
  }
  std::fprintf(stream, "\n`ane-train COMMAND --help` lists a command's options.\n");
}

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) {
    print_usage(stderr);
    return exit_usage;
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    print_usage(stdout);
    return exit_ok;
  }
  if (name == "--version") {
    std::printf("ane-train %s\n%s\n", anet_version_string(), anet_build_info());
    return exit_ok;
  }
  std::vector<std::string> names;
  for (const Command& command : commands) {
    if (name == command.name) return command.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(command.name);
  }
  const std::string guess = nearest(name, names);
  throw UsageError("unknown command '" + name + "'" +
                   (guess.empty() ? "" : ", did you mean '" + guess + "'?"));
}

} // namespace
} // namespace cli

int main(int argc, char** argv) {
  // Lines come out in order with those of the standard error, also into a file.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  try {
    return cli::dispatch({argv + 1, argv + argc});
  } catch (const cli::UsageError& error) {
    std::fprintf(stderr, "ane-train: %s\n", error.what());
    return cli::exit_usage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ane-train: %s\n", error.what());
    return cli::exit_failure;
  }
}
