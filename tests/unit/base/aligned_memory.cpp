#include "base/aligned_memory.h"

#include "base/flat_array.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

using namespace anet;

TEST_CASE("memory is aligned and all of it is there, whatever its size") {
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{65}, (int64_t{4} << 20) - 1,
                              int64_t{4} << 20, (int64_t{7} << 20) + 1}) {
    CAPTURE(bytes);
    const AlignedMemory memory = allocate_aligned(bytes);
    CHECK(reinterpret_cast<uintptr_t>(memory.get()) % 64 == 0);
    std::memset(memory.get(), 1, static_cast<size_t>(bytes));
    CHECK(std::count(memory.get(), memory.get() + bytes, std::byte{1}) == bytes);
  }
}

TEST_CASE("parts of a piece are aligned and apart, and outlive the allocator") {
  constexpr int64_t piece = 1000;
  const int64_t sizes[] = {100, 0, 65, 700, 5000, 64, 1000, 1};
  std::vector<std::shared_ptr<std::byte>> parts;
  {
    PartAllocator allocator(piece);
    for (const int64_t size : sizes) {
      parts.push_back(allocator.allocate(size));
      const auto value = static_cast<unsigned char>(parts.size());
      CHECK(reinterpret_cast<uintptr_t>(parts.back().get()) % 64 == 0);
      std::memset(parts.back().get(), value, static_cast<size_t>(size));
    }
  }
  for (size_t i = 0; i < parts.size(); ++i)
    CHECK(std::count(parts[i].get(), parts[i].get() + sizes[i], std::byte(i + 1)) == sizes[i]);
  // The first three share a piece, which the fourth does not fit into.
  CHECK(parts[1].get() - parts[0].get() == 128);
  CHECK(parts[2].get() - parts[1].get() == 64);
  CHECK_FALSE(parts[3].owner_before(parts[4]) == parts[4].owner_before(parts[3]));
  CHECK(parts[0].owner_before(parts[2]) == parts[2].owner_before(parts[0]));
}

TEST_CASE("a flat array is zero, also where other things were") {
  for (int round = 0; round < 2; ++round) {
    FlatArray array(5000);
    const auto values = array.values();
    CHECK(values.size() == 5000);
    CHECK(std::count(values.begin(), values.end(), 0.0f) == 5000);
    std::fill(values.begin(), values.end(), 1.0f);
  }
  CHECK(FlatArray().values().empty());
}
