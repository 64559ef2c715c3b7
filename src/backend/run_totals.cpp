#include "backend/run_totals.h"

#include <algorithm>

namespace anet::backend {

void add_totals(RunTotals& sum, const RunTotals& part) {
  sum.runs += part.runs;
  sum.evaluations += part.evaluations;
  sum.retries += part.retries;
  sum.fallbacks += part.fallbacks;
  sum.audits += part.audits;
  sum.engine_seconds += part.engine_seconds;
  sum.host_seconds += part.host_seconds;
  sum.copy_seconds += part.copy_seconds;
  sum.bytes_in += part.bytes_in;
  sum.bytes_out += part.bytes_out;
  sum.engine_flops += part.engine_flops;
  sum.host_flops += part.host_flops;
  sum.audit_error = std::max(sum.audit_error, part.audit_error);
}

RunTotals totals_since(const RunTotals& now, const RunTotals& before) {
  RunTotals result = now;
  result.runs -= before.runs;
  result.evaluations -= before.evaluations;
  result.retries -= before.retries;
  result.fallbacks -= before.fallbacks;
  result.audits -= before.audits;
  result.engine_seconds -= before.engine_seconds;
  result.host_seconds -= before.host_seconds;
  result.copy_seconds -= before.copy_seconds;
  result.bytes_in -= before.bytes_in;
  result.bytes_out -= before.bytes_out;
  result.engine_flops -= before.engine_flops;
  result.host_flops -= before.host_flops;
  if (result.audits == 0) result.audit_error = 0;
  return result;
}

} // namespace anet::backend
