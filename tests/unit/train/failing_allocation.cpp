// Replaces operator new, in a file of its own so that the compiler does not see both ends of a
// pair and take them for a mistake.
#include "failing_allocation.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

struct Failures {
  bool armed = false;
  bool stays = false;
  bool failed = false;
  int64_t before = 0; // allocations that do not fail
};

thread_local Failures failures;

bool is_to_fail() noexcept {
  if (!failures.armed || (failures.failed && !failures.stays)) return false;
  if (failures.before-- > 0) return false;
  failures.failed = true;
  return true;
}

void* allocate(size_t size) noexcept {
  return is_to_fail() ? nullptr : std::malloc(size == 0 ? 1 : size);
}

void* allocate_or_throw(size_t size) {
  if (void* memory = allocate(size)) return memory;
  throw std::bad_alloc();
}

} // namespace

// The sanitizers replace every form by itself, so all of them are replaced here.
void* operator new(size_t size) { return allocate_or_throw(size); }
void* operator new[](size_t size) { return allocate_or_throw(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace anet::test {

FailingAllocation::FailingAllocation(int64_t before, bool stays) {
  failures = {.armed = true, .stays = stays, .failed = false, .before = before};
}

FailingAllocation::~FailingAllocation() { failures = {}; }

bool FailingAllocation::failed() const { return failures.failed; }

} // namespace anet::test
