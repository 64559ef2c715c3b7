// Training examples in a shuffled order that can be entered anywhere: the i-th item is a pure
// function of (data, seed, i), so a run's whole data state is one integer.
#pragma once

#include "io/dataset/token_file.h"
#include "io/tokenizer/tokenizer.h"

#include <cstdint>
#include <memory>
#include <span>
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

  virtual int64_t count() const = 0; // examples in one epoch, at least 1
  virtual int64_t sequence_length() const = 0;

  int64_t epoch(int64_t index) const { return index / count(); }
  // Which example the index-th item of the run is. Every example appears once in each epoch.
  int64_t example_index(int64_t index) const;
  // Items [first, first + batch.count) of the run; they may cross into the next epoch. Resizes the
  // batch, without allocating if it has been as large before.
  void read(int64_t first, int64_t count, Batch& batch) const;
  Batch batch(int64_t first, int64_t count) const;

  // Fills the row with one example, padded with ignored targets if it is shorter.
  virtual void read_example(int64_t example, const ExampleRow& row) const = 0;

protected:
  explicit Dataset(DatasetOrder order) : order_(order) {}

private:
  DatasetOrder order_;
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
  void read_example(int64_t example, const ExampleRow& row) const override;

private:
  std::shared_ptr<const TokenSource> tokens_;
  TokenRange range_;
  int64_t sequence_length_;
  int64_t count_;
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
