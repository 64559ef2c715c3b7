// One unit of work in a plan. Everything a step needs is decided when it is made; run() only
// resolves addresses.
#pragma once

#include "backend/cpu/operand.h"
#include "base/thread_pool.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

namespace anet::backend::cpu {

struct RunContext {
  std::byte* const* addresses; // of each storage
  ThreadPool* pool;
  std::atomic<bool>* overflowed; // set by steps that watch for it
};

template <typename T>
T* address(const RunContext& context, const Operand& x) {
  return reinterpret_cast<T*>(context.addresses[x.storage] + x.offset * element_size(x.dtype));
}

class Step {
public:
  virtual ~Step() = default;
  virtual void run(const RunContext& context) const = 0;
};

// Work that is too small to be worth waking a thread for, in elements of cheap operations.
inline constexpr int64_t parallel_grain = 8192;
// The same for products, in multiply-adds.
inline constexpr int64_t parallel_work = 1 << 16;
inline constexpr int64_t parallel_narrow_work = 1 << 18; // of bf16 and int8, which are faster

} // namespace anet::backend::cpu
