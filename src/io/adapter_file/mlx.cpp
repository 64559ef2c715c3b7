// Adapters of mlx-lm: matrices are transposed, and the scale stands for alpha / rank.
#include "base/status.h"
#include "io/adapter_file/adapter_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace anet::io {
namespace {

constexpr int64_t max_rank = 4096;

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> suffixes = {{
    {".lora_A.weight", ".lora_a"},
    {".lora_B.weight", ".lora_b"},
    {".lora_embedding_A", ".lora_a"},
    {".lora_embedding_B", ".lora_b"},
    {".lora_magnitude_vector", ".m"},
}};

AdapterTensor stored_name(const model::Parameter& parameter) {
  for (const auto& [ours, theirs] : suffixes)
    if (parameter.name.ends_with(ours))
      return {concat(parameter.name.substr(0, parameter.name.size() - ours.size()), theirs), true};
  fail(Status::internal, "mlx-lm has no name for '", parameter.name, "'");
}

// alpha with alpha / rank == scale, a whole number where one has that quotient.
double alpha_of(double scale, int32_t rank) {
  const double alpha = scale * rank;
  const double whole = std::round(alpha);
  return whole / rank == scale ? whole : alpha;
}

struct MlxConfig {
  model::LoraOptions options;
  int64_t layers = -1; // the last so many; 0 and below: all
  std::optional<std::vector<std::string>> keys;
};

MlxConfig read_config(const JsonView& view) {
  MlxConfig config;
  const std::string type = view.string_or("fine_tune_type", "lora");
  if (type != "lora" && type != "dora")
    fail(Status::unsupported, "expected 'fine_tune_type' lora or dora in '", view.path(),
         "', seen '", type, "'");
  config.options.dora = type == "dora";
  config.layers = view.integer_or("num_layers", -1);
  const JsonView lora = view.at("lora_parameters");
  config.options.rank = static_cast<int32_t>(lora.at("rank").integer(1, max_rank));
  const JsonView scale = lora.at("scale");
  if (!(scale.number() > 0)) scale.fail_here("expected a scale above 0, seen ", scale.number());
  config.options.alpha = alpha_of(scale.number(), config.options.rank);
  config.options.dropout = lora.number_or("dropout", 0);
  if (const auto keys = lora.find("keys")) config.keys = keys->strings();
  return config;
}

// Without keys each version of mlx-lm has its own default, so the file says what is adapted.
bool is_adapted(const MlxConfig& config, const model::Parameter& parameter, int32_t layer_count,
                const SafetensorsReader& weights) {
  const std::string module = model::module_name(parameter);
  if (!config.keys) return weights.contains(module + ".lora_a");
  const auto has = [&](std::string_view key) {
    return std::find(config.keys->begin(), config.keys->end(), key) != config.keys->end();
  };
  if (has(module)) return true;
  if (parameter.layer < 0) return false;
  const bool in_layers = config.layers <= 0 || parameter.layer >= layer_count - config.layers;
  return in_layers && has(module.substr(concat("model.layers.", parameter.layer, ".").size()));
}

// mlx-lm multiplies by the adapted embedding at the head too.
void check_untied(const model::Config& config, bool adapts_embedding) {
  if (config.tie_embeddings && adapts_embedding)
    fail(Status::unsupported, "cannot exchange an adapter of tied embeddings with mlx-lm, which "
                              "adapts the head with them");
}

// What "num_layers", "keys" and one rank and scale for all can say.
void check_expressible(const model::Adapter& adapter, const AdapterLayout& layout) {
  const auto refuse = [](const auto&... parts) {
    fail(Status::unsupported, "an mlx-lm adapter cannot hold ", parts...);
  };
  const model::LoraModule& first = adapter.modules().front();
  for (const model::LoraModule& module : adapter.modules()) {
    if (module.target.rank != first.target.rank)
      refuse("several ranks, ", first.target.rank, " and ", module.target.rank);
    if (module.scale != first.scale) refuse("several scales, ", first.scale, " and ", module.scale);
  }
  if (!layout.uniform) refuse("different modules in different layers");
  const auto last = static_cast<size_t>(adapter.config().layer_count);
  for (size_t i = 0; i < layout.layers.size(); ++i)
    if (static_cast<size_t>(layout.layers[i]) != last - layout.layers.size() + i)
      refuse("other layers than the last ones");
}

} // namespace

AdapterPointer read_mlx(const AdapterFiles& files, const ModelPointer& base) {
  const MlxConfig config = read_config(JsonView(files.config, Status::invalid_data, files.source));
  std::vector<model::LoraTarget> targets;
  for (const model::Parameter& parameter : base->parameters().all()) {
    if (parameter.shape.size() != 2 ||
        !is_adapted(config, parameter, base->config().layer_count, files.weights))
      continue;
    check_untied(base->config(), parameter.layer < 0);
    targets.push_back({model::module_name(parameter), config.options.rank, config.options.alpha});
  }
  if (targets.empty())
    fail(Status::invalid_data, files.path, ": expected modules of this model, seen none of them");
  auto adapter = std::make_shared<model::Adapter>(base, config.options, std::move(targets));
  read_adapter_tensors(files, stored_name, *adapter, [](const SafetensorsEntry&) { return false; });
  return adapter;
}

void write_mlx(const model::Adapter& adapter, const AdapterSaveOptions& options,
               const AtomicDirectory& directory, FileSystem& files) {
  const AdapterLayout layout = layout_of(adapter);
  check_untied(adapter.config(), !layout.outside.empty());
  check_expressible(adapter, layout);
  const model::LoraModule& first = adapter.modules().front();
  Json keys = Json::array();
  for (const std::string& key : layout.in_layer) keys.push_back(key);
  for (const std::string& key : layout.outside) keys.push_back(key);
  Json lora = Json::object();
  lora.set("rank", first.target.rank).set("scale", first.scale);
  lora.set("dropout", adapter.options().dropout).set("keys", std::move(keys));
  Json config = Json::object();
  if (!options.base_name.empty()) config.set("model", options.base_name);
  config.set("fine_tune_type", adapter.options().dora ? "dora" : "lora");
  config.set("num_layers", static_cast<int64_t>(layout.layers.size()));
  config.set("lora_parameters", std::move(lora));
  write_json(directory, adapter_config_file, config, files);
  write_adapter_tensors(adapter, stored_name, options.type, directory.path_of(mlx_weights_file),
                        {{"format", "mlx"}}, files);
}

} // namespace anet::io
