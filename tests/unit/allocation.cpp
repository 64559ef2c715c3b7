// Replaces operator new, in a file of its own so that the compiler does not see both ends of a
// pair and take them for a mistake.
#include "allocation.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#if defined(__linux__)
#include <link.h>
#endif

namespace {

std::atomic<int64_t> allocations{0};

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

#if defined(__aarch64__) && defined(__linux__)

// oneDNN 2 has a plain loop there, which allocates; what it does inside is not ours to count.
struct AddressRange {
  uintptr_t begin = 0, end = 0;
};

AddressRange find_onednn() {
  AddressRange range;
  const auto visit = [](dl_phdr_info* info, size_t, void* result) {
    if (std::strstr(info->dlpi_name, "libdnnl.so") == nullptr) return 0;
    auto& found = *static_cast<AddressRange*>(result);
    found.begin = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; ++i)
      found.end = std::max<uintptr_t>(found.end, info->dlpi_addr + info->dlpi_phdr[i].p_vaddr +
                                                     info->dlpi_phdr[i].p_memsz);
    return 1;
  };
  dl_iterate_phdr(visit, &range);
  return range;
}

bool is_counted(const void* caller) {
  static const AddressRange onednn = find_onednn();
  const auto address = reinterpret_cast<uintptr_t>(caller);
  return address < onednn.begin || address >= onednn.end;
}

#else

bool is_counted(const void*) { return true; }

#endif

void* allocate(size_t size, const void* caller) noexcept {
  if (is_counted(caller)) allocations.fetch_add(1, std::memory_order_relaxed);
  return is_to_fail() ? nullptr : std::malloc(size == 0 ? 1 : size);
}

void* allocate_or_throw(size_t size, const void* caller) {
  if (void* memory = allocate(size, caller)) return memory;
  throw std::bad_alloc();
}

} // namespace

// The sanitizers replace every form by itself, so all of them are replaced here.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, __builtin_return_address(0));
}
void* operator new(size_t size) { return allocate_or_throw(size, __builtin_return_address(0)); }
void* operator new[](size_t size) { return allocate_or_throw(size, __builtin_return_address(0)); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, __builtin_return_address(0));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace anet::test {

int64_t allocation_count() { return allocations.load(); }

FailingAllocation::FailingAllocation(int64_t before, bool stays) {
  failures = {.armed = true, .stays = stays, .failed = false, .before = before};
}

FailingAllocation::~FailingAllocation() { failures = {}; }

bool FailingAllocation::failed() const { return failures.failed; }

} // namespace anet::test
