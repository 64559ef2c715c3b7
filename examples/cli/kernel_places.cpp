#include "kernel_places.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace cli {

std::vector<KernelPlace> kernel_places(const Session& session) {
  std::vector<KernelPlace> kernels;
  for (size_t i = 0; i < anet_session_kernel_count(session.get()); ++i) {
    auto report = initialised<anet_kernel_report>();
    call(anet_session_get_kernel_report, session.get(), i, &report);
    kernels.push_back({report.label, report.where, report.reason, report.runs,
                       report.engine_evaluations, report.retries, report.fallbacks,
                       report.engine_flops, report.host_flops, report.audits, report.audit_error,
                       report.engine_seconds, report.host_seconds, report.copy_seconds});
  }
  return kernels;
}

bool same_places(const std::vector<KernelPlace>& left, const std::vector<KernelPlace>& right) {
  const auto place = [](const KernelPlace& kernel) {
    return std::tie(kernel.label, kernel.where, kernel.reason, kernel.retries, kernel.fallbacks);
  };
  return std::equal(
      left.begin(), left.end(), right.begin(), right.end(),
      [&place](const KernelPlace& a, const KernelPlace& b) { return place(a) == place(b); });
}

uint64_t sum_of(const std::vector<KernelPlace>& kernels, uint64_t KernelPlace::*counter) {
  return std::accumulate(
      kernels.begin(), kernels.end(), uint64_t{0},
      [counter](uint64_t total, const KernelPlace& kernel) { return total + kernel.*counter; });
}

double share_of_engine(const std::vector<KernelPlace>& kernels) {
  const auto engine = static_cast<double>(sum_of(kernels, &KernelPlace::engine_flops));
  const double total = engine + static_cast<double>(sum_of(kernels, &KernelPlace::host_flops));
  return total > 0 ? engine / total : 0;
}

Json kernel_json(const KernelPlace& kernel) {
  Json object = json_object();
  json_set(object, "label", kernel.label);
  json_set(object, "where", kernel.where);
  json_set(object, "reason", kernel.reason);
  json_set_count(object, "runs", kernel.runs);
  json_set_count(object, "evaluations", kernel.evaluations);
  json_set_count(object, "retries", kernel.retries);
  json_set_count(object, "fallbacks", kernel.fallbacks);
  json_set_count(object, "engine_flops", kernel.engine_flops);
  json_set_count(object, "host_flops", kernel.host_flops);
  json_set_count(object, "audits", kernel.audits);
  json_set(object, "audit_error", kernel.audit_error);
  json_set(object, "engine_seconds", kernel.engine_seconds);
  json_set(object, "host_seconds", kernel.host_seconds);
  json_set(object, "copy_seconds", kernel.copy_seconds);
  return object;
}

Json kernels_json(const std::vector<KernelPlace>& kernels) {
  Json array(cJSON_CreateArray());
  for (const KernelPlace& kernel : kernels)
    cJSON_AddItemToArray(array.get(), kernel_json(kernel).release());
  return array;
}

} // namespace cli
