#include "adapter_flags.h"

#include "data.h"
#include "text.h"

#include <algorithm>
#include <set>

namespace cli {
namespace {

// "8" for the last eight, "4-11" for those from 4 to 11.
void parse_layers(const std::string& text, AdapterFlags& flags) {
  const size_t dash = text.find('-');
  if (dash == std::string::npos) {
    flags.first_layer = -parse_count("layers", text);
    if (flags.first_layer == 0) throw UsageError("--layers expects at least one layer, got '0'");
    flags.layer_count = 0;
    return;
  }
  flags.first_layer = parse_count("layers", text.substr(0, dash));
  flags.layer_count = parse_count("layers", text.substr(dash + 1)) - flags.first_layer + 1;
  if (flags.layer_count < 1)
    throw UsageError("--layers expects the first layer and then the last, got '" + text + "'");
}

// "layers.0.*=16" or "layers.0.*=16:32".
AdapterFlags::Override parse_override(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError("--rank-pattern expects PATTERN=RANK or PATTERN=RANK:ALPHA, got '" + text +
                     "'");
  const std::string numbers = text.substr(equals + 1);
  const size_t colon = numbers.find(':');
  AdapterFlags::Override override;
  override.pattern = text.substr(0, equals);
  override.rank = parse_count("rank_pattern", numbers.substr(0, colon));
  if (colon != std::string::npos)
    override.alpha = parse_number("--rank-pattern", numbers.substr(colon + 1));
  return override;
}

// A path may have colons; a number behind the last one is a weight.
AdapterSpec parse_spec(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return {text, 1};
  try {
    return {text.substr(0, colon), parse_number("--adapter", text.substr(colon + 1))};
  } catch (const UsageError&) {
    return {text, 1};
  }
}

std::vector<anet_adapter_module> modules_of(const Adapter& adapter) {
  auto info = initialised<anet_adapter_info>();
  call(anet_adapter_get_info, adapter.get(), &info);
  std::vector<anet_adapter_module> modules(info.module_count, initialised<anet_adapter_module>());
  for (size_t i = 0; i < modules.size(); ++i)
    call(anet_adapter_get_module, adapter.get(), i, &modules[i]);
  return modules;
}

bool same_shape(const Adapter& left, const Adapter& right) {
  auto left_info = initialised<anet_adapter_info>();
  auto right_info = initialised<anet_adapter_info>();
  call(anet_adapter_get_info, left.get(), &left_info);
  call(anet_adapter_get_info, right.get(), &right_info);
  if (left_info.dropout != right_info.dropout || left_info.dora != right_info.dora) return false;
  const auto same = [](const anet_adapter_module& a, const anet_adapter_module& b) {
    return a.rank == b.rank && a.scale == b.scale && std::string(a.name) == b.name;
  };
  const auto first = modules_of(left);
  const auto second = modules_of(right);
  return std::equal(first.begin(), first.end(), second.begin(), second.end(), same);
}

} // namespace

void check_adapter_flags(const AdapterFlags& flags, const Model& model, const Adapter& adapter) {
  const Adapter described = create_adapter(model, flags, 0);
  if (same_shape(described, adapter)) return;
  throw UsageError("a run goes on with its adapter, " + adapter_text(adapter) +
                   "; the flags describe another, " + adapter_text(described));
}

std::vector<Option> adapter_options(AdapterFlags& flags) {
  return {{"rank", "N", "(8)", store_integer("rank", flags.rank)},
          {"alpha", "X", "the adapter's share is alpha / rank (twice the rank)",
           store_number("alpha", flags.alpha)},
          {"dropout", "X", "of the adapter's input, in training (0)",
           store_number("dropout", flags.dropout)},
          {"targets", "PATTERNS",
           "q_proj,v_proj or mlp.* or embed_tokens,lm_head (the seven projections)",
           store(flags.targets)},
          {"layers", "N|A-B", "the last N layers, or those from A to B (all)",
           [&flags](const std::string& text) { parse_layers(text, flags); }},
          {"rank_pattern", "PATTERN=RANK[:ALPHA]", "for some modules, as layers.0.*=16; repeatable",
           [&flags](const std::string& text) { flags.overrides.push_back(parse_override(text)); }},
          {"rslora", "", "the share is alpha / sqrt(rank), for large ranks",
           store_switch(flags.rslora)},
          {"dora", "", "learn the magnitudes of rows apart from their directions",
           store_switch(flags.dora)}};
}

Adapter create_adapter(const Model& model, const AdapterFlags& flags, uint64_t seed) {
  auto options = initialised<anet_adapter_options>();
  options.rank = flags.rank;
  options.alpha = flags.alpha;
  options.dropout = flags.dropout;
  options.rslora = flags.rslora ? 1 : 0;
  options.dora = flags.dora ? 1 : 0;
  options.targets = flags.targets.empty() ? nullptr : flags.targets.c_str();
  options.first_layer = flags.first_layer;
  options.layer_count = flags.layer_count;
  std::vector<anet_adapter_override> overrides;
  for (const AdapterFlags::Override& override : flags.overrides)
    overrides.push_back({override.pattern.c_str(), override.rank, 0, override.alpha});
  options.overrides = overrides.data();
  options.override_count = overrides.size();
  options.seed = seed;
  return create<Adapter>(anet_adapter_create, model.get(), &options);
}

std::string adapter_text(const Adapter& adapter) {
  auto info = initialised<anet_adapter_info>();
  call(anet_adapter_get_info, adapter.get(), &info);
  std::vector<std::string> kinds; // in the order of their first occurrence
  std::set<std::string> layers;
  for (size_t i = 0; i < info.module_count; ++i) {
    auto module = initialised<anet_adapter_module>();
    call(anet_adapter_get_module, adapter.get(), i, &module);
    const std::string name = module.name;
    const std::string kind = name.substr(name.rfind('.') + 1);
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
    const size_t layer = name.find("layers.");
    if (layer != std::string::npos)
      layers.insert(name.substr(layer, name.find('.', layer + 7) - layer));
  }
  std::string text =
      "rank " + std::to_string(info.rank) + ", alpha " +
      format_number(info.alpha, info.alpha == static_cast<int64_t>(info.alpha) ? 0 : 2);
  if (info.rslora != 0) text += ", rsLoRA";
  if (info.dora != 0) text += ", DoRA";
  if (info.dropout > 0) text += ", dropout " + format_number(info.dropout, 2);
  for (const std::string& kind : kinds) text += (kind == kinds.front() ? ": " : ", ") + kind;
  if (!layers.empty()) text += " of " + std::to_string(layers.size()) + " layers";
  const Model model = create<Model>(anet_adapter_get_model, adapter.get());
  const double share = static_cast<double>(info.weight_count) /
                       static_cast<double>(anet_model_weight_count(model.get()));
  return text + ", " + format_count(info.weight_count) + " weights, " +
         format_number(100 * share, 2) + " % of the model";
}

Option adapter_option(std::vector<AdapterSpec>& specs) {
  return {"adapter", "PATH[:WEIGHT]",
          "an adapter of PEFT or mlx-lm, or a run that trained one; repeatable",
          [&specs](const std::string& text) { specs.push_back(parse_spec(text)); }};
}

LoadedAdapters::LoadedAdapters(const Model& model, const std::vector<AdapterSpec>& specs) {
  for (const AdapterSpec& spec : specs) {
    adapters_.push_back(load_adapter(model, spec.path));
    weighted_.push_back({adapters_.back().get(), spec.weight});
  }
}

Adapter load_adapter(const Model& model, const std::string& path) {
  const std::string found = resolve_checkpoint(path, ANET_CHECKPOINT_LATEST);
  return create<Adapter>(anet_adapter_load, model.get(), found.c_str());
}

} // namespace cli
