#include "backend/cpu/kernel.h"

#include "backend/view_checks.h"
#include "base/status.h"

#include <chrono>

namespace anet::backend::cpu {

void CpuWorkspace::reserve() {
  if (size_ <= reserved_) return;
  memory_.reset(); // before allocating: the two need not exist at once
  reserved_ = 0;
  memory_ = allocate_aligned(static_cast<int64_t>(size_));
  reserved_ = size_;
}

CpuKernel::CpuKernel(Plan plan, std::shared_ptr<CpuWorkspace> workspace,
                     std::shared_ptr<ThreadPool> pool)
    : plan_(std::move(plan)), workspace_(std::move(workspace)), pool_(std::move(pool)) {
  inputs_ = plan_.inputs;
  outputs_ = plan_.outputs;
  statistics_.workspace_bytes = static_cast<size_t>(plan_.workspace_bytes);
  statistics_.constant_bytes = static_cast<size_t>(plan_.constant_bytes);
  statistics_.flops = plan_.flops;
  statistics_.op_count = plan_.op_count;
  workspace_->require(statistics_.workspace_bytes);
  addresses_.resize(plan_.storages.size(), nullptr);
  for (size_t s = 0; s < plan_.storages.size(); ++s) {
    const Storage& storage = plan_.storages[s];
    if (storage.kind != Storage::Kind::constant) continue;
    // Steps never write to constants that they do not own.
    addresses_[s] = storage.owned ? storage.owned.get() : const_cast<std::byte*>(storage.literal);
  }
  prepare();
  drop_unused_constants();
}

void CpuKernel::prepare() {
  const RunContext context{addresses_.data(), pool_.get(), &overflowed_};
  for (const PlannedStep& planned : plan_.prepare) planned.step->run(context);
  plan_.prepare.clear();
}

void CpuKernel::drop_unused_constants() {
  std::vector<bool> used(plan_.storages.size(), false);
  for (const PlannedStep& planned : plan_.steps) {
    for (const int32_t storage : planned.storages) used[static_cast<size_t>(storage)] = true;
  }
  for (size_t s = 0; s < used.size(); ++s) {
    if (!used[s]) plan_.storages[s].owned.reset();
  }
}

void CpuKernel::run(std::span<const View> inputs, std::span<const View> outputs,
                    const RunOptions& /*options*/) {
  check_views(inputs_, inputs, "input");
  check_views(outputs_, outputs, "output");
  check_overlap(inputs_, inputs, outputs_, outputs);
  if (workspace_->reserved_bytes() < statistics_.workspace_bytes) {
    fail(Status::invalid_state, "expected a workspace of ", statistics_.workspace_bytes,
         " reserved bytes, got ", workspace_->reserved_bytes());
  }
  for (size_t s = 0; s < plan_.storages.size(); ++s) {
    const Storage& storage = plan_.storages[s];
    switch (storage.kind) {
    case Storage::Kind::constant:
      break;
    case Storage::Kind::temporary:
      addresses_[s] = workspace_->data() + storage.offset;
      break;
    case Storage::Kind::input:
      addresses_[s] = inputs[storage.index].buffer->data() + inputs[storage.index].offset;
      break;
    case Storage::Kind::output:
      addresses_[s] = outputs[storage.index].buffer->data() + outputs[storage.index].offset;
      break;
    }
  }
  overflowed_.store(false, std::memory_order_relaxed);
  const auto start = std::chrono::steady_clock::now();
  const RunContext context{addresses_.data(), pool_.get(), &overflowed_};
  for (const PlannedStep& planned : plan_.steps) planned.step->run(context);
  totals_.runs += 1;
  totals_.host_flops += statistics_.flops;
  totals_.host_seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace anet::backend::cpu
