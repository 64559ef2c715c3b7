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

// Cuts memory that is kept for long out of pieces of at least so many bytes, so that parts which
// are too small for huge pages share them. A piece lives as long as one of its parts.
class PartAllocator {
public:
  explicit PartAllocator(int64_t piece_bytes) : piece_bytes_(piece_bytes) {}

  std::shared_ptr<std::byte> allocate(int64_t bytes); // uninitialised; throws out_of_memory

private:
  int64_t piece_bytes_;
  std::shared_ptr<std::byte[]> piece_;
  int64_t left_ = 0, taken_ = 0; // of the piece
};

} // namespace anet
