// A model in memory: its configuration and its weights, fp32 in one flat array but for matrices
// that are compressed.
#pragma once

#include "base/flat_array.h"
#include "base/pending_write.h"
#include "mil/compressed_weight.h"
#include "model/config.h"
#include "model/parameters.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace anet::model {

class Model {
public:
  // Zero weights. Throws invalid_config, out_of_memory.
  explicit Model(const Config& config);
  // The matrices for which `compressed` says so have no fp32 weights; each is to be set.
  Model(const Config& config, const std::function<bool(const Parameter&)>& compressed);

  const Config& config() const { return config_; }
  const ParameterTable& parameters() const { return parameters_; }
  // A session may still be writing them when its step has returned: these and whatever else reads
  // or writes them wait for its end.
  std::span<float> weights() {
    settle();
    return weights_.values();
  }
  std::span<const float> weights() const {
    settle();
    return weights_.values();
  }
  // For who has kept what `weights` returned, before every use.
  void settle() const { pending_.wait(); }
  // For the session that trains it, from whose step on all others wait.
  PendingWrite& pending_write() { return pending_; }
  // Throws unsupported for a compressed parameter.
  std::span<float> values(const Parameter& parameter);
  std::span<const float> values(const Parameter& parameter) const;

  // The codes of a compressed parameter; sizes are checked.
  const mil::CompressedWeight& compressed(const Parameter& parameter) const;
  void set_compressed(const Parameter& parameter, mil::CompressedWeight weight);
  bool is_compressed() const { return !compressed_.empty(); } // any of the matrices
  // fp32 values of any parameter.
  void read(const Parameter& parameter, std::span<float> values) const;
  uint64_t weight_bytes() const; // of all weights as they are held

  // Counts changes, a session's updates among them, so that holders of converted copies can tell.
  uint64_t revision() const { return revision_.load(std::memory_order_acquire); }
  void touch() { revision_.fetch_add(1, std::memory_order_acq_rel); }

  // One session at a time trains a model: throws busy when another does, or when it is frozen.
  void begin_training();
  void end_training() { training_.store(false, std::memory_order_release); }

  // While it is frozen, as the base of adapters that are trained, nobody may write to it: programs
  // may have its weights baked in. Any number may freeze it at once; throws busy while it is
  // trained. FrozenModel does both.
  void freeze() const;
  void thaw() const { frozen_.fetch_sub(1, std::memory_order_acq_rel); }
  // For whoever is about to write from outside a session: throws busy while it is frozen.
  void check_writable() const;

private:
  Config config_;
  ParameterTable parameters_;
  FlatArray weights_;
  std::map<std::string, mil::CompressedWeight> compressed_; // by name
  std::atomic<uint64_t> revision_{0};
  std::atomic<bool> training_{false};
  mutable std::atomic<int32_t> frozen_{0};
  PendingWrite pending_;
};

// Keeps a model frozen for as long as it lives.
class FrozenModel {
public:
  explicit FrozenModel(std::shared_ptr<const Model> model) : model_(std::move(model)) {
    model_->freeze();
  }
  ~FrozenModel() { model_->thaw(); }
  FrozenModel(const FrozenModel&) = delete;
  FrozenModel& operator=(const FrozenModel&) = delete;

private:
  std::shared_ptr<const Model> model_;
};

} // namespace anet::model
