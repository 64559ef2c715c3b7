#include "backend/ane/kernel.h"

#include "backend/ane/buffer.h"
#include "backend/view_checks.h"
#include "base/status.h"

#include <chrono>
#include <utility>

namespace anet::backend::ane {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

} // namespace

AneKernel::AneKernel(std::shared_ptr<Environment> environment, KernelParts parts)
    : environment_(std::move(environment)),
      parts_(std::move(parts)), epilogues_{Epilogue(*this, 0), Epilogue(*this, 1)} {
  inputs_ = parts_.inputs;
  outputs_ = parts_.outputs;
  statistics_ = parts_.statistics;
  for (const KernelStep& step : parts_.steps) {
    has_background_steps_ = has_background_steps_ || step.background;
    may_look_later_ = may_look_later_ || step.may_look_later;
    BoundViews bound;
    for (const size_t value : step.inputs)
      bound.inputs.emplace_back().layout = parts_.values[value].layout;
    for (const size_t value : step.outputs)
      bound.outputs.emplace_back().layout = parts_.values[value].layout;
    views_[0].push_back(bound);
    views_[1].push_back(std::move(bound));
  }
  record_ = environment_->make_record(parts_.label);
  record_->set(placement());
}

AneKernel::~AneKernel() {
  for (const Epilogue& epilogue : epilogues_) environment_->background()->wait(epilogue);
}

void AneKernel::bind(std::span<const View> inputs, std::span<const View> outputs) {
  const auto bind_view = [&](View& view, const KernelValue& value) {
    if (value.place == KernelValue::Place::scratch) {
      view.buffer = &parts_.scratch->buffer(value.index, set_);
      return;
    }
    const auto& bound = value.place == KernelValue::Place::input ? inputs : outputs;
    view.buffer = bound[value.index].buffer;
    view.offset = bound[value.index].offset;
  };
  for (size_t s = 0; s < parts_.steps.size(); ++s) {
    const KernelStep& step = parts_.steps[s];
    BoundViews& views = views_[set_][s];
    for (size_t i = 0; i < step.inputs.size(); ++i)
      bind_view(views.inputs[i], parts_.values[step.inputs[i]]);
    for (size_t i = 0; i < step.outputs.size(); ++i)
      bind_view(views.outputs[i], parts_.values[step.outputs[i]]);
  }
}

void AneKernel::run(std::span<const View> inputs, std::span<const View> outputs,
                    const RunOptions& options) {
  check_views(inputs_, inputs, "input");
  check_views(outputs_, outputs, "output");
  check_overlap(inputs_, inputs, outputs_, outputs);
  if (!parts_.scratch->is_ready()) {
    fail(Status::invalid_state, "expected a workspace of ", parts_.workspace->size_bytes(),
         " reserved bytes, seen one that is not reserved");
  }
  Background& background = *environment_->background();
  if (std::exchange(synchronized_, false)) {
    const std::lock_guard lock(mutex_);
    background_overflowed_ = false;
  }
  overflowed_ = false;
  totals_.runs += 1;
  const auto every = static_cast<uint64_t>(environment_->options().audit_every);
  const bool audit = parts_.audited && every > 0 && totals_.runs % every == 0;
  if (has_background_steps_ || may_look_later_) {
    set_ = 1 - set_;
    background.wait(epilogues_[set_]);
  }
  looks_later_[set_] = may_look_later_ && options.keeps_views;
  bind(inputs, outputs);
  for (size_t s = 0; s < parts_.steps.size(); ++s)
    if (!parts_.steps[s].background) run_foreground(parts_.steps[s], views_[set_][s], audit);
  if (has_background_steps_ || looks_later_[set_]) background.submit(epilogues_[set_]);
  record_changes();
}

void AneKernel::run_foreground(KernelStep& step, BoundViews& views, bool audit) {
  if (step.engine) {
    const bool look_later = step.may_look_later && looks_later_[set_];
    overflowed_ |= step.engine->run(views.inputs, views.outputs, audit, totals_, look_later);
    return;
  }
  // The background may be adding to the same memory.
  if (step.accumulates) environment_->background()->drain();
  const auto start = Clock::now();
  overflowed_ |= run_host(step, views, environment_->host().thread_pool());
  totals_.host_seconds += seconds_since(start);
  totals_.host_flops += step.host->statistics().flops;
}

// Returns true when it overflowed, or what the engine made for it did.
bool AneKernel::run_host(const KernelStep& step, const BoundViews& views, ThreadPool& pool) {
  const HostAccess access(views.inputs, views.outputs);
  bool overflowed = false;
  for (const auto& [input, inspection] : step.inspections) {
    const View& view = views.inputs[input];
    overflowed |= !inspection.run(view.buffer->data() + view.offset, pool).finite;
  }
  step.host->run(views.inputs, views.outputs);
  return overflowed || step.host->overflowed();
}

void AneKernel::Epilogue::run() noexcept {
  try {
    kernel_.run_epilogue(set_);
  } catch (...) {
    const std::lock_guard lock(kernel_.mutex_);
    if (!kernel_.background_error_) kernel_.background_error_ = std::current_exception();
  }
}

void AneKernel::run_epilogue(size_t set) {
  const auto start = Clock::now();
  ThreadPool& pool = environment_->background_host().thread_pool();
  bool overflowed = false;
  int64_t flops = 0;
  for (size_t s = 0; s < parts_.steps.size(); ++s) {
    const KernelStep& step = parts_.steps[s];
    const BoundViews& views = views_[set][s];
    if (step.may_look_later && looks_later_[set])
      overflowed |= step.engine->overflowed(views.inputs, views.outputs, pool);
    if (!step.background) continue;
    overflowed |= run_host(step, views, pool);
    flops += step.host->statistics().flops;
  }
  const std::lock_guard lock(mutex_);
  background_overflowed_ |= overflowed;
  background_totals_.host_seconds += seconds_since(start);
  background_totals_.host_flops += flops;
}

void AneKernel::synchronize() {
  for (const Epilogue& epilogue : epilogues_) environment_->background()->wait(epilogue);
  synchronized_ = true;
  const std::lock_guard lock(mutex_);
  if (background_error_) std::rethrow_exception(std::exchange(background_error_, nullptr));
}

bool AneKernel::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_ || background_overflowed_;
}

RunTotals AneKernel::totals() const {
  RunTotals totals = totals_;
  const std::lock_guard lock(mutex_);
  totals.host_seconds += background_totals_.host_seconds;
  totals.host_flops += background_totals_.host_flops;
  return totals;
}

Placement AneKernel::placement() const {
  bool engine = false, host = false;
  std::string reason; // what failed comes first
  for (const KernelStep& step : parts_.steps) {
    const bool on_engine = step.engine && !step.engine->on_host();
    (on_engine ? engine : host) = true;
    if (!step.engine || step.engine->reason().empty()) continue;
    reason += concat(reason.empty() ? "" : "; ", step.engine->reason());
  }
  if (!parts_.reason.empty()) reason += concat(reason.empty() ? "" : "; ", parts_.reason);
  const char* where = !engine ? "cpu" : host ? "ane+cpu" : "ane";
  return {where, std::move(reason)};
}

void AneKernel::record_changes() {
  uint64_t changes = 0;
  for (const KernelStep& step : parts_.steps)
    if (step.engine) changes += step.engine->changes();
  if (changes == changes_) return;
  changes_ = changes;
  record_->set(placement());
}

} // namespace anet::backend::ane
