// The counters that several structs have: what kernels did, and where.
#pragma once

#include "backend/backend.h"

namespace anet::capi {

template <typename Struct>
void copy_counters(const backend::RunTotals& totals, Struct& target) {
  target.engine_evaluations = totals.evaluations;
  target.engine_seconds = totals.engine_seconds;
  target.host_seconds = totals.host_seconds;
  target.copy_seconds = totals.copy_seconds;
  target.engine_flops = static_cast<uint64_t>(totals.engine_flops);
  target.host_flops = static_cast<uint64_t>(totals.host_flops);
  target.engine_bytes_in = totals.bytes_in;
  target.engine_bytes_out = totals.bytes_out;
  target.retries = totals.retries;
  target.fallbacks = totals.fallbacks;
  target.audits = totals.audits;
  target.audit_error = totals.audit_error;
}

} // namespace anet::capi
