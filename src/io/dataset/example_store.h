// Training examples: token ids and, for each, whether the model learns to predict it.
#pragma once

#include "base/file.h"
#include "base/hash.h"
#include "io/dataset/spill.h"
#include "io/dataset/token_file.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace anet::io {

// Where an example comes from.
struct RowOrigin {
  uint32_t file = 0; // index into the files that were opened
  uint32_t line = 0; // from 1 on; 0 when there is none
};

// One token of an example: its id and, in the top bit, whether it is supervised.
class StoredToken {
public:
  StoredToken() = default;
  StoredToken(int32_t id, bool supervised)
      : bits_(static_cast<uint32_t>(id) | (supervised ? supervised_bit : 0)) {}

  int32_t id() const { return static_cast<int32_t>(bits_ & ~supervised_bit); }
  bool supervised() const { return (bits_ & supervised_bit) != 0; }

private:
  static constexpr uint32_t supervised_bit = uint32_t{1} << 31;
  uint32_t bits_ = 0;
};

// Immutable; usable from any thread. Memory: 16 bytes an example and 4 a token, in a temporary file
// once they are more than the writer's limit; of that file, little is in memory at a time.
class ExampleStore {
public:
  int64_t count() const { return static_cast<int64_t>(entries_.values().size()); }
  int64_t tokens() const { return static_cast<int64_t>(tokens_.values().size()); }
  // Tokens that are targets. The first token of an example never is: nothing comes before it.
  int64_t supervised_tokens() const { return supervised_; }
  int32_t vocab_size() const { return vocab_size_; }
  // Of ids, masks and boundaries; the origins do not count.
  const std::string& fingerprint() const { return fingerprint_; }
  bool in_memory() const { return !tokens_.spilled() && !entries_.spilled(); }

  // Valid as long as the store.
  std::span<const StoredToken> example(int64_t index) const;
  int64_t length(int64_t index) const; // in tokens
  RowOrigin origin(int64_t index) const;
  // Of all examples, one after another. Reading them all brings all into memory.
  std::span<const StoredToken> all_tokens() const { return tokens_.values(); }

private:
  friend class ExampleStoreWriter;
  friend class ExampleTokens;
  ExampleStore() = default;

  struct Entry {
    int64_t end = 0; // of its tokens
    RowOrigin origin;
  };
  const Entry& entry(int64_t index) const;
  void note_read(size_t tokens) const;

  SpillArray<StoredToken> tokens_;
  SpillArray<Entry> entries_;
  mutable std::atomic<int64_t> touched_{0}; // bytes of tokens_ that may have come into memory
  int64_t supervised_ = 0;
  int32_t vocab_size_ = 0;
  std::string fingerprint_;
};

struct ExampleStoreOptions {
  int64_t memory_limit = int64_t{256} << 20; // bytes, above which examples go to a file
  // Where that file is made (and at once unlinked: it is gone with the process); "" for TMPDIR, or
  // /var/tmp.
  std::string temporary_directory;
};

class ExampleStoreWriter {
public:
  explicit ExampleStoreWriter(int32_t vocab_size, const ExampleStoreOptions& options = {},
                              FileSystem& files = FileSystem::real());

  // `supervised` has one 0 or 1 for each id; empty: all are. Throws invalid_data, naming place and
  // value, for an id that is not in the vocabulary, and for fewer than 2 tokens or no supervised
  // one behind the first: there would be nothing to learn. Nothing is added then.
  void add(std::span<const int32_t> ids, std::span<const uint8_t> supervised,
           RowOrigin origin = {});
  int64_t count() const;
  int64_t tokens() const;
  // The writer is empty afterwards.
  std::shared_ptr<const ExampleStore> finish();

private:
  int64_t take_row(std::span<const int32_t> ids, std::span<const uint8_t> supervised);

  FileSystem* files_;
  ExampleStoreOptions options_;
  std::unique_ptr<ExampleStore> store_;
  Sha256 hash_;
  std::vector<StoredToken> row_;
};

// All examples one after another, for WindowDataset. Throws invalid_argument when part of the
// tokens is masked, because windows learn every token.
std::shared_ptr<const TokenSource> token_stream(std::shared_ptr<const ExampleStore> examples);

} // namespace anet::io
