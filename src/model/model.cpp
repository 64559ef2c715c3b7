#include "model/model.h"

#include "base/status.h"

#include <algorithm>

namespace anet::model {

namespace {

void check_uncompressed(const Parameter& parameter) {
  if (parameter.is_compressed())
    fail(Status::unsupported, "expected fp32 weights of '", parameter.name,
         "', seen compressed ones");
}

} // namespace

Model::Model(const Config& config)
    : config_(resolve(config)), parameters_(config_), weights_(parameters_.flat_size()) {}

Model::Model(const Config& config, const std::function<bool(const Parameter&)>& compressed)
    : config_(resolve(config)), parameters_(config_, compressed),
      weights_(parameters_.flat_size()) {
  for (const Parameter& parameter : parameters_.all())
    if (parameter.is_compressed()) compressed_.emplace(parameter.name, mil::CompressedWeight());
}

std::span<float> Model::values(const Parameter& parameter) {
  check_uncompressed(parameter);
  return weights().subspan(static_cast<size_t>(parameter.offset),
                           static_cast<size_t>(parameter.elements));
}

std::span<const float> Model::values(const Parameter& parameter) const {
  check_uncompressed(parameter);
  return weights().subspan(static_cast<size_t>(parameter.offset),
                           static_cast<size_t>(parameter.elements));
}

const mil::CompressedWeight& Model::compressed(const Parameter& parameter) const {
  const auto found = compressed_.find(parameter.name);
  if (found == compressed_.end() || found->second.rows == 0)
    fail(Status::internal, "expected compressed weights of '", parameter.name, "', seen none");
  return found->second;
}

void Model::set_compressed(const Parameter& parameter, mil::CompressedWeight weight) {
  mil::check_compressed_weight(weight);
  if (mil::Shape{weight.rows, weight.columns} != parameter.shape)
    fail(Status::shape_mismatch, "expected '", parameter.name, "' of shape ",
         mil::shape_to_string(parameter.shape), ", seen ",
         mil::shape_to_string({weight.rows, weight.columns}));
  compressed_.at(parameter.name) = std::move(weight);
}

void Model::read(const Parameter& parameter, std::span<float> values) const {
  if (parameter.is_compressed()) return mil::expand(compressed(parameter), values);
  const std::span<const float> source = this->values(parameter);
  std::copy(source.begin(), source.end(), values.begin());
}

uint64_t Model::weight_bytes() const {
  uint64_t bytes = weights_.values().size_bytes();
  for (const auto& [name, weight] : compressed_) bytes += weight.bytes();
  return bytes;
}

namespace {

[[noreturn]] void fail_frozen(int32_t holders) {
  fail(Status::busy, "expected a model that no session holds frozen, seen ", holders,
       holders == 1 ? " that does" : " that do");
}

} // namespace

// Here and in freeze each says what it wants before it looks at the other, in one order for all
// threads: of two at once at most one has its way.
void Model::begin_training() {
  if (training_.exchange(true))
    fail(Status::busy, "expected a model that no session trains; release the other session first");
  const int32_t holders = frozen_.load();
  if (holders == 0) return;
  end_training();
  fail_frozen(holders);
}

void Model::freeze() const {
  frozen_.fetch_add(1);
  if (!training_.load()) return;
  thaw();
  fail(Status::busy, "expected a model that no session trains; release that session first");
}

void Model::check_writable() const {
  if (const int32_t holders = frozen_.load(std::memory_order_acquire); holders > 0)
    fail_frozen(holders);
}

} // namespace anet::model
