#include "train/trained_tensors.h"

#include "base/name_pattern.h"
#include "base/status.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace anet::train {

namespace {

constexpr int64_t alignment = 16; // elements, as in the arrays of weights

bool matches(const std::string& pattern, const model::Parameter& parameter) {
  constexpr std::string_view suffix = ".weight";
  std::string_view name = parameter.name;
  if (matches_name(pattern, name)) return true;
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return matches_name(pattern, name);
}

void check_patterns(std::span<const model::Parameter> parameters,
                    const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    const bool found =
        std::any_of(parameters.begin(), parameters.end(),
                    [&](const model::Parameter& each) { return matches(pattern, each); });
    if (!found)
      fail(Status::invalid_argument, "expected patterns of trainable parameters such as ",
           "'layers.0.*' or 'q_proj', seen '", pattern, "', which matches none of this model");
  }
}

} // namespace

TrainedTensors::TrainedTensors(std::span<const model::Parameter> parameters,
                               const std::vector<std::string>& patterns) {
  check_patterns(parameters, patterns);
  for (const model::Parameter& parameter : parameters) {
    const bool trained = (patterns.empty() && !parameter.is_compressed()) ||
                         std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
                           return matches(pattern, parameter);
                         });
    if (!trained) continue;
    if (parameter.is_compressed())
      fail(Status::unsupported, "expected fp32 weights of '", parameter.name,
           "' to train, seen compressed ones; train an adapter, or load the model uncompressed");
    parts_.push_back({.tensor = tensors_.size(), .begin = 0, .end = parameter.elements});
    tensors_.push_back({&parameter, flat_size_});
    flat_size_ += (parameter.elements + alignment - 1) / alignment * alignment;
  }
}

void TrainedTensors::divide(const model::Parameter& parameter, int64_t elements) {
  const TrainedTensor* divided = find(parameter);
  std::vector<GradientPart> parts;
  for (const GradientPart& part : parts_) {
    const bool whole = &tensors_[part.tensor] != divided;
    const int64_t size = whole ? part.end - part.begin : elements;
    for (int64_t begin = part.begin; begin < part.end; begin += size)
      parts.push_back({part.tensor, begin, std::min(begin + size, part.end)});
  }
  parts_ = std::move(parts);
}

const TrainedTensor* TrainedTensors::find(const model::Parameter& parameter) const {
  const auto found =
      std::find_if(tensors_.begin(), tensors_.end(),
                   [&](const TrainedTensor& tensor) { return tensor.parameter == &parameter; });
  return found == tensors_.end() ? nullptr : &*found;
}

int64_t TrainedTensors::weight_count() const {
  int64_t count = 0;
  for (const TrainedTensor& tensor : tensors_) count += tensor.parameter->elements;
  return count;
}

} // namespace anet::train
