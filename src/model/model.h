// A model in memory: its configuration and its fp32 weights, one flat array.
#pragma once

#include "base/flat_array.h"
#include "model/config.h"
#include "model/parameters.h"

#include <atomic>
#include <cstdint>
#include <span>

namespace anet::model {

class Model {
public:
  // Zero weights. Throws invalid_config, out_of_memory.
  explicit Model(const Config& config);

  const Config& config() const { return config_; }
  const ParameterTable& parameters() const { return parameters_; }
  std::span<float> weights() { return weights_.values(); }
  std::span<const float> weights() const { return weights_.values(); }
  std::span<float> values(const Parameter& parameter);
  std::span<const float> values(const Parameter& parameter) const;

  // Counts changes made from outside a session, so that holders of converted copies can tell.
  uint64_t revision() const { return revision_.load(std::memory_order_acquire); }
  void touch() { revision_.fetch_add(1, std::memory_order_acq_rel); }

  // One session at a time trains a model: throws busy when another does.
  void begin_training();
  void end_training() { training_.store(false, std::memory_order_release); }

private:
  Config config_;
  ParameterTable parameters_;
  FlatArray weights_;
  std::atomic<uint64_t> revision_{0};
  std::atomic<bool> training_{false};
};

} // namespace anet::model
