// Allocations that fail, one after another, for tests of what a failure leaves behind.
#pragma once

#include <cstdint>

namespace anet::test {

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
