#include "base/flat_array.h"

#include <cstring>

namespace anet {

FlatArray::FlatArray(int64_t elements)
    : memory_(allocate_aligned(elements * static_cast<int64_t>(sizeof(float)))),
      elements_(elements) {
  std::memset(memory_.get(), 0, static_cast<size_t>(elements) * sizeof(float));
}

} // namespace anet
