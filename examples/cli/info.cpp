#include "args.h"
#include "commands.h"
#include "data.h"
#include "json.h"
#include "text.h"

#include <cstdio>
#include <filesystem>

namespace cli {
namespace {

void print_model(const Model& model) {
  const anet_model_config config = model_config(model);
  std::printf("parameters         %s (%llu)\n",
              format_count(anet_model_weight_count(model.get())).c_str(),
              static_cast<unsigned long long>(anet_model_weight_count(model.get())));
  std::printf("layers             %d\n", config.layer_count);
  std::printf("hidden size        %d\n", config.hidden_size);
  std::printf("intermediate size  %d\n", config.intermediate_size);
  std::printf("heads              %d (%d for keys and values, %d wide)\n", config.head_count,
              config.kv_head_count, config.head_dim);
  std::printf("vocabulary         %d%s\n", config.vocab_size,
              config.tie_embeddings ? ", head tied to the embedding" : "");
  std::printf("context            %d tokens\n", config.context_length);
}

void print_tensors(const Model& model) {
  std::printf("\n");
  for (size_t i = 0; i < anet_model_parameter_count(model.get()); ++i) {
    auto parameter = initialised<anet_parameter>();
    call(anet_model_get_parameter, model.get(), i, &parameter);
    std::string shape;
    for (uint32_t axis = 0; axis < parameter.rank; ++axis) {
      shape += (axis == 0 ? "" : " x ") + std::to_string(parameter.shape[axis]);
    }
    std::printf("%-52s %s\n", parameter.name, shape.c_str());
  }
}

void print_state(const std::string& path) {
  size_t length = 0;
  // A first call with no room only asks for the length.
  anet_error* error = nullptr;
  const anet_status status = anet_checkpoint_inspect(path.c_str(), nullptr, 0, &length, &error);
  if (status != ANET_OK && status != ANET_E_OUT_OF_RANGE) throw_error(status, error);
  anet_error_release(error);
  std::string text(length + 1, '\0');
  call(anet_checkpoint_inspect, path.c_str(), text.data(), text.size(), &length);
  text.resize(length);
  const Json state = json_parse(text, path);
  std::printf("\nstate\n%s\n", json_lines(state.get()).c_str());
}

} // namespace

int run_info(const Arguments& arguments) {
  bool tensors = false;
  bool best = false;
  const CommandLine line{
      "info",
      "Describes a checkpoint, the newest one below a folder of checkpoints, or a weights file.",
      "PATH",
      {{"Options",
        {{"tensors", "", "list every weight tensor",
          [&tensors](const std::string&) { tensors = true; }},
         {"best", "", "the checkpoint with the lowest validation loss, not the newest",
          [&best](const std::string&) { best = true; }}}}}};
  bool help = false;
  const Arguments operands = parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (operands.size() != 1) throw UsageError("info expects one path");
  const std::string path =
      resolve_checkpoint(operands[0], best ? ANET_CHECKPOINT_BEST : ANET_CHECKPOINT_LATEST);
  const Model model = create<Model>(anet_model_load, path.c_str());
  std::printf("%s\n\n", path.c_str());
  print_model(model);
  if (tensors) print_tensors(model);
  if (std::filesystem::is_directory(path)) print_state(path);
  return exit_ok;
}

} // namespace cli
