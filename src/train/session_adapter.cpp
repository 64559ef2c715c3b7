// Sessions that train adapters: what they hold, and going on with another one.
#include "base/status.h"
#include "train/session.h"

#include <algorithm>

namespace anet::train {

namespace {

std::string describe(const model::LoraModule& module) {
  return concat("'", module.target.module, "' of rank ", module.target.rank, " and scale ",
                module.scale, module.magnitude < 0 ? "" : " with DoRA");
}

// Programs and arrays are laid out by modules, ranks and scales.
bool is_laid_out_alike(const model::LoraModule& a, const model::LoraModule& b) {
  return a.target.module == b.target.module && a.target.rank == b.target.rank &&
         a.scale == b.scale && (a.magnitude < 0) == (b.magnitude < 0);
}

void check_same_modules(const model::Adapter& seen, const model::Adapter& expected) {
  const auto left = seen.modules(), right = expected.modules();
  const auto differ =
      std::mismatch(left.begin(), left.end(), right.begin(), right.end(), is_laid_out_alike);
  if (differ.first == left.end() && differ.second == right.end()) return;
  fail(Status::shape_mismatch, "expected the modules of the session's adapter, ",
       differ.second == right.end() ? "none" : describe(*differ.second), ", seen ",
       differ.first == left.end() ? "none" : describe(*differ.first));
}

} // namespace

TrainingClaim::TrainingClaim(std::shared_ptr<model::Model> model) : model_(std::move(model)) {
  model_->begin_training();
}

TrainingClaim::TrainingClaim(std::shared_ptr<model::Adapter> adapter)
    : adapter_(std::move(adapter)) {
  base_.emplace(adapter_->model());
  adapter_->begin_training();
}

TrainingClaim::~TrainingClaim() {
  if (model_) model_->end_training();
  if (adapter_) adapter_->end_training();
}

void Session::check_swap(const model::Adapter* adapter) const {
  if (adapter == nullptr) fail(Status::invalid_argument, "expected an adapter, seen none");
  if (!adapter_)
    fail(Status::invalid_state, "expected a session that trains an adapter, seen one of a model");
  if (accumulated_.micro_batches != 0)
    fail(Status::invalid_state, "expected no accumulated gradient, seen ",
         accumulated_.micro_batches, " micro-batches");
  if (adapter->model() != adapter_->model())
    fail(Status::invalid_argument, "expected an adapter of the session's model, seen another's");
  if (adapter->options().dropout != adapter_->options().dropout)
    fail(Status::invalid_argument, "expected an adapter with dropout ", adapter_->options().dropout,
         ", seen ", adapter->options().dropout);
  check_same_modules(*adapter, *adapter_);
}

void Session::swap_adapter(std::shared_ptr<model::Adapter> adapter) {
  check_swap(adapter.get());
  if (adapter == adapter_) return;
  // All that can fail comes before anything changes.
  auto claim = std::make_unique<TrainingClaim>(adapter);
  Optimizer& optimizer = state_.optimizer();
  const auto rested = resting_.find(adapter);
  OptimizerState state;
  if (plan_.can_train() && (rested == resting_.end() || rested->second.arrays.empty()))
    state = optimizer.fresh_state();
  decltype(resting_) own; // one node, to be moved
  OptimizerState& resting = own.try_emplace(adapter_).first->second;
  plan_.rebind(adapter->weights());

  if (rested != resting_.end()) {
    if (!rested->second.arrays.empty()) state.arrays = std::move(rested->second.arrays);
    state.updates = rested->second.updates;
    resting_.erase(rested);
  }
  resting = optimizer.exchange(std::move(state));
  resting_.merge(own);
  adapter_ = std::move(adapter);
  claim_ = std::move(claim);
  staged_trained_.reset();
  mirrored_trained_.reset();
}

} // namespace anet::train
