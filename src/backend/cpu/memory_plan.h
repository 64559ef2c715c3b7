// Where each temporary lies in the arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace anet::backend::cpu {

// A temporary is alive from the step that first touches it to the last, both included.
struct Lifetime {
  int64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
};

struct MemoryPlan {
  std::vector<int64_t> offsets; // one for each lifetime, multiples of 64
  int64_t size = 0;
};

// The largest temporaries choose first, each the lowest place that is free for all its life.
MemoryPlan plan_memory(const std::vector<Lifetime>& lifetimes);

} // namespace anet::backend::cpu
