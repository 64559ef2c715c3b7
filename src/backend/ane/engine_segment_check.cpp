// What an engine segment does about results that nobody reported as wrong.
#include "backend/ane/engine_segment.h"

#include "backend/ane/buffer.h"
#include "base/status.h"

#include <algorithm>

namespace anet::backend::ane {

namespace {

Contents inspect(const Inspection& inspection, const View& view, ThreadPool& pool) {
  const HostAccess access({&view, 1}, {});
  return inspection.run(view.buffer->data() + view.offset, pool);
}

} // namespace

EngineSegment::Seen EngineSegment::look(std::span<const View> inputs, bool look_later) {
  ThreadPool& pool = environment_->host().thread_pool();
  const bool others_tell = peaks_ || look_later;
  bool infinite = false, all_zero = true, new_zero = false;
  for (size_t i = 0; i < out_.ports.size(); ++i) {
    const Surface& surface = *out_.surfaces[i];
    const SurfaceLock lock(surface, false);
    // The peaks tell of all that has to be finite; a failure is all zeros (ane-facts.md 0.3, R).
    seen_[i] = !others_tell || i == peaks_
                   ? inspections_[i].run(surface.data(), pool)
                   : Contents{inspections_[i].all_zero(surface.data()), true};
    infinite = infinite || !seen_[i].finite;
    all_zero = all_zero && seen_[i].all_zero;
    new_zero = new_zero || (seen_[i].all_zero && !zero_is_right_[i] && i != peaks_);
  }
  Seen seen;
  // Infinities that came in are not this segment's.
  seen.overflowed = infinite && all_finite(inputs, pool);
  seen.suspicious = (all_zero || new_zero) && any_nonzero(inputs);
  return seen;
}

bool EngineSegment::overflowed(std::span<const View> inputs, std::span<const View> outputs,
                               ThreadPool& pool) const {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (looked_at_[i] && !inspect(output_inspections_[i], outputs[i], pool).finite)
      return all_finite(inputs, pool);
  return false;
}

bool EngineSegment::any_nonzero(std::span<const View> inputs) const {
  ThreadPool& pool = environment_->host().thread_pool();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inspect(input_inspections_[i], inputs[i], pool).all_zero) return true;
  return false;
}

bool EngineSegment::all_finite(std::span<const View> inputs, ThreadPool& pool) const {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inspect(input_inspections_[i], inputs[i], pool).finite) return false;
  return true;
}

bool EngineSegment::zeros_are_right(std::span<const View> inputs, std::span<const View> outputs,
                                    RunTotals& totals) {
  const HostResult host = compare_with_host(inputs, outputs, totals);
  if (!host.worst.fault.empty() || host.worst.error > environment_->options().audit_tolerance)
    return false;
  for (size_t i = 0; i < seen_.size(); ++i)
    if (seen_[i].all_zero) zero_is_right_[i] = true;
  return true;
}

bool EngineSegment::passes_audit(std::span<const View> inputs, std::span<const View> outputs,
                                 bool overflowed, RunTotals& totals) {
  const AneOptions& options = environment_->options();
  const HostResult host = compare_with_host(inputs, outputs, totals);
  totals.audits += 1;
  // Both report the overflow: the values mean nothing, and nobody uses them.
  if (overflowed && host.overflowed) return true;
  totals.audit_error = std::max(totals.audit_error, host.worst.error);
  if (host.worst.fault.empty() && host.worst.error <= options.audit_tolerance) return true;
  std::string reason =
      host.worst.fault.empty()
          ? concat("audit: ", host.port, " differs from the host's by ", host.worst.error,
                   " of its largest value, above ", options.audit_tolerance)
          : concat("audit: ", host.port, " has ", host.worst.fault);
  if (options.audit_action == AuditAction::error)
    fail(Status::numeric, "kernel ", label_, ": ", reason);
  move_to_host(std::move(reason));
  return false;
}

EngineSegment::HostResult EngineSegment::compare_with_host(std::span<const View> inputs,
                                                           std::span<const View> outputs,
                                                           RunTotals& totals) {
  if (comparison_.empty()) {
    for (const Attachment& attachment : out_.attachments) {
      comparison_.push_back(environment_->host().allocate(attachment.port.layout));
      comparison_views_.emplace_back(*comparison_.back());
    }
  }
  HostResult result;
  result.overflowed = run_on_host(inputs, comparison_views_, totals);
  const HostAccess access(outputs, {});
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::byte* engine = outputs[i].buffer->data() + outputs[i].offset;
    Comparison comparison = compare(engine, comparison_[i]->data(), outputs[i].layout);
    const bool worse = !comparison.fault.empty() || comparison.error > result.worst.error;
    if (!result.worst.fault.empty() || !worse) continue;
    result.worst = std::move(comparison);
    result.port = out_.attachments[i].port.name;
  }
  return result;
}

} // namespace anet::backend::ane
