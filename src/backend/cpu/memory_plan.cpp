#include "backend/cpu/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace anet::backend::cpu {

namespace {

constexpr int64_t alignment = 64;

struct Placed {
  int64_t begin, end;
  int32_t first, last;
};

} // namespace

MemoryPlan plan_memory(const std::vector<Lifetime>& lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  MemoryPlan plan;
  plan.offsets.resize(lifetimes.size());
  std::vector<Placed> placed; // by begin
  for (const size_t i : order) {
    const Lifetime& lifetime = lifetimes[i];
    const int64_t bytes = (lifetime.bytes + alignment - 1) / alignment * alignment;
    int64_t offset = 0;
    for (const Placed& other : placed) {
      if (other.last < lifetime.first || lifetime.last < other.first) continue;
      if (offset + bytes <= other.begin) break;
      offset = std::max(offset, other.end);
    }
    const Placed mine{offset, offset + bytes, lifetime.first, lifetime.last};
    const auto at =
        std::upper_bound(placed.begin(), placed.end(), mine,
                         [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
    placed.insert(at, mine);
    plan.offsets[i] = offset;
    plan.size = std::max(plan.size, mine.end);
  }
  return plan;
}

} // namespace anet::backend::cpu
