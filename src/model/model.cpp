#include "model/model.h"

#include "base/status.h"

namespace anet::model {

Model::Model(const Config& config)
    : config_(resolve(config)), parameters_(config_), weights_(parameters_.flat_size()) {}

std::span<float> Model::values(const Parameter& parameter) {
  return weights().subspan(static_cast<size_t>(parameter.offset),
                           static_cast<size_t>(parameter.elements));
}

std::span<const float> Model::values(const Parameter& parameter) const {
  return weights().subspan(static_cast<size_t>(parameter.offset),
                           static_cast<size_t>(parameter.elements));
}

void Model::begin_training() {
  if (training_.exchange(true, std::memory_order_acq_rel))
    fail(Status::busy, "expected a model that no session trains; release the other session first");
}

} // namespace anet::model
