#include "export_flags.h"

#include "loading.h"
#include "text.h"

#include <array>
#include <cstdio>
#include <filesystem>

namespace cli {
namespace {

constexpr const char* format_choices = "hugging-face|gguf|llama2c";
constexpr const char* type_choices = "fp32|fp16|bf16|q8_0";
constexpr std::array<const char*, 3> format_names = {"hugging-face", "gguf", "llama2c"};
constexpr std::array<const char*, 4> type_names = {"fp32", "fp16", "bf16", "q8_0"};

template <size_t count>
int32_t index_of(const std::array<const char*, count>& names, const std::string& name) {
  for (size_t i = 0; i < count; ++i)
    if (name == names[i]) return static_cast<int32_t>(i);
  return 0;
}

std::vector<Option> options_with(ExportFlags& flags, const std::string& prefix,
                                 const std::string& path_key) {
  const auto choice = [](const std::string& key, const char* choices, std::string& target) {
    return [key, choices, &target](const std::string& text) {
      target = parse_choice(flag_of(key), choices, text);
    };
  };
  const std::string format = prefix + "format";
  const std::string type = prefix + "type";
  return {{path_key, "PATH", "a folder for hugging-face, else a file", store(flags.path)},
          {format, format_choices, "(hugging-face)", choice(format, format_choices, flags.format)},
          {type, type_choices, "of matrices; q8_0: gguf alone (fp32)",
           choice(type, type_choices, flags.type)},
          {prefix + "companion", "DIR",
           "whose tokenizer and settings go along (the model's folder)", store(flags.companion)},
          {prefix + "max_shard", "SIZE", "of one safetensors file (5G)",
           [&flags, prefix](const std::string& text) {
             flags.max_shard = parse_bytes(flag_of(prefix + "max_shard"), text);
           }}};
}

// Whose tokenizer goes along. A llama2.c file has no room for one; the library says so when it is
// asked for.
const std::string& companion_of(const ExportFlags& flags, const std::string& own) {
  return flags.companion.empty() && flags.format != "llama2c" ? own : flags.companion;
}

// `companion` must outlive them.
anet_export_options library_options(const ExportFlags& flags, const std::string& companion) {
  auto options = initialised<anet_export_options>();
  options.format = index_of(format_names, flags.format);
  options.type = index_of(type_names, flags.type);
  options.companion = companion.empty() ? nullptr : companion.c_str();
  options.max_shard_bytes = flags.max_shard;
  return options;
}

} // namespace

std::vector<Option> export_options(ExportFlags& flags) {
  return options_with(flags, "export_", "export");
}

std::vector<Option> export_command_options(ExportFlags& flags) {
  return options_with(flags, "", "output");
}

void check_export(const ExportFlags& flags) {
  if (flags.format == "llama2c" && flags.type != "fp32")
    throw UsageError("llama2c files are fp32, got '" + flags.type + "'");
  if (flags.format != "gguf" && flags.type == "q8_0")
    throw UsageError("q8_0 is a type of gguf files alone, got the format '" + flags.format + "'");
}

void check_exportable(const Model& model, const ExportFlags& flags, const std::string& companion) {
  // The export itself, which ends with its first tensor and leaves the path as it was.
  anet_export_options options = library_options(flags, companion_of(flags, companion));
  options.progress = [](const anet_progress*, void*) -> int32_t { return 1; };
  try {
    call(anet_model_export, model.get(), flags.path.c_str(), &options);
  } catch (const Failure& failure) {
    if (failure.status != ANET_E_CANCELLED)
      throw Failure(failure.status, std::string("--export: ") + failure.what());
  }
}

void export_model(const Model& model, const ExportFlags& flags, const std::string& companion) {
  const std::string& source = companion_of(flags, companion);
  {
    Loading loading("writing " + flags.path, Loading::Unit::weights);
    anet_export_options options = library_options(flags, source);
    options.progress = Loading::on_progress;
    options.user_data = &loading;
    call(anet_model_export, model.get(), flags.path.c_str(), &options);
  }
  const bool tokenizer =
      !source.empty() && std::filesystem::exists(std::filesystem::path(source) / "tokenizer.json");
  std::printf("exported %s (%s, %s)%s%s\n", flags.path.c_str(), flags.format.c_str(),
              flags.type.c_str(), tokenizer ? " with the tokenizer of " : "",
              tokenizer ? source.c_str() : "");
}

} // namespace cli
