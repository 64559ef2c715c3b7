// Datasets over examples: one a row, several packed into a row, or several of like length side by
// side.
#pragma once

#include "io/dataset/dataset.h"
#include "io/dataset/example_store.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace anet::io {

enum class RowLayout : int32_t {
  // One example a row. Positions run on over the padding.
  padded = 0,
  // Several examples a row, each with positions from 0: the session confines attention to them.
  // Short examples fill what longer ones leave (best fit, longest first).
  packed = 1,
  // Rows of 1, 2, 4, ... examples side by side, each in an equal part of the row.
  bucketed = 2,
};

// What becomes of an example of more than sequence_length + 1 tokens.
enum class LongExamples : int32_t {
  truncate = 0, // its end is cut off
  skip = 1,
  split = 2, // pieces that share one token, each with positions from 0
};

struct RowOptions {
  int64_t sequence_length = 0;
  RowLayout layout = RowLayout::padded;
  LongExamples long_examples = LongExamples::truncate;
  // For bucketed rows. All rows of a micro-batch have the same number of parts, so the batch size
  // must be known; 2^length_buckets is the largest number of parts and divides sequence_length.
  int64_t batch_size = 1;
  int32_t length_buckets = 3;
};

// What the layout made of the examples.
struct RowReport {
  int64_t rows = 0;
  int64_t pieces = 0;    // examples in rows, the parts of a split one counted singly
  int64_t truncated = 0; // examples that lost their end
  int64_t skipped = 0;   // examples that were too long
  int64_t split = 0;     // examples in more than one piece
  // Pieces without a supervised token, which are left out: of truncated examples, whose supervised
  // tokens were all cut off, and of split ones.
  int64_t nothing_to_learn = 0;
  int64_t lost_supervised = 0;   // supervised tokens that are in no row
  int64_t supervised_tokens = 0; // targets of an epoch
  int64_t positions = 0;         // that hold an example
  // Rows of each number of parts, 1, 2, 4, ...
  std::vector<int64_t> rows_by_parts;

  // Part of the computation that is not padding.
  double density(int64_t sequence_length) const;
};

class ExampleDataset final : public Dataset {
public:
  // Reads all examples once. Throws invalid_argument for options that do not fit and invalid_data
  // when no example is left.
  ExampleDataset(std::shared_ptr<const ExampleStore> examples, const RowOptions& options,
                 DatasetOrder order);

  int64_t count() const override;
  int64_t sequence_length() const override { return options_.sequence_length; }
  std::string fingerprint() const override;
  void read_example(int64_t row_index, const ExampleRow& row) const override;
  int64_t parts(int64_t row_index) const override;

  const RowOptions& options() const { return options_; }
  const RowReport& report() const { return report_; }
  // Which examples are in the row, in order; a split one can be there more than once.
  std::vector<int64_t> examples_of(int64_t row_index) const;

private:
  // Tokens [begin, begin + sequence_length + 1) of an example, as far as it goes.
  struct Piece {
    uint32_t example = 0;
    uint32_t number = 0; // begin is number * sequence_length
  };

  void collect_pieces();
  void collect_long(int64_t example);
  // Adds the piece if there is something to learn in it.
  void add_long_piece(int64_t example, int64_t number);
  int64_t positions_of(const Piece& piece) const;
  void shuffle_pieces();
  void pack();
  void fill_buckets();
  void add_bucket_rows(std::span<const Piece> pieces, int shift);
  std::span<const Piece> pieces_of(int64_t row_index) const;
  void write_piece(const Piece& piece, const ExampleRow& row, int64_t offset) const;

  std::shared_ptr<const ExampleStore> store_;
  RowOptions options_;
  RowReport report_;
  std::vector<Piece> pieces_;      // in order of rows
  std::vector<int64_t> row_begin_; // first piece of each row, and the end of the last
  std::vector<uint8_t> row_shift_; // log2 of its parts; empty when all have one
};

} // namespace anet::io
