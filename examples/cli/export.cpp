#include "args.h"
#include "commands.h"
#include "data.h"
#include "export_flags.h"
#include "text_source.h"

namespace cli {

int run_export(const Arguments& arguments) {
  std::string model_path;
  bool best = false;
  ExportFlags flags;
  std::vector<Option> options = {
      {"model", "PATH", "model folder, GGUF, llama2.c, checkpoint or folder of them (required)",
       store(model_path)},
      {"best", "", "of a folder, the checkpoint with the lowest validation loss",
       store_switch(best)}};
  for (Option& option : export_command_options(flags)) options.push_back(std::move(option));
  const CommandLine line{"export",
                         "Writes a model for other tools. The output has what it had, or the whole "
                         "export.",
                         "",
                         {{"Options", std::move(options)}}};
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (model_path.empty()) throw UsageError("--model is required");
  if (flags.path.empty()) throw UsageError("--output is required");
  check_export(flags);
  const std::string path =
      resolve_checkpoint(model_path, best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  const Model model = load_model(path, ANET_CHECKPOINT_LATEST);
  export_model(model, flags, facts_of_model(model, path).companion);
  return exit_ok;
}

} // namespace cli
