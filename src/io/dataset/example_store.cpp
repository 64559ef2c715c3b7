#include "io/dataset/example_store.h"

#include "base/status.h"

#include <algorithm>
#include <utility>

namespace anet::io {
namespace {

// Pages of the temporary file stay in memory as long as nobody else needs it, which looks like our
// own use of it and, on some systems, counts as such. So they are given back now and then.
constexpr int64_t max_mapped_bytes = int64_t{64} << 20;
constexpr int64_t read_ahead_bytes = int64_t{64} << 10; // what the system maps around a read

} // namespace

// The examples' tokens, without their boundaries and masks.
class ExampleTokens final : public TokenSource {
public:
  explicit ExampleTokens(std::shared_ptr<const ExampleStore> examples)
      : examples_(std::move(examples)) {}

  int64_t size() const override { return examples_->tokens(); }
  void read(int64_t begin, std::span<int32_t> ids) const override {
    const auto count = static_cast<int64_t>(ids.size());
    if (begin < 0 || begin > size() || count > size() - begin)
      fail(Status::out_of_range, "expected tokens within ", size(), ", seen a read of ", count,
           " from position ", begin);
    examples_->note_read(ids.size());
    const std::span<const StoredToken> tokens =
        examples_->all_tokens().subspan(static_cast<size_t>(begin), ids.size());
    std::transform(tokens.begin(), tokens.end(), ids.begin(),
                   [](StoredToken token) { return token.id(); });
  }

private:
  std::shared_ptr<const ExampleStore> examples_;
};

const ExampleStore::Entry& ExampleStore::entry(int64_t index) const {
  if (index < 0 || index >= count())
    fail(Status::out_of_range, "expected an example below ", count(), ", seen ", index);
  return entries_.values()[static_cast<size_t>(index)];
}

std::span<const StoredToken> ExampleStore::example(int64_t index) const {
  const int64_t end = entry(index).end;
  const int64_t begin = index == 0 ? 0 : entry(index - 1).end;
  note_read(static_cast<size_t>(end - begin));
  return tokens_.values().subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

void ExampleStore::note_read(size_t tokens) const {
  if (!tokens_.spilled()) return;
  const int64_t bytes =
      std::max(static_cast<int64_t>(tokens * sizeof(StoredToken)), read_ahead_bytes);
  if (touched_.fetch_add(bytes, std::memory_order_relaxed) + bytes < max_mapped_bytes) return;
  touched_.store(0, std::memory_order_relaxed);
  tokens_.release();
}

int64_t ExampleStore::length(int64_t index) const {
  return entry(index).end - (index == 0 ? 0 : entry(index - 1).end);
}

RowOrigin ExampleStore::origin(int64_t index) const { return entry(index).origin; }

ExampleStoreWriter::ExampleStoreWriter(int32_t vocab_size, const ExampleStoreOptions& options,
                                       FileSystem& files)
    : files_(&files), options_(options), store_(new ExampleStore) {
  if (vocab_size < 1)
    fail(Status::invalid_argument, "expected a vocabulary of at least 1 token, seen ", vocab_size);
  if (options.memory_limit < 0)
    fail(Status::invalid_argument, "expected a memory limit of at least 0 bytes, seen ",
         options.memory_limit);
  store_->vocab_size_ = vocab_size;
}

int64_t ExampleStoreWriter::count() const { return static_cast<int64_t>(store_->entries_.size()); }

int64_t ExampleStoreWriter::tokens() const { return static_cast<int64_t>(store_->tokens_.size()); }

// Checks one example and leaves it in row_. Returns the number of its targets.
int64_t ExampleStoreWriter::take_row(std::span<const int32_t> ids,
                                     std::span<const uint8_t> supervised) {
  if (!supervised.empty() && supervised.size() != ids.size())
    fail(Status::invalid_data, "expected a mask of ", ids.size(), " values, one a token, seen ",
         supervised.size());
  if (ids.size() < 2)
    fail(Status::invalid_data, "expected at least 2 tokens to learn from, seen ", ids.size());
  row_.clear();
  row_.reserve(ids.size());
  int64_t targets = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= store_->vocab_size_)
      fail(Status::invalid_data, "expected token ids below ", store_->vocab_size_, ", seen ",
           ids[i], " at position ", i);
    const uint8_t mask = supervised.empty() ? 1 : supervised[i];
    if (mask > 1)
      fail(Status::invalid_data, "expected a mask of 0 and 1, seen ", int{mask}, " at position ",
           i);
    const bool target = mask == 1 && i > 0;
    row_.emplace_back(ids[i], target);
    targets += target ? 1 : 0;
  }
  if (targets == 0) fail(Status::invalid_data, "supervises 0 of ", ids.size(), " tokens");
  return targets;
}

void ExampleStoreWriter::add(std::span<const int32_t> ids, std::span<const uint8_t> supervised,
                             RowOrigin origin) {
  const int64_t targets = take_row(ids, supervised);
  ExampleStore& store = *store_;
  const size_t bytes = (store.tokens_.size() + row_.size()) * sizeof(StoredToken) +
                       (store.entries_.size() + 1) * sizeof(ExampleStore::Entry);
  if (bytes > static_cast<size_t>(options_.memory_limit) && !store.tokens_.spilled()) {
    store.tokens_.spill(options_.temporary_directory, *files_);
    store.entries_.spill(options_.temporary_directory, *files_);
  }
  store.tokens_.append(row_);
  const ExampleStore::Entry entry = {tokens(), origin};
  store.entries_.append(std::span(&entry, 1));
  store.supervised_ += targets;

  const auto size = static_cast<int64_t>(row_.size()); // so that boundaries count
  hash_.update(std::as_bytes(std::span(&size, 1)));
  hash_.update(std::as_bytes(std::span(row_)));
}

std::shared_ptr<const ExampleStore> ExampleStoreWriter::finish() {
  store_->tokens_.finish();
  store_->entries_.finish();
  store_->fingerprint_ = hash_.hex_digest();
  std::shared_ptr<const ExampleStore> finished = std::move(store_);
  *this = ExampleStoreWriter(finished->vocab_size(), options_, *files_);
  return finished;
}

std::shared_ptr<const TokenSource> token_stream(std::shared_ptr<const ExampleStore> examples) {
  const int64_t masked = examples->tokens() - examples->count() - examples->supervised_tokens();
  if (masked > 0)
    fail(Status::invalid_argument, "expected examples without a mask for windows, seen ", masked,
         " tokens that are not to be learned");
  return std::make_shared<const ExampleTokens>(std::move(examples));
}

} // namespace anet::io
