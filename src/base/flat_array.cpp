#include "base/flat_array.h"

#include "base/status.h"

#include <cstdlib>
#include <cstring>

namespace anet {

namespace {

constexpr size_t alignment = 64; // a cache line, and the widest vector

} // namespace

void FlatArray::Free::operator()(float* data) const { std::free(data); }

FlatArray::FlatArray(int64_t elements) : elements_(elements) {
  const size_t bytes =
      (static_cast<size_t>(elements) * sizeof(float) + alignment - 1) / alignment * alignment;
  auto* data = static_cast<float*>(std::aligned_alloc(alignment, bytes));
  if (data == nullptr) fail(Status::out_of_memory, "cannot allocate ", bytes, " bytes");
  std::memset(data, 0, bytes);
  data_.reset(data);
}

} // namespace anet
