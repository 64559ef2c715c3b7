// A kernel of the device "ane": segments that run in order, some on the engine, some on the host.
#pragma once

#include "backend/ane/engine_segment.h"
#include "backend/ane/scratch.h"
#include "backend/backend.h"

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace anet::backend::ane {

// A value that is a port of the kernel or lies between segments.
struct KernelValue {
  enum class Place : uint8_t { input, output, scratch };
  Place place = Place::scratch;
  size_t index = 0; // of the port, or in the scratch
  Layout layout;
};

struct KernelStep {
  std::unique_ptr<EngineSegment> engine; // or:
  std::unique_ptr<Kernel> host;
  std::vector<size_t> inputs; // values, by port of the segment
  std::vector<size_t> outputs;
  // Of the host's inputs that no peak of the engine tells of, by place among `inputs`.
  std::vector<std::pair<size_t, Inspection>> inspections;
  bool accumulates = false;    // adds to what the caller's buffers hold
  bool background = false;     // nothing waits for it
  bool may_look_later = false; // overflows show in ports of the kernel, which a caller can keep
};

struct KernelParts {
  std::string label;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<KernelValue> values;
  std::vector<KernelStep> steps; // background ones last
  std::shared_ptr<Scratch> scratch;
  std::shared_ptr<AneWorkspace> workspace;
  KernelStatistics statistics;
  bool audited = false;
  std::string reason; // why parts are on the host from the beginning
};

class AneKernel final : public Kernel {
public:
  AneKernel(std::shared_ptr<Environment> environment, KernelParts parts);
  ~AneKernel() override; // waits for its background work
  AneKernel(const AneKernel&) = delete;
  AneKernel& operator=(const AneKernel&) = delete;

  using Kernel::run;
  void run(std::span<const View> inputs, std::span<const View> outputs,
           const RunOptions& options) override;
  void synchronize() override;
  bool overflowed() const override;
  RunTotals totals() const override;
  Placement placement() const override;

private:
  // The views of a step; layouts are set once, buffers and offsets in each run.
  struct BoundViews {
    std::vector<View> inputs;
    std::vector<View> outputs;
  };
  // The background's share of one run.
  class Epilogue final : public Background::Job {
  public:
    Epilogue(AneKernel& kernel, size_t set) : kernel_(kernel), set_(set) {}

  protected:
    void run() noexcept override;

  private:
    AneKernel& kernel_;
    size_t set_;
  };

  void bind(std::span<const View> inputs, std::span<const View> outputs);
  void run_foreground(KernelStep& step, BoundViews& views, bool audit);
  void run_epilogue(size_t set);
  static bool run_host(const KernelStep& step, const BoundViews& views, ThreadPool& pool);
  void record_changes();

  std::shared_ptr<Environment> environment_;
  KernelParts parts_;
  std::array<std::vector<BoundViews>, 2> views_; // by set, by step
  std::array<Epilogue, 2> epilogues_;
  bool has_background_steps_ = false;
  bool may_look_later_ = false;       // one of the steps
  std::array<bool, 2> looks_later_{}; // by set: the run that bound it
  size_t set_ = 0;
  bool overflowed_ = false;
  bool synchronized_ = false; // since the last run
  RunTotals totals_;
  mutable std::mutex mutex_;           // of what follows
  bool background_overflowed_ = false; // of the runs since a synchronize
  std::exception_ptr background_error_;
  RunTotals background_totals_; // host_seconds and host_flops
  std::shared_ptr<PlacementRecord> record_;
  uint64_t changes_ = 0;
};

} // namespace anet::backend::ane
