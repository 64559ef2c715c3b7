#include "backend/ane/probe_cache.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/version.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace anet::backend::ane {

namespace {

constexpr int64_t format = 5;
constexpr int64_t max_file_size = 1 << 20;

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string user_directory() {
  const std::string home = environment_variable("HOME");
  std::string caches = environment_variable("XDG_CACHE_HOME");
  if (caches.empty() && !home.empty()) {
    const std::string library = join_path(home, "Library/Caches");
    caches = path_exists(library) ? library : join_path(home, ".cache");
  }
  return caches.empty() ? "" : join_path(caches, "libane_train");
}

// Letters and digits as they are.
std::string file_part(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  return text;
}

// One list for both directions: visit(name, member).
template <typename RulesType, typename Visit>
void visit_flags(RulesType& rules, Visit&& visit) {
  visit("available", rules.available);
  visit("parameter_convolution", rules.parameter_convolution);
  visit("computed_convolution", rules.computed_convolution);
  visit("has_rsqrt", rules.has_rsqrt);
  visit("has_concat", rules.has_concat);
  visit("narrow_reduce_sum", rules.narrow_reduce_sum);
  visit("narrow_l2_norm", rules.narrow_l2_norm);
  visit("broadcasts_both", rules.broadcasts_both);
  visit("clamps_width_slices", rules.clamps_width_slices);
  visit("reshapes_width", rules.reshapes_width);
  visit("concats_width", rules.concats_width);
  visit("slices_width", rules.slices_width);
  visit("native_causal_attention", rules.native_causal_attention);
  visit("table_activations", rules.table_activations);
  visit("fp32_ports", rules.fp32_ports);
  visit("int8_ports", rules.int8_ports);
}

template <typename RulesType, typename Visit>
void visit_limits(RulesType& rules, Visit&& visit) {
  visit("max_width", rules.max_width);
  visit("max_height", rules.max_height);
  visit("max_channels", rules.max_channels);
  visit("max_batch", rules.max_batch);
  visit("max_rank", rules.max_rank);
  visit("max_ports", rules.max_ports);
}

template <typename Enum>
struct Name {
  Enum value;
  const char* text;
};

constexpr Name<ParameterRoute> route_names[] = {{ParameterRoute::inputs, "inputs"},
                                                {ParameterRoute::packed, "packed"}};
constexpr Name<QuantizedForm> form_names[] = {{QuantizedForm::none, "none"},
                                              {QuantizedForm::affine, "affine"},
                                              {QuantizedForm::blockwise, "blockwise"},
                                              {QuantizedForm::palette, "palette"}};
constexpr Name<ConstantProduct> product_names[] = {{ConstantProduct::convolution, "convolution"},
                                                   {ConstantProduct::matmul, "matmul"}};

template <typename Enum, size_t n>
const char* to_text(const Name<Enum> (&names)[n], Enum value) {
  return std::find_if(names, names + n, [&](const auto& name) { return name.value == value; })
      ->text;
}

template <typename Enum, size_t n>
Enum from_text(const Name<Enum> (&names)[n], const JsonView& json) {
  const auto* found =
      std::find_if(names, names + n, [&](const auto& name) { return json.string() == name.text; });
  if (found == names + n) json.fail_here("unknown name '", json.string(), "'");
  return found->value;
}

} // namespace

Json to_json(const std::vector<ProbeAnswer>& answers) {
  Json json = Json::array();
  for (const ProbeAnswer& answer : answers) {
    Json entry = Json::object();
    entry.set("question", answer.question)
        .set("answer", answer.answer)
        .set("detail", answer.detail)
        .set("conclusive", answer.conclusive);
    json.push_back(std::move(entry));
  }
  return json;
}

Json to_json(const Rules& rules) {
  Json json = Json::object();
  visit_flags(rules, [&](const char* name, bool value) { json.set(name, value); });
  visit_limits(rules, [&](const char* name, int64_t value) { json.set(name, value); });
  json.set("parameter_route", to_text(route_names, rules.parameter_route))
      .set("constant_product", to_text(product_names, rules.constant_product))
      .set("int8_form", to_text(form_names, rules.int8_form))
      .set("int4_form", to_text(form_names, rules.int4_form))
      .set("dispatch_seconds", rules.dispatch_seconds)
      .set("flops_per_second", rules.flops_per_second);
  return json;
}

std::vector<ProbeAnswer> answers_from_json(const JsonView& json) {
  std::vector<ProbeAnswer> answers;
  for (size_t i = 0; i < json.size(); ++i) {
    const JsonView entry = json.at(i);
    answers.push_back({entry.at("question").string(), entry.at("answer").boolean(),
                       entry.at("detail").string(), entry.at("conclusive").boolean()});
  }
  return answers;
}

Rules rules_from_json(const JsonView& json) {
  Rules rules;
  visit_flags(rules, [&](const char* name, bool& value) { value = json.at(name).boolean(); });
  visit_limits(rules, [&](const char* name, int64_t& value) {
    value = json.at(name).integer(1, int64_t{1} << 40);
  });
  rules.parameter_route = from_text(route_names, json.at("parameter_route"));
  rules.constant_product = from_text(product_names, json.at("constant_product"));
  rules.int8_form = from_text(form_names, json.at("int8_form"));
  rules.int4_form = from_text(form_names, json.at("int4_form"));
  rules.dispatch_seconds = json.at("dispatch_seconds").number();
  rules.flops_per_second = json.at("flops_per_second").number();
  if (!(rules.dispatch_seconds > 0 && rules.flops_per_second > 0))
    json.fail_here("expected speeds above 0");
  return rules;
}

ProbeCache::ProbeCache(const std::string& directory, const EngineInfo& info) : info_(info) {
  const std::string folder = directory.empty() ? user_directory() : directory;
  if (folder.empty()) return;
  const std::string framework = hex64(xxh64(as_bytes(info.framework_path))).substr(0, 8);
  path_ = join_path(folder, concat("probe-", file_part(info.architecture), "-",
                                   file_part(info.os_build), "-", framework, ".json"));
}

Json ProbeCache::identity() const {
  Json json = Json::object();
  json.set("format", format)
      .set("library_version", library_version)
      .set("chip", info_.architecture)
      .set("os_build", info_.os_build)
      .set("framework_path", info_.framework_path);
  return json;
}

std::optional<Probed> ProbeCache::load() const {
  if (path_.empty()) return std::nullopt;
  try {
    if (!path_exists(path_)) return std::nullopt;
    const Json json = Json::parse(read_file(path_, max_file_size), path_, Status::invalid_data);
    const JsonView view(json, Status::invalid_data);
    if (!(view.at("made_for").value() == identity())) return std::nullopt;
    Probed probed;
    probed.rules = rules_from_json(view.at("rules"));
    probed.answers = answers_from_json(view.at("probes"));
    probed.from_cache = true;
    return probed;
  } catch (const Error&) { // damaged: asked again
    return std::nullopt;
  }
}

void ProbeCache::store(Probed& probed) const {
  const bool conclusive = std::all_of(probed.answers.begin(), probed.answers.end(),
                                      [](const ProbeAnswer& answer) { return answer.conclusive; });
  if (path_.empty() || !conclusive) return;
  try {
    create_directories(parent_directory(path_));
    Json json = Json::object();
    json.set("made_for", identity())
        .set("rules", to_json(probed.rules))
        .set("probes", to_json(probed.answers));
    write_file_atomically(path_, as_bytes(json.to_string(2)));
  } catch (const Error& error) {
    probed.warning = concat("answers are not kept: ", error.message());
  }
}

} // namespace anet::backend::ane
