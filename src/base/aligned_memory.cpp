#include "base/aligned_memory.h"

#include "base/status.h"

#include <algorithm>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace anet {

namespace {

constexpr size_t small_alignment = 64;
constexpr size_t huge_page = size_t{2} << 20;
// From here on the pages that are huge outnumber those at the ends that are not.
constexpr size_t large_size = 2 * huge_page;

} // namespace

void FreeMemory::operator()(std::byte* memory) const { std::free(memory); }

AlignedMemory allocate_aligned(int64_t bytes) {
  const auto wanted = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  const size_t size = (wanted + small_alignment - 1) / small_alignment * small_alignment;
#if defined(__linux__)
  const bool large = size >= large_size;
#else
  constexpr bool large = false; // other systems choose their pages themselves
#endif
  void* memory = nullptr;
  if (posix_memalign(&memory, large ? huge_page : small_alignment, size) != 0)
    fail(Status::out_of_memory, "cannot allocate ", size, " bytes");
#if defined(__linux__)
  // Systems give huge pages mostly to those who ask. A refusal costs speed alone.
  if (large) madvise(memory, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return AlignedMemory(static_cast<std::byte*>(memory));
}

std::shared_ptr<std::byte> PartAllocator::allocate(int64_t bytes) {
  constexpr auto alignment = static_cast<int64_t>(small_alignment);
  const int64_t size = (std::max<int64_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  if (size > left_) {
    const int64_t fresh = std::max(size, piece_bytes_);
    piece_ = allocate_aligned(fresh);
    left_ = fresh;
    taken_ = 0;
  }
  std::shared_ptr<std::byte> part(piece_, piece_.get() + taken_);
  taken_ += size;
  left_ -= size;
  return part;
}

} // namespace anet
