#include "io/dataset/example_dataset.h"

#include "base/random.h"
#include "base/status.h"
#include "io/dataset/fingerprint.h"
#include "io/dataset/packing.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

namespace anet::io {
namespace {

// Sets the order in which examples are laid out apart from the order of rows.
constexpr uint64_t layout_stream = uint64_t{0x6c61796f} << 32; // "layo"
constexpr int64_t max_count = std::numeric_limits<uint32_t>::max();
constexpr int32_t padding_id = 0; // in every vocabulary; nothing is learned from it

const RowOptions& checked(const RowOptions& options) {
  if (options.sequence_length < 1)
    fail(Status::invalid_argument, "expected a sequence length of at least 1, seen ",
         options.sequence_length);
  const auto layout = static_cast<int32_t>(options.layout);
  if (layout < 0 || layout > static_cast<int32_t>(RowLayout::bucketed))
    fail(Status::invalid_argument, "expected a row layout from 0 to 2, seen ", layout);
  const auto policy = static_cast<int32_t>(options.long_examples);
  if (policy < 0 || policy > static_cast<int32_t>(LongExamples::split))
    fail(Status::invalid_argument, "expected a way to treat long examples from 0 to 2, seen ",
         policy);
  if (options.layout != RowLayout::bucketed) return options;
  if (options.batch_size < 1)
    fail(Status::invalid_argument, "expected a batch size of at least 1, seen ",
         options.batch_size);
  if (options.length_buckets < 0 || options.length_buckets > 16)
    fail(Status::invalid_argument, "expected length buckets from 0 to 16, seen ",
         options.length_buckets);
  const int64_t parts = int64_t{1} << options.length_buckets;
  if (options.sequence_length % parts != 0)
    fail(Status::invalid_argument, "expected a sequence length that ", parts,
         " parts divide (length buckets ", options.length_buckets, "), seen ",
         options.sequence_length);
  return options;
}

int64_t group_of(const RowOptions& options) {
  return options.layout == RowLayout::bucketed ? options.batch_size : 1;
}

int64_t count_supervised(std::span<const StoredToken> tokens) {
  return std::count_if(tokens.begin(), tokens.end(),
                       [](StoredToken token) { return token.supervised(); });
}

} // namespace

double RowReport::density(int64_t sequence_length) const {
  const auto space = static_cast<double>(rows) * static_cast<double>(sequence_length);
  return space > 0 ? static_cast<double>(positions) / space : 0.0;
}

ExampleDataset::ExampleDataset(std::shared_ptr<const ExampleStore> examples,
                               const RowOptions& options, DatasetOrder order)
    : Dataset(order, group_of(checked(options))), store_(std::move(examples)), options_(options) {
  if (store_->count() > max_count)
    fail(Status::unsupported, "expected at most ", max_count, " examples, seen ", store_->count());
  collect_pieces();
  if (pieces_.empty())
    fail(Status::invalid_data, "expected at least one example for sequences of ",
         options.sequence_length, " tokens, seen ", store_->count(), " of which ", report_.skipped,
         " are too long and ", report_.nothing_to_learn, " have nothing left to learn");
  report_.pieces = static_cast<int64_t>(pieces_.size());
  report_.supervised_tokens = store_->supervised_tokens() - report_.lost_supervised;
  for (const Piece& piece : pieces_) report_.positions += positions_of(piece);
  if (options.layout == RowLayout::packed) pack();
  if (options.layout == RowLayout::bucketed) fill_buckets();
  report_.rows = count();
  if (options.layout != RowLayout::bucketed) report_.rows_by_parts = {report_.rows};
}

int64_t ExampleDataset::positions_of(const Piece& piece) const {
  const int64_t begin = piece.number * options_.sequence_length;
  return std::min(options_.sequence_length, store_->length(piece.example) - 1 - begin);
}

void ExampleDataset::collect_pieces() {
  pieces_.reserve(static_cast<size_t>(store_->count()));
  for (int64_t example = 0; example < store_->count(); ++example) {
    if (store_->length(example) - 1 <= options_.sequence_length)
      pieces_.push_back({static_cast<uint32_t>(example), 0});
    else
      collect_long(example);
  }
}

void ExampleDataset::collect_long(int64_t example) {
  const std::span<const StoredToken> tokens = store_->example(example);
  const int64_t length = options_.sequence_length;
  switch (options_.long_examples) {
  case LongExamples::truncate:
    ++report_.truncated;
    report_.lost_supervised += count_supervised(tokens.subspan(static_cast<size_t>(length) + 1));
    add_long_piece(example, 0);
    return;
  case LongExamples::skip:
    ++report_.skipped;
    report_.lost_supervised += count_supervised(tokens);
    return;
  case LongExamples::split:
    ++report_.split;
    // Neighbours share a token, as windows do: each but the first is a target once.
    for (int64_t number = 0; number * length + 1 < static_cast<int64_t>(tokens.size()); ++number)
      add_long_piece(example, number);
    return;
  }
}

void ExampleDataset::add_long_piece(int64_t example, int64_t number) {
  if (number > max_count)
    fail(Status::unsupported, "expected examples of at most ", max_count, " pieces, seen more");
  const Piece piece{static_cast<uint32_t>(example), static_cast<uint32_t>(number)};
  const std::span<const StoredToken> targets =
      store_->example(example).subspan(static_cast<size_t>(number * options_.sequence_length + 1),
                                       static_cast<size_t>(positions_of(piece)));
  if (count_supervised(targets) == 0)
    ++report_.nothing_to_learn;
  else
    pieces_.push_back(piece);
}

// So that examples that are neighbours in a file do not end up in the same row.
void ExampleDataset::shuffle_pieces() {
  if (!order().shuffle) return;
  const Permutation permutation(pieces_.size(), order().seed, layout_stream);
  std::vector<Piece> shuffled(pieces_.size());
  for (size_t i = 0; i < pieces_.size(); ++i) shuffled[i] = pieces_[permutation(i)];
  pieces_ = std::move(shuffled);
}

void ExampleDataset::pack() {
  shuffle_pieces();
  std::vector<int64_t> lengths(pieces_.size());
  std::transform(pieces_.begin(), pieces_.end(), lengths.begin(),
                 [&](const Piece& piece) { return positions_of(piece); });
  Packing packing = pack_best_fit(lengths, options_.sequence_length);
  std::vector<Piece> packed(pieces_.size());
  std::transform(packing.items.begin(), packing.items.end(), packed.begin(),
                 [&](uint32_t item) { return pieces_[item]; });
  pieces_ = std::move(packed);
  row_begin_ = std::move(packing.row_begin);
}

void ExampleDataset::fill_buckets() {
  shuffle_pieces();
  const int buckets = options_.length_buckets;
  std::vector<std::vector<Piece>> by_shift(static_cast<size_t>(buckets) + 1);
  for (const Piece& piece : pieces_) {
    int shift = buckets;
    while ((options_.sequence_length >> shift) < positions_of(piece)) --shift;
    by_shift[static_cast<size_t>(shift)].push_back(piece);
  }
  pieces_.clear();
  row_begin_.assign(1, 0);
  report_.rows_by_parts.assign(by_shift.size(), 0);
  for (int shift = buckets; shift >= 0; --shift) {
    std::vector<Piece>& pieces = by_shift[static_cast<size_t>(shift)];
    // A few left over cost less in rows of half as many parts than in a batch of their own.
    const size_t batch = static_cast<size_t>(options_.batch_size) << shift;
    const size_t left = pieces.size() % batch;
    if (shift > 0 && left * 2 <= batch) {
      std::vector<Piece>& next = by_shift[static_cast<size_t>(shift) - 1];
      next.insert(next.end(), pieces.end() - static_cast<ptrdiff_t>(left), pieces.end());
      pieces.resize(pieces.size() - left);
    }
    add_bucket_rows(pieces, shift);
  }
}

// Rows of 2^shift parts, a multiple of the batch size; the last ones have empty parts.
void ExampleDataset::add_bucket_rows(std::span<const Piece> pieces, int shift) {
  const auto batch = static_cast<int64_t>(options_.batch_size) << shift;
  const auto size = static_cast<int64_t>(pieces.size());
  const int64_t rows = (size + batch - 1) / batch * options_.batch_size;
  const auto begin = static_cast<int64_t>(pieces_.size());
  pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  for (int64_t row = 1; row <= rows; ++row)
    row_begin_.push_back(begin + std::min(row << shift, size));
  row_shift_.insert(row_shift_.end(), static_cast<size_t>(rows), static_cast<uint8_t>(shift));
  report_.rows_by_parts[static_cast<size_t>(shift)] = rows;
}

int64_t ExampleDataset::count() const {
  return static_cast<int64_t>(row_begin_.empty() ? pieces_.size() : row_begin_.size() - 1);
}

std::string ExampleDataset::fingerprint() const {
  Fingerprint print("examples in rows, version 1"); // counts up when the same options give others
  print.number(options_.sequence_length);
  print.number(static_cast<int64_t>(options_.layout));
  print.number(static_cast<int64_t>(options_.long_examples));
  print.number(options_.layout == RowLayout::bucketed ? options_.batch_size : 0);
  print.number(options_.layout == RowLayout::bucketed ? options_.length_buckets : 0);
  print.order(order());
  print.text(store_->fingerprint());
  return print.hex_digest();
}

std::span<const ExampleDataset::Piece> ExampleDataset::pieces_of(int64_t row_index) const {
  if (row_index < 0 || row_index >= count())
    fail(Status::out_of_range, "expected a row below ", count(), ", seen ", row_index);
  const auto row = static_cast<size_t>(row_index);
  if (row_begin_.empty()) return std::span(pieces_).subspan(row, 1);
  return std::span(pieces_).subspan(static_cast<size_t>(row_begin_[row]),
                                    static_cast<size_t>(row_begin_[row + 1] - row_begin_[row]));
}

int64_t ExampleDataset::parts(int64_t row_index) const {
  pieces_of(row_index);
  return row_shift_.empty() ? 1 : int64_t{1} << row_shift_[static_cast<size_t>(row_index)];
}

std::vector<int64_t> ExampleDataset::examples_of(int64_t row_index) const {
  std::vector<int64_t> examples;
  for (const Piece& piece : pieces_of(row_index)) examples.push_back(piece.example);
  return examples;
}

void ExampleDataset::write_piece(const Piece& piece, const ExampleRow& row, int64_t offset) const {
  const auto size = static_cast<size_t>(positions_of(piece));
  const std::span<const StoredToken> tokens =
      store_->example(piece.example)
          .subspan(static_cast<size_t>(piece.number * options_.sequence_length), size + 1);
  const auto begin = static_cast<size_t>(offset);
  for (size_t i = 0; i < size; ++i) {
    const StoredToken next = tokens[i + 1];
    row.inputs[begin + i] = tokens[i].id();
    row.targets[begin + i] = next.supervised() ? next.id() : ignored_target;
  }
}

void ExampleDataset::read_example(int64_t row_index, const ExampleRow& row) const {
  const std::span<const Piece> pieces = pieces_of(row_index);
  std::fill(row.inputs.begin(), row.inputs.end(), padding_id);
  std::fill(row.targets.begin(), row.targets.end(), ignored_target);
  const auto restart = [&](int64_t begin, int64_t size) {
    std::iota(row.positions.begin() + begin, row.positions.begin() + begin + size, 0);
  };
  int64_t offset = 0;
  if (options_.layout == RowLayout::packed) {
    for (const Piece& piece : pieces) {
      write_piece(piece, row, offset);
      restart(offset, positions_of(piece));
      offset += positions_of(piece);
    }
    restart(offset, options_.sequence_length - offset); // the padding is a document of its own
    return;
  }
  const int64_t part = options_.sequence_length / parts(row_index);
  for (const Piece& piece : pieces) {
    write_piece(piece, row, offset);
    offset += part;
  }
  for (offset = 0; offset < options_.sequence_length; offset += part) restart(offset, part);
}

} // namespace anet::io
