#include "model/adapter.h"

#include "base/name_pattern.h"
#include "base/random.h"
#include "base/status.h"

#include <algorithm>
#include <cmath>

namespace anet::model {

namespace {

constexpr std::string_view weight_suffix = ".weight";
constexpr int64_t alignment = 16; // elements, as in the model's flat array

bool is_adaptable(const Parameter& parameter) { return parameter.shape.size() == 2; }
bool is_embedding(const Parameter& parameter) { return parameter.port == "embedding_weight"; }

// "q_proj" of the port "q_proj_weight"; the embedding and the head are called as in PEFT.
std::string port_name(const Parameter& parameter) {
  if (is_embedding(parameter)) return "embed_tokens";
  if (parameter.port == "head_weight") return "lm_head";
  return parameter.port.substr(0, parameter.port.size() - std::string_view("_weight").size());
}

bool matches_any(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches_name(pattern, name); });
}

// Layers [first, last) of the options.
std::pair<int32_t, int32_t> layer_range(const LoraOptions& options, int32_t layers) {
  const int32_t first =
      options.first_layer < 0 ? layers + options.first_layer : options.first_layer;
  const int32_t last = options.layer_count == 0 ? layers : first + options.layer_count;
  if (first < 0 || first >= layers || last > layers || options.layer_count < 0)
    fail(Status::invalid_argument, "expected adapted layers within the model's ", layers, ", seen ",
         options.layer_count, " from ", options.first_layer, " on");
  return {first, last};
}

LoraOptions resolve(LoraOptions options) {
  if (options.rank == 0) options.rank = 8;
  if (options.alpha == 0) options.alpha = 2.0 * options.rank;
  const auto check = [](bool holds, const char* field, const char* expected, double seen) {
    if (!holds) fail(Status::invalid_argument, "expected ", field, " ", expected, ", seen ", seen);
  };
  check(options.rank > 0 && options.rank <= 4096, "rank", "from 1 to 4096", options.rank);
  check(options.alpha > 0 && std::isfinite(options.alpha), "alpha", "above 0", options.alpha);
  check(options.dropout >= 0 && options.dropout < 1, "dropout", "in [0, 1)", options.dropout);
  return options;
}

void check_patterns(const std::vector<std::string>& patterns, std::span<const Parameter> all) {
  for (const std::string& pattern : patterns) {
    const bool found = std::any_of(all.begin(), all.end(), [&](const Parameter& parameter) {
      return is_adaptable(parameter) && matches_name(pattern, module_name(parameter));
    });
    if (!found)
      fail(Status::invalid_argument,
           "expected a pattern of modules such as 'q_proj' or "
           "'layers.0.mlp.*', seen '",
           pattern, "', which matches none of this model");
  }
}

std::vector<LoraTarget> resolve_targets(const Model& model, const LoraOptions& options) {
  const auto all = model.parameters().all();
  check_patterns(options.targets, all);
  std::vector<std::string> patterns;
  for (const LoraOptions::Override& override : options.overrides)
    patterns.push_back(override.pattern);
  check_patterns(patterns, all);
  const auto [first, last] = layer_range(options, model.config().layer_count);
  std::vector<LoraTarget> targets;
  for (const Parameter& parameter : all) {
    if (!is_adaptable(parameter)) continue;
    const std::string module = module_name(parameter);
    const bool in_layers = parameter.layer >= first && parameter.layer < last;
    const bool wanted = options.targets.empty() ? parameter.layer >= 0 && in_layers
                                                : (parameter.layer < 0 || in_layers) &&
                                                      matches_any(options.targets, module);
    if (!wanted) continue;
    LoraTarget target{module, options.rank, options.alpha};
    for (const LoraOptions::Override& override : options.overrides) {
      if (!matches_name(override.pattern, module)) continue;
      if (override.rank != 0) target.rank = override.rank;
      if (override.alpha != 0) target.alpha = override.alpha;
    }
    targets.push_back(std::move(target));
  }
  if (targets.empty())
    fail(Status::invalid_argument, "expected patterns that match a module of the adapted layers");
  return targets;
}

// ||row|| of each row of a matrix.
void row_norms(const Model& model, const Parameter& parameter, std::span<float> norms) {
  const int64_t rows = parameter.shape[0], columns = parameter.shape[1];
  std::vector<float> row(static_cast<size_t>(columns));
  for (int64_t i = 0; i < rows; ++i) {
    if (parameter.is_compressed()) {
      mil::expand(model.compressed(parameter), {i, 1, 0, columns}, row.data(), columns);
    } else {
      const auto values = model.values(parameter).subspan(static_cast<size_t>(i * columns));
      std::copy_n(values.begin(), columns, row.begin());
    }
    double sum = 0;
    for (const float value : row) sum += double{value} * value;
    norms[static_cast<size_t>(i)] = static_cast<float>(std::sqrt(sum));
  }
}

} // namespace

std::string module_name(const Parameter& parameter) {
  const std::string_view name = parameter.name;
  return std::string(name.substr(0, name.size() - weight_suffix.size()));
}

