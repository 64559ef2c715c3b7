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
void check_same_modules(const model::Adapter& seen, const model::Adapter& expected) {
  for (size_t i = 0; i < std::max(seen.modules().size(), expected.modules().size()); ++i) {
    const auto at = [i](const model::Adapter& adapter) {
      return i < adapter.modules().size() ? describe(adapter.modules()[i]) : std::string("none");
    };
    if (at(seen) != at(expected))
      fail(Status::shape_mismatch, "expected the modules of the session's adapter, ", at(expected),
           ", seen ", at(seen));
  }
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
  auto claim = std::make_unique<TrainingClaim>(adapter);
  auto& state = resting_.try_emplace(adapter).first->second;
  if (plan_.can_train() && state.arrays.empty())
    state.arrays = state_.optimizer().fresh_state().arrays;
  auto& own = resting_.try_emplace(adapter_).first->second;
  try {
    plan_.bind(adapter->weights());
  } catch (...) {
    plan_.bind(adapter_->weights());
    throw;
  }
  own = state_.optimizer().exchange(std::move(state));
  adapter_ = std::move(adapter);
  claim_ = std::move(claim);
  staged_trained_.reset();
  mirrored_trained_.reset();
}

} // namespace anet::train
