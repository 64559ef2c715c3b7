// Training examples in a shuffled order that can be entered anywhere: the i-th item is a pure
// function of (data, seed, i), so a run's whole data state is one integer.
#pragma once

#include "io/dataset/token_file.h"
#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

inline constexpr int32_t ignored_target = -1;

// `count` rows, row-major [count, sequence_length]. targets[t] is the token that follows inputs[t],
// or ignored_target. positions[t] is the token's place in its document; it is 0 or one more than
// its neighbour's, and attention never looks past a 0.
struct Batch {
  int64_t count = 0;
  int64_t sequence_length = 0;
  // Every row is as many examples of equal space side by side; 1 unless lengths are bucketed.
  int64_t parts = 1;
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;
  std::vector<int32_t> positions;

  void resize(int64_t new_count, int64_t new_sequence_length);
};

// One row of a batch; each span has sequence_length elements.
struct ExampleRow {
  std::span<int32_t> inputs;
  std::span<int32_t> targets;
  std::span<int32_t> positions;
};

struct DatasetOrder {
  bool shuffle = true; // false: file order, every epoch the same
  uint64_t seed = 0;
};

// Immutable; usable from any thread.
class Dataset {
public:
  virtual ~Dataset() = default;

  virtual int64_t count() const = 0; // rows in one epoch, at least 1
  virtual int64_t sequence_length() const = 0;
  // SHA-256 in hexadecimal of the tokens, the masks and what decides their order: datasets with
  // equal ones give the same items. The first call may have to read all data.
  virtual std::string fingerprint() const = 0;

  int64_t epoch(int64_t index) const { return index / count(); }
  // Which row the index-th item of the run is. Every row appears once in each epoch.
  int64_t example_index(int64_t index) const;
  // Items [first, first + batch.count) of the run; they may cross into the next epoch. Resizes the
  // batch, without allocating if it has been as large before. Throws invalid_argument if the rows
  // differ in their number of parts: then only whole groups can be read.
  void read(int64_t first, int64_t count, Batch& batch) const;
  Batch batch(int64_t first, int64_t count) const;

  // Fills the row-th row, padded with ignored targets where there is nothing to learn.
  virtual void read_example(int64_t row_index, const ExampleRow& row) const = 0;
  // Examples side by side in the row; see Batch.
  virtual int64_t parts(int64_t /*row_index*/) const { return 1; }

protected:
  // Each `group` consecutive rows stay together when epochs are shuffled; count() is a multiple.
  explicit Dataset(DatasetOrder order, int64_t group = 1) : order_(order), group_(group) {}
  const DatasetOrder& order() const { return order_; }

private:
  DatasetOrder order_;
  int64_t group_;
};

// A half-open range of tokens of a source.
struct TokenRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// Consecutive windows of sequence_length + 1 tokens. Neighbours share one token, so each token but
// the first is a target exactly once; a tail that fills no window is left out.
class WindowDataset final : public Dataset {
public:
  // Throws invalid_data, saying how many tokens are needed, if not one window fits.
  WindowDataset(std::shared_ptr<const TokenSource> tokens, TokenRange range,
                int64_t sequence_length, DatasetOrder order);

  int64_t count() const override { return count_; }
  int64_t sequence_length() const override { return sequence_length_; }
  // Does not depend on where the tokens are kept: text and a file of its tokens agree.
  std::string fingerprint() const override;
  void read_example(int64_t row_index, const ExampleRow& row) const override;

private:
  std::shared_ptr<const TokenSource> tokens_;
  TokenRange range_;
  int64_t sequence_length_;
  int64_t count_;
  mutable std::once_flag fingerprint_once_;
  mutable std::string fingerprint_; // written once, under the flag
};

struct DatasetSplit {
  TokenRange train;
  TokenRange validation; // the tail, no token in common with train; empty if the fraction is 0
};

// fraction is in [0, 1). A fraction above 0 leaves at least one window in each part, or throws
// invalid_data, which says how many tokens are needed.
DatasetSplit split_tokens(int64_t tokens, double validation_fraction, int64_t sequence_length);

// Text in memory, tokenised at once.
std::shared_ptr<const TokenSource> tokenize_text(const Tokenizer& tokenizer, std::string_view text,
                                                 const EncodeOptions& options = {});

} // namespace anet::io
