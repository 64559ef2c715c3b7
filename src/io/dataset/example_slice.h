// Part of the examples, as a store of its own.
#pragma once

#include "io/dataset/example_store.h"

namespace anet::io {

// Copies examples [begin, end). Throws out_of_range for a range that is empty or leaves the store.
std::shared_ptr<const ExampleStore> slice_examples(const ExampleStore& examples, int64_t begin,
                                                   int64_t end,
                                                   const ExampleStoreOptions& options = {});

} // namespace anet::io
