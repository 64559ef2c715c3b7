#include "io/dataset/example_slice.h"

#include "base/status.h"

#include <vector>

namespace anet::io {

std::shared_ptr<const ExampleStore> slice_examples(const ExampleStore& examples, int64_t begin,
                                                   int64_t end,
                                                   const ExampleStoreOptions& options) {
  if (begin < 0 || begin >= end || end > examples.count())
    fail(Status::out_of_range, "expected a range within ", examples.count(), " examples, seen ",
         begin, " to ", end);
  ExampleStoreWriter writer(examples.vocab_size(), options);
  std::vector<int32_t> ids;
  std::vector<uint8_t> supervised;
  for (int64_t i = begin; i < end; ++i) {
    ids.clear();
    supervised.clear();
    for (const StoredToken token : examples.example(i)) {
      ids.push_back(token.id());
      supervised.push_back(token.supervised() ? 1 : 0);
    }
    writer.add(ids, supervised, examples.origin(i));
  }
  return writer.finish();
}

} // namespace anet::io
