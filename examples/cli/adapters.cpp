#include "adapter_flags.h"

#include "commands.h"
#include "data.h"
#include "export_flags.h"
#include "text.h"
#include "text_source.h"

#include <cstdio>

namespace cli {
namespace {

constexpr const char* format_choices = "peft|mlx|gguf";
constexpr const char* type_choices = "fp32|fp16|bf16";

Option model_option(std::string& model) {
  return {"model", "PATH", "the model that is adapted (required)", store(model)};
}

// The model, or the usage error that there is none.
Model open_base(const std::string& path) {
  if (path.empty()) throw UsageError("--model is required");
  return load_model(path, ANET_CHECKPOINT_LATEST);
}

// True when the words asked for help, which is then printed.
bool parse(const CommandLine& line, const Arguments& arguments, Arguments& operands) {
  bool help = false;
  operands = parse_arguments(line, arguments, help);
  if (help) print_help(line);
  return help;
}

int run_list(const Arguments& arguments) {
  std::string model_path;
  const CommandLine line{
      "adapters list",
      "Says what adapters hold: rank, alpha, the adapted matrices and their size.",
      "PATH...",
      {{"Options", {model_option(model_path)}}}};
  Arguments paths;
  if (parse(line, arguments, paths)) return exit_ok;
  if (paths.empty()) throw UsageError("adapters list expects the paths of adapters");
  const Model model = open_base(model_path);
  int failures = 0;
  for (const std::string& path : paths) {
    try {
      std::printf("%s: %s\n", path.c_str(), adapter_text(load_adapter(model, path)).c_str());
    } catch (const Failure& failure) {
      std::printf("%s: cannot be used: %s\n", path.c_str(), failure.what());
      ++failures;
    }
  }
  return failures > 0 ? exit_failure : exit_ok;
}

int run_merge(const Arguments& arguments) {
  std::string model_path;
  std::vector<AdapterSpec> specs;
  ExportFlags flags;
  std::vector<Option> options = {model_option(model_path), adapter_option(specs)};
  for (Option& option : export_command_options(flags)) options.push_back(std::move(option));
  const CommandLine line{
      "adapters merge",
      "Adds adapters to a model's weights and writes it for other tools, in full "
      "precision\nalso when the model is quantized.",
      "",
      {{"Options", std::move(options)}}};
  Arguments operands;
  if (parse(line, arguments, operands)) return exit_ok;
  if (specs.empty()) throw UsageError("--adapter is required");
  if (flags.path.empty()) throw UsageError("--output is required");
  check_export(flags);
  const Model model = open_base(model_path);
  const LoadedAdapters adapters(model, specs);
  const auto& weighted = adapters.weighted();
  const Model merged =
      create<Model>(anet_model_merge, model.get(), weighted.data(), weighted.size());
  export_model(merged, flags, facts_of_model(model, model_path).companion);
  return exit_ok;
}

int run_convert(const Arguments& arguments) {
  std::string model_path;
  std::string output;
  std::string base_name;
  std::string format = "peft";
  std::string type = "fp32";
  const CommandLine line{
      "adapters convert",
      "Writes an adapter of PEFT, mlx-lm or a run of finetune for another tool.",
      "PATH",
      {{"Options",
        {model_option(model_path),
         {"output", "PATH", "a folder, for gguf a file (required)", store(output)},
         {"format", format_choices, "(peft)",
          [&](const std::string& text) {
            format = parse_choice("--format", format_choices, text);
          }},
         {"type", type_choices, "of the matrices (fp32)",
          [&](const std::string& text) { type = parse_choice("--type", type_choices, text); }},
         {"base_name", "NAME", "what the adapter's files call the model (--model)",
          store(base_name)}}}}};
  Arguments paths;
  if (parse(line, arguments, paths)) return exit_ok;
  if (paths.size() != 1) throw UsageError("adapters convert expects the path of one adapter");
  if (output.empty()) throw UsageError("--output is required");
  const Model model = open_base(model_path);
  const Adapter adapter = load_adapter(model, paths[0]);
  const std::string& name = base_name.empty() ? model_path : base_name;
  auto options = initialised<anet_adapter_save_options>();
  options.format = format == "mlx"    ? ANET_ADAPTER_MLX
                   : format == "gguf" ? ANET_ADAPTER_GGUF
                                      : ANET_ADAPTER_PEFT;
  options.type = type == "fp16"   ? ANET_EXPORT_FP16
                 : type == "bf16" ? ANET_EXPORT_BF16
                                  : ANET_EXPORT_FP32;
  options.base_name = name.c_str();
  call(anet_adapter_save, adapter.get(), output.c_str(), &options);
  std::printf("wrote %s (%s, %s): %s\n", output.c_str(), format.c_str(), type.c_str(),
              adapter_text(adapter).c_str());
  return exit_ok;
}

} // namespace

int run_adapters(const Arguments& arguments) {
  static constexpr const char* usage = "usage: ane-train adapters list|merge|convert [options]\n\n"
                                       "  list     what adapters hold\n"
                                       "  merge    adapters into a model's weights, for any tool\n"
                                       "  convert  between PEFT, mlx-lm and GGUF\n";
  if (arguments.empty()) throw UsageError("adapters expects list, merge or convert");
  const std::string& name = arguments.front();
  const Arguments rest(arguments.begin() + 1, arguments.end());
  if (name == "list") return run_list(rest);
  if (name == "merge") return run_merge(rest);
  if (name == "convert") return run_convert(rest);
  if (name == "--help" || name == "-h") {
    std::printf("%s", usage);
    return exit_ok;
  }
  throw UsageError("adapters expects list, merge or convert, got '" + name + "'");
}

} // namespace cli
