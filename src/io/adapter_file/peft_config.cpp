#include "io/adapter_file/peft_config.h"

#include "base/status.h"
#include "io/adapter_file/adapter_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace anet::io {
namespace {

using tokenization::Regex;

constexpr int64_t max_rank = 4096;

// Say where the adapter comes from, or how it was initialised.
constexpr std::array<std::string_view, 12> descriptive_keys = {
    "auto_mapping",   "base_model_name_or_path",
    "corda_config",   "eva_config",
    "inference_mode", "loftq_config",
    "lora_ga_config", "megatron_core",
    "peft_version",   "qalora_group_size",
    "revision",       "task_type"};

constexpr std::array<std::string_view, 16> known_keys = {"peft_type",
                                                         "r",
                                                         "lora_alpha",
                                                         "lora_dropout",
                                                         "use_rslora",
                                                         "use_dora",
                                                         "bias",
                                                         "fan_in_fan_out",
                                                         "target_modules",
                                                         "exclude_modules",
                                                         "layers_to_transform",
                                                         "layers_pattern",
                                                         "rank_pattern",
                                                         "alpha_pattern",
                                                         "init_lora_weights",
                                                         "ensure_weight_tying"};

template <size_t Size>
bool is_one_of(const std::array<std::string_view, Size>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// What a setting is when it is not used.
bool is_off(const Json& value) {
  if (value.is_null()) return true;
  if (const bool* flag = value.if_boolean()) return !*flag;
  if (const std::string* text = value.if_string()) return text->empty();
  if (const Json::Array* array = value.if_array()) return array->empty();
  if (const Json::Object* object = value.if_object()) return object->empty();
  return false;
}

[[noreturn]] void refuse(const JsonView& view, std::string_view key, std::string_view why = {}) {
  const Json* value = view.value().find(key);
  fail(Status::unsupported, "cannot use an adapter with '", key, "' of ",
       value == nullptr ? std::string("nothing") : value->to_string(), why.empty() ? "" : ": ", why,
       " in '", view.path(), "'");
}

// These change the base's weights at the start, so that the adapter fits no other base.
void check_initialization(const JsonView& view) {
  const Json* value = view.value().find("init_lora_weights");
  const std::string* name = value == nullptr ? nullptr : value->if_string();
  if (name == nullptr || *name == "gaussian" || *name == "eva" || *name == "orthogonal") return;
  refuse(view, "init_lora_weights", "it changes the model's own weights");
}

void check_supported(const JsonView& view) {
  const std::string& type = view.at("peft_type").string();
  if (type != "LORA") refuse(view, "peft_type", "only LORA is supported");
  if (view.string_or("bias", "none") != "none") refuse(view, "bias", "biases are not trained");
  if (view.boolean_or("fan_in_fan_out", false)) refuse(view, "fan_in_fan_out");
  check_initialization(view);
  for (const JsonMember& member : view.members())
    if (!is_one_of(known_keys, member.key) && !is_one_of(descriptive_keys, member.key) &&
        !is_off(member.value))
      refuse(view, member.key);
}

// Python's re.fullmatch.
Regex whole(const std::string& pattern, std::string_view place) {
  return Regex::native(concat("\\A(?:", pattern, ")\\z"), place);
}

bool found(const Regex& expression, std::string_view text) {
  tokenization::RegexScratch scratch;
  return expression.find(text, 0, scratch).has_value();
}

bool ends_with_name(std::string_view module, std::string_view name) {
  return module == name || (module.size() > name.size() && module.ends_with(name) &&
                            module[module.size() - name.size() - 1] == '.');
}

std::vector<std::string> strings_or_one(const JsonView& view) {
  if (const std::string* text = view.value().if_string()) return {*text};
  return view.strings();
}

} // namespace

PeftModules::PeftModules(const JsonView& view) {
  if (const std::string* pattern = view.value().if_string())
    expression_ = whole(*pattern, view.path());
  else
    names_ = view.strings();
}

bool PeftModules::names(std::string_view module) const {
  return std::find(names_.begin(), names_.end(), module) != names_.end();
}

bool PeftModules::matches(std::string_view module) const {
  if (expression_) return found(*expression_, module);
  return std::any_of(names_.begin(), names_.end(),
                     [&](const std::string& name) { return ends_with_name(module, name); });
}

PeftConfig::PeftConfig(const JsonView& view) {
  check_supported(view);
  options_.rank = static_cast<int32_t>(view.find("r") ? view.at("r").integer(1, max_rank) : 8);
  options_.alpha = view.number_or("lora_alpha", 8);
  options_.dropout = view.number_or("lora_dropout", 0);
  options_.rslora = view.boolean_or("use_rslora", false);
  options_.dora = view.boolean_or("use_dora", false);
  const JsonView targets = view.at("target_modules");
  const std::string* text = targets.value().if_string();
  all_linear_ = text != nullptr && *text == "all-linear";
  if (!all_linear_) targets_ = PeftModules(targets);
  if (const auto excluded = view.find("exclude_modules")) excluded_ = PeftModules(*excluded);
  read_layers(view);
  const auto read_patterns = [&](const char* key, const auto& read_value) {
    std::vector<Pattern> patterns;
    const auto object = view.find(key);
    if (!object) return patterns;
    for (const JsonMember& member : object->members()) {
      const JsonView value = object->at(std::string_view(member.key));
      patterns.push_back(
          {whole(concat("(.*\\.)?(", member.key, ")"), value.path()), read_value(value)});
    }
    return patterns;
  };
  ranks_ = read_patterns("rank_pattern", [](const JsonView& value) {
    return static_cast<double>(value.integer(1, max_rank));
  });
  alphas_ = read_patterns("alpha_pattern", [](const JsonView& value) {
    const double alpha = value.number();
    if (!(alpha > 0 && std::isfinite(alpha)))
      value.fail_here("expected an alpha above 0, seen ", alpha);
    return alpha;
  });
}

void PeftConfig::read_layers(const JsonView& view) {
  if (const auto layers = view.find("layers_to_transform")) {
    if (layers->value().if_array() == nullptr)
      layers_ = {layers->integer()};
    else if (layers->size() > 0)
      layers_ = layers->integers();
  }
  const auto patterns = view.find("layers_pattern");
  if (!patterns) return;
  for (const std::string& pattern : strings_or_one(*patterns))
    if (!pattern.empty())
      layer_patterns_.push_back(
          Regex::native(concat("\\A(?:|.*?\\.)(?:", pattern, ")\\.(?=\\d+\\.)"), patterns->path()));
}

// The number behind the first match of a pattern is the layer; without patterns the first number.
bool PeftConfig::in_layers(std::string_view module) const {
  static const Regex any = Regex::native("\\A.*?\\.[^.]*\\.(?=\\d+\\.)", "layers_pattern");
  tokenization::RegexScratch scratch;
  std::optional<tokenization::Match> match;
  if (layer_patterns_.empty()) match = any.find(module, 0, scratch);
  for (const Regex& pattern : layer_patterns_)
    if (!match) match = pattern.find(module, 0, scratch);
  if (!match) return false;
  int64_t layer = 0;
  for (const char digit : module.substr(match->end)) {
    if (digit == '.') break;
    layer = 10 * layer + (digit - '0');
  }
  return std::find(layers_->begin(), layers_->end(), layer) != layers_->end();
}

bool PeftConfig::is_adapted(std::string_view module) const {
  if (excluded_.matches(module)) return false;
  if (all_linear_) return module != "lm_head" && !module.ends_with("embed_tokens");
  if (!targets_.matches(module)) return false;
  if (!targets_.is_list() || targets_.names(module) || !layers_) return true;
  return in_layers(module);
}

std::optional<model::LoraTarget> PeftConfig::target(std::string_view module) const {
  if (!is_adapted(module)) return std::nullopt;
  const auto value_of = [&](const std::vector<Pattern>& patterns, double fallback) {
    for (const Pattern& pattern : patterns)
      if (found(pattern.expression, module)) return pattern.value;
    return fallback;
  };
  model::LoraTarget target;
  target.module = module;
  target.rank = static_cast<int32_t>(value_of(ranks_, options_.rank));
  target.alpha = value_of(alphas_, options_.alpha);
  return target;
}

namespace {

// Modules whose setting is not the common one; by their short name where that has one value.
template <typename Value>
Json pattern_of(const model::Adapter& adapter, Value value, double common) {
  std::map<std::string, std::optional<double>> by_name; // nullopt: several values
  const auto short_name = [](const model::LoraModule& module) {
    const std::string name = name_in_layer(module);
    return name.substr(name.rfind('.') + 1);
  };
  for (const model::LoraModule& module : adapter.modules()) {
    const auto [entry, first] = by_name.emplace(short_name(module), value(module));
    if (!first && entry->second != value(module)) entry->second = std::nullopt;
  }
  Json pattern = Json::object();
  for (const model::LoraModule& module : adapter.modules()) {
    if (value(module) == common) continue;
    const std::string name = short_name(module);
    pattern.set(by_name.at(name) ? name : module.target.module, plain_number(value(module)));
  }
  return pattern;
}

void set_targets(const model::Adapter& adapter, Json& config) {
  const AdapterLayout layout = layout_of(adapter);
  Json targets = Json::array();
  Json layers;
  if (layout.uniform) {
    for (const std::string& name : layout.in_layer)
      targets.push_back(name.substr(name.rfind('.') + 1));
    for (const std::string& name : layout.outside) targets.push_back(name);
    if (!layout.layers.empty() && std::ssize(layout.layers) < adapter.config().layer_count)
      for (const int32_t layer : layout.layers) layers.push_back(layer);
  } else {
    for (const model::LoraModule& module : adapter.modules())
      targets.push_back(module.target.module);
  }
  config.set("layers_pattern", nullptr);
  config.set("layers_to_transform", std::move(layers));
  config.set("target_modules", std::move(targets));
}

} // namespace

Json write_peft_config(const model::Adapter& adapter, const std::string& base_name) {
  const model::LoraOptions& options = adapter.options();
  Json config = Json::object();
  config.set("peft_type", "LORA").set("task_type", "CAUSAL_LM");
  config.set("base_model_name_or_path", base_name.empty() ? Json() : Json(base_name));
  config.set("revision", nullptr).set("inference_mode", true);
  config.set("r", options.rank).set("lora_alpha", plain_number(options.alpha));
  config.set("lora_dropout", options.dropout);
  config.set("use_rslora", options.rslora).set("use_dora", options.dora);
  set_targets(adapter, config);
  config.set("rank_pattern",
             pattern_of(
                 adapter,
                 [](const model::LoraModule& module) { return double{1} * module.target.rank; },
                 options.rank));
  config.set("alpha_pattern",
             pattern_of(
                 adapter, [](const model::LoraModule& module) { return module.target.alpha; },
                 options.alpha));
  config.set("bias", "none").set("fan_in_fan_out", false).set("modules_to_save", nullptr);
  config.set("init_lora_weights", true);
  return config;
}

} // namespace anet::io
