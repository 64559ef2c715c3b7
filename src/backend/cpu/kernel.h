// Runs a plan.
#pragma once

#include "backend/cpu/plan.h"
#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>

namespace anet::backend::cpu {

// The arena of one or several kernels.
class CpuWorkspace final : public Workspace {
public:
  size_t size_bytes() const override { return size_; }
  void reserve() override;
  // Raises what reserve() will allocate.
  void require(size_t size) { size_ = std::max(size_, size); }
  // Null, or too small for a kernel compiled since, until reserve() is called again.
  std::byte* data() const { return memory_.get(); }
  size_t reserved_bytes() const { return reserved_; }

private:
  size_t size_ = 0;
  size_t reserved_ = 0;
  AlignedMemory memory_;
};

class CpuKernel final : public Kernel {
public:
  // Runs the plan's preparation, and drops what only that needed.
  CpuKernel(Plan plan, std::shared_ptr<CpuWorkspace> workspace, std::shared_ptr<ThreadPool> pool);
  using Kernel::run;
  void run(std::span<const View> inputs, std::span<const View> outputs,
           const RunOptions& options) override;
  bool overflowed() const override { return overflowed_.load(std::memory_order_relaxed); }
  RunTotals totals() const override { return totals_; }
  Placement placement() const override { return {"cpu", plan_.fallback}; }

private:
  void prepare();
  void drop_unused_constants();

  Plan plan_;
  std::shared_ptr<CpuWorkspace> workspace_;
  std::shared_ptr<ThreadPool> pool_;
  std::vector<std::byte*> addresses_; // by storage; ports are filled in by run
  std::atomic<bool> overflowed_ = false;
  RunTotals totals_;
};

} // namespace anet::backend::cpu
