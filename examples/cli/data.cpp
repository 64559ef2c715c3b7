#include "data.h"

#include "loading.h"
#include "text.h"

#include <cstdio>
#include <filesystem>

namespace cli {
namespace fs = std::filesystem;

bool is_token_file(const std::string& path) {
  const std::string suffix = fs::path(path).extension().string();
  return suffix == ".bin" || suffix == ".tokens";
}

bool has_checkpoints(const std::string& path) {
  if (!fs::is_directory(path) || fs::exists(fs::path(path) / "state.json")) return false;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().filename().string().rfind("step-", 0) == 0) return true;
  return false;
}

std::string resolve_checkpoint(const std::string& path, anet_checkpoint_choice choice) {
  if (!has_checkpoints(path)) return path;
  return call_text(anet_checkpoint_find, path.c_str(), choice);
}

// Throws UsageError for unknown names and keys.
static anet_model_config read_model_config(const std::string& model, int32_t vocab_size) {
  auto config = initialised<anet_model_config>();
  try {
    if (!model.empty() && model.front() == '{') {
      config.vocab_size = vocab_size;
      call(anet_model_config_from_json, model.c_str(), &config);
    } else {
      call(anet_model_config_get, model.c_str(), &config);
      if (vocab_size > 0) config.vocab_size = vocab_size;
    }
  } catch (const Failure& failure) {
    throw UsageError(failure.what());
  }
  return config;
}

// Built-in names win over files of the same name, which can be written ./name.
static bool is_path(const std::string& model) {
  if (!model.empty() && model.front() == '{') return false;
  for (size_t i = 0; i < anet_model_config_count(); ++i) {
    if (model == anet_model_config_name(i)) return false;
  }
  return model.find('/') != std::string::npos || fs::exists(model);
}

std::optional<anet_model_config> new_model_config(const std::string& model, int32_t vocab_size) {
  if (is_path(model)) return std::nullopt;
  return read_model_config(model, vocab_size);
}

static void print_warnings(const Model& model) {
  constexpr uint32_t shown = 5;
  auto info = initialised<anet_model_info>();
  call(anet_model_get_info, model.get(), &info);
  for (uint32_t i = 0; i < info.warning_count && i < shown; ++i)
    std::fprintf(stderr, "warning: %s\n", printable(info.warnings[i]).c_str());
  if (info.warning_count > shown)
    std::fprintf(stderr, "warning: and %u more; ane-train info lists them\n",
                 info.warning_count - shown);
}

Model load_model(const std::string& path, anet_checkpoint_choice choice, bool warn,
                 const anet_quantize_options* quantize) {
  const std::string found = resolve_checkpoint(path, choice);
  Model model;
  {
    Loading loading((quantize == nullptr ? "loading " : "loading and quantizing ") + found,
                    Loading::Unit::weights);
    auto options = initialised<anet_model_load_options>();
    options.progress = Loading::on_progress;
    options.user_data = &loading;
    options.quantize = quantize;
    model = create<Model>(anet_model_load, found.c_str(), &options);
  }
  if (warn) print_warnings(model);
  return model;
}

anet_model_config model_config(const Model& model) {
  auto config = initialised<anet_model_config>();
  call(anet_model_get_config, model.get(), &config);
  return config;
}

} // namespace cli
