// Sums and differences of what kernels have done.
#pragma once

#include "backend/backend.h"

namespace anet::backend {

void add_totals(RunTotals& sum, const RunTotals& part);
// What was done between two moments. The audit error, a largest value, is that of `now` when there
// were audits in between, else 0.
RunTotals totals_since(const RunTotals& now, const RunTotals& before);

} // namespace anet::backend
