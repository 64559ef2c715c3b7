// Times an engine segment against the host's version of it.
#include "backend/ane/kernel_builder.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace anet::backend::ane {

namespace {

struct Bindings {
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<View> views;
};

Bindings zeros(const Environment& environment, const std::vector<SegmentPort>& ports) {
  Bindings bindings;
  for (const SegmentPort& port : ports) {
    bindings.buffers.push_back(environment.allocate(port.layout));
    bindings.views.emplace_back(*bindings.buffers.back());
  }
  return bindings;
}

template <typename Run>
double median_seconds(Run&& run) {
  run(); // the first one loads, binds and allocates
  std::array<double, 3> seconds{};
  for (double& value : seconds) {
    const auto start = std::chrono::steady_clock::now();
    run();
    value = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[1];
}

} // namespace

std::optional<Measured> measure_sides(const Environment& environment, EngineSegment& segment,
                                      const std::vector<SegmentPort>& inputs,
                                      const std::vector<SegmentPort>& outputs) {
  const Bindings in = zeros(environment, inputs), out = zeros(environment, outputs);
  RunTotals ignored;
  Measured measured;
  measured.engine = median_seconds([&] { segment.run(in.views, out.views, false, ignored); });
  if (ignored.fallbacks > 0) return std::nullopt;
  measured.host = median_seconds([&] { segment.run_on_host(in.views, out.views, ignored); });
  return measured;
}

} // namespace anet::backend::ane
