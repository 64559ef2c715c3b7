#include "args.h"
#include "commands.h"
#include "data.h"
#include "json.h"
#include "quantize_flags.h"
#include "text.h"
#include "text_source.h"

#include <cstdio>
#include <filesystem>
#include <map>

namespace cli {
namespace {

// "fp32", or what the matrices are held in: "int8_channel, 168 matrices; fp32".
std::string held_as(const Model& model) {
  std::map<std::string, size_t> counts;
  size_t uncompressed = 0;
  for (size_t i = 0; i < anet_model_parameter_count(model.get()); ++i) {
    auto parameter = initialised<anet_parameter>();
    call(anet_model_get_parameter, model.get(), i, &parameter);
    if (parameter.compression == ANET_COMPRESSION_NONE) {
      ++uncompressed;
      continue;
    }
    ++counts[scheme_name(parameter.compression, parameter.block_size)];
  }
  std::string text;
  for (const auto& [name, count] : counts)
    text += std::to_string(count) + " matrices in " + name + ", ";
  return counts.empty() ? "fp32" : text + std::to_string(uncompressed) + " tensors in fp32";
}

void print_model(const Model& model) {
  const anet_model_config config = model_config(model);
  std::printf("parameters         %s (%llu)\n",
              format_count(anet_model_weight_count(model.get())).c_str(),
              static_cast<unsigned long long>(anet_model_weight_count(model.get())));
  std::printf("weights            %s: %s\n",
              format_bytes(anet_model_weight_bytes(model.get())).c_str(), held_as(model).c_str());
  std::printf("layers             %d\n", config.layer_count);
  std::printf("hidden size        %d\n", config.hidden_size);
  std::printf("intermediate size  %d\n", config.intermediate_size);
  std::printf("heads              %d (%d for keys and values, %d wide)\n", config.head_count,
              config.kv_head_count, config.head_dim);
  std::printf("vocabulary         %d%s\n", config.vocab_size,
              config.tie_embeddings ? ", head tied to the embedding" : "");
  std::printf("context            %d tokens\n", config.context_length);
  std::printf("rope               theta %s%s\n", format_number(config.rope_theta, 0).c_str(),
              config.rope_scaling_factor > 0
                  ? (", scaled by " + format_number(config.rope_scaling_factor, 1)).c_str()
                  : "");
  if (config.qkv_bias != 0) std::printf("q, k, v            with biases\n");
  if (config.qk_norm != 0) std::printf("q, k               normalised\n");
}

// What a model comes with besides its weights.
void print_text(const Model& model, const std::string& path) {
  auto info = initialised<anet_model_info>();
  call(anet_model_get_info, model.get(), &info);
  std::printf("format             %s\n", info.format);
  const TextFacts facts = facts_of_model(model, path);
  const TextSource text = open_text({}, facts);
  if (text.tokenizer) {
    std::printf("tokenizer          %s (%d ids)\n", text.tokenizer_path.c_str(),
                anet_tokenizer_vocab_size(text.tokenizer.get()));
  } else {
    std::printf("tokenizer          none\n");
  }
  const char* own = text.chat ? "the model's" : "none";
  if (!text.chat_problem.empty()) own = "the model's, which cannot be used: ";
  std::printf("chat template      %s%s\n", text.chat_name.empty() ? own : text.chat_name.c_str(),
              text.chat_problem.c_str());
  if (!text.stop_ids.empty())
    std::printf("ends a text        %s\n", join_ids(text.stop_ids).c_str());
  for (uint32_t i = 0; i < info.warning_count; ++i)
    std::printf("warning            %s\n", printable(info.warnings[i]).c_str());
}

// A tokenizer that is damaged or gone does not hide the rest.
void print_text_or_reason(const Model& model, const std::string& path) {
  try {
    print_text(model, path);
  } catch (const Failure& failure) {
    std::printf("tokenizer          cannot be used: %s\n", failure.what());
  }
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
    std::printf("%-52s %-16s %s\n", parameter.name, shape.c_str(),
                scheme_name(parameter.compression, parameter.block_size).c_str());
  }
}

// Adapters are told apart from models before anything is loaded: alone they say little.
bool print_adapter(const std::string& path) {
  const std::filesystem::path folder(path);
  const bool is_checkpoint = std::filesystem::exists(folder / "state.json");
  const auto properties =
      is_checkpoint ? checkpoint_properties(path) : std::map<std::string, std::string>();
  const auto adapter = properties.find("adapter");
  const bool of_run = adapter != properties.end() && !adapter->second.empty();
  if (!of_run && !std::filesystem::exists(folder / "adapter_config.json")) return false;
  std::printf("%s\n\nan adapter of %s\nadapters list --model MODEL %s says what it holds\n",
              path.c_str(), of_run ? properties.at("model").c_str() : "another tool", path.c_str());
  return true;
}

void print_state(const std::string& path) {
  const Json state = json_parse(call_text(anet_checkpoint_inspect, path.c_str()), path);
  std::printf("\nstate\n%s\n", json_lines(state.get()).c_str());
}

} // namespace

int run_info(const Arguments& arguments) {
  bool tensors = false;
  bool best = false;
  const CommandLine line{
      "info",
      "Describes a model folder, a GGUF or llama2.c file, a checkpoint, or the newest one of a "
      "folder of them.",
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
  const bool has_state = std::filesystem::exists(std::filesystem::path(path) / "state.json");
  if (print_adapter(path)) {
    if (has_state) print_state(path);
    return exit_ok;
  }
  const Model model = load_model(path, ANET_CHECKPOINT_LATEST, false);
  std::printf("%s\n\n", path.c_str());
  print_text_or_reason(model, path);
  print_model(model);
  if (tensors) print_tensors(model);
  if (has_state) print_state(path);
  return exit_ok;
}

} // namespace cli
