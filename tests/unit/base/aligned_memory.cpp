#include "base/aligned_memory.h"

#include "base/flat_array.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

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
