#include "model/model.h"

#include "base/status.h"

#include <cstdlib>
#include <cstring>

namespace anet::model {

namespace {

constexpr size_t weight_alignment = 64;

} // namespace

void Model::Free::operator()(float* data) const { std::free(data); }

Model::Model(const Config& config) : config_(resolve(config)), parameters_(config_) {
  const size_t bytes =
      (size() * sizeof(float) + weight_alignment - 1) / weight_alignment * weight_alignment;
  auto* data = static_cast<float*>(std::aligned_alloc(weight_alignment, bytes));
  if (data == nullptr) fail(Status::out_of_memory, "cannot allocate ", bytes, " bytes of weights");
  std::memset(data, 0, bytes);
  weights_.reset(data);
}

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
