// Allocations that are counted, for tests of hot paths, or fail, for tests of what that leaves
// behind. For programs that link allocation.cpp.
#pragma once

#include <cstdint>

namespace anet::test {

// How often operator new was called so far, on any thread.
int64_t allocation_count();

// While it lives, an `operator new` of this thread throws std::bad_alloc: the one that comes after
// `before` others, and with `stays` all behind it. One at a time in a thread.
class FailingAllocation {
public:
  FailingAllocation(int64_t before, bool stays);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;

  bool failed() const; // whether there were so many
};

} // namespace anet::test
