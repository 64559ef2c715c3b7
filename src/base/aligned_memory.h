// Memory for what programs compute on: aligned to 64 bytes, a cache line and the widest vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace anet {

struct FreeMemory {
  void operator()(std::byte* memory) const;
};

using AlignedMemory = std::unique_ptr<std::byte[], FreeMemory>;

// Uninitialised, never null. Large ones ask Linux for huge pages. Throws out_of_memory.
AlignedMemory allocate_aligned(int64_t bytes);

} // namespace anet