const AdapterShape::Module* AdapterShape::find(std::string_view port) const {
  const auto found = std::find_if(modules.begin(), modules.end(),
                                  [&](const Module& module) { return module.port == port; });
  return found == modules.end() ? nullptr : &*found;
}

Adapter::Adapter(const std::shared_ptr<const Model>& model, const LoraOptions& options,
                 uint64_t seed)
    : Adapter(model, resolve(options), resolve_targets(*model, resolve(options))) {
  uint64_t stream = 0;
  for (const LoraModule& module : modules_) {
    const Parameter& a = parameters_[static_cast<size_t>(module.lora_a)];
    Random random(seed, stream++);
    // Kaiming-uniform with a = sqrt(5): within 1 / sqrt(in); PEFT draws an embedding's A from a
    // normal distribution and leaves it zero instead of B, which is the same function at the start.
    const double bound = 1.0 / std::sqrt(static_cast<double>(a.shape[1]));
    for (float& value : values(a))
      value = static_cast<float>((2.0 * random.uniform() - 1.0) * bound);
    if (module.magnitude >= 0)
      row_norms(*model_, *module.base, values(parameters_[static_cast<size_t>(module.magnitude)]));
  }
}

Adapter::Adapter(std::shared_ptr<const Model> model, const LoraOptions& common,
                 std::vector<LoraTarget> targets)
    : model_(std::move(model)), options_(resolve(common)) {
  for (const Parameter& parameter : model_->parameters().all()) {
    if (!is_adaptable(parameter)) continue;
    const std::string name = module_name(parameter);
    const auto found = std::find_if(targets.begin(), targets.end(), [&](const LoraTarget& target) {
      return target.module == name;
    });
    if (found == targets.end()) continue;
    append(*found, parameter);
    targets.erase(found);
  }
  if (!targets.empty())
    fail(Status::invalid_data, "expected modules of this model, seen '", targets.front().module,
         targets.size() > 1 ? concat("' and ", targets.size() - 1, " more") : std::string("'"));
  weights_ = FlatArray(flat_size_);
}

void Adapter::append(const LoraTarget& target, const Parameter& base) {
  const bool embedding = is_embedding(base);
  if (options_.dora && base.layer < 0)
    fail(Status::unsupported_option, "expected DoRA of projections alone, seen it for '",
         target.module, "'");
  const int64_t out = embedding ? base.shape[1] : base.shape[0];
  const int64_t in = embedding ? base.shape[0] : base.shape[1];
  LoraModule module{.target = target, .port = port_name(base), .layer = base.layer, .base = &base};
  const double rank = target.rank;
  module.scale = target.alpha / (options_.rslora ? std::sqrt(rank) : rank);
  const auto add = [&](const std::string& suffix, const char* port, mil::Shape shape) {
    Parameter parameter{.name = target.module + suffix,
                        .port = module.port + port,
                        .layer = base.layer,
                        .shape = std::move(shape)};
    parameter.elements = mil::element_count(parameter.shape);
    parameter.offset = flat_size_;
    parameter.decay = parameter.shape.size() > 1;
    flat_size_ += (parameter.elements + alignment - 1) / alignment * alignment;
    parameters_.push_back(std::move(parameter));
    return static_cast<int32_t>(parameters_.size()) - 1;
  };
  module.lora_a =
      add(embedding ? ".lora_embedding_A" : ".lora_A.weight", "_lora_a", {target.rank, in});
  module.lora_b =
      add(embedding ? ".lora_embedding_B" : ".lora_B.weight", "_lora_b", {out, target.rank});
  if (options_.dora) module.magnitude = add(".lora_magnitude_vector", "_magnitude", {out});
  modules_.push_back(std::move(module));
}

const LoraModule* Adapter::find(std::string_view module) const {
  const auto found = std::find_if(modules_.begin(), modules_.end(), [&](const LoraModule& entry) {
    return entry.target.module == module;
  });
  return found == modules_.end() ? nullptr : &*found;
}

AdapterShape Adapter::shape(int32_t layer) const {
  AdapterShape shape;
  for (const LoraModule& module : modules_)
    if (module.layer == layer)
      shape.modules.push_back(
          {module.port, module.target.rank, module.scale, module.magnitude >= 0});
  shape.dropout = options_.dropout > 0 && !shape.modules.empty();
  return shape;
}

int64_t Adapter::weight_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.elements;
  return count;
}

std::span<float> Adapter::values(const Parameter& parameter) {
  return weights().subspan(static_cast<size_t>(parameter.offset),
                           static_cast<size_t>(parameter.elements));
}

std::span<const float> Adapter::values(const Parameter& parameter) const {
  return weights().subspan(static_cast<size_t>(parameter.offset),
                           static_cast<size_t>(parameter.elements));
}

void Adapter::begin_training() {
  if (training_.exchange(true, std::memory_order_acq_rel))
    fail(Status::busy, "expected an adapter that no session trains; release the other one first");
}

} // namespace anet::model
