#include "io/dataset/dataset.h"

#include "base/random.h"
#include "base/status.h"
#include "io/dataset/fingerprint.h"

#include <algorithm>
#include <numeric>

namespace anet::io {
namespace {

// Sets the shuffles apart from other uses of the same seed (weights, sampling).
constexpr uint64_t shuffle_stream = uint64_t{0x73687566} << 32; // "shuf"; the epoch is added

int64_t window_tokens(int64_t sequence_length) {
  if (sequence_length < 1)
    fail(Status::invalid_argument, "expected a sequence length of at least 1, seen ",
         sequence_length);
  return sequence_length + 1;
}

template <typename Value>
std::span<Value> row_of(std::vector<Value>& values, int64_t row, int64_t length) {
  return std::span(values).subspan(static_cast<size_t>(row * length), static_cast<size_t>(length));
}

} // namespace

void Batch::resize(int64_t new_count, int64_t new_sequence_length) {
  count = new_count;
  sequence_length = new_sequence_length;
  const auto size = static_cast<size_t>(count * sequence_length);
  inputs.resize(size);
  targets.resize(size);
  positions.resize(size);
}

int64_t Dataset::example_index(int64_t index) const {
  if (index < 0) fail(Status::out_of_range, "expected an item from 0 on, seen ", index);
  const int64_t position = index % count();
  if (!order_.shuffle) return position;
  const Permutation permutation(static_cast<uint64_t>(count() / group_), order_.seed,
                                shuffle_stream + static_cast<uint64_t>(epoch(index)));
  const auto group = static_cast<int64_t>(permutation(static_cast<uint64_t>(position / group_)));
  return group * group_ + position % group_;
}

void Dataset::read(int64_t first, int64_t count, Batch& batch) const {
  if (count < 1) fail(Status::invalid_argument, "expected a batch of at least 1, seen ", count);
  const int64_t length = sequence_length();
  batch.resize(count, length);
  for (int64_t row = 0; row < count; ++row) {
    const int64_t example = example_index(first + row);
    const int64_t row_parts = parts(example);
    if (row == 0) batch.parts = row_parts;
    if (row_parts != batch.parts)
      fail(Status::invalid_argument, "expected rows of ", batch.parts,
           " parts in one batch, seen one of ", row_parts, "; read whole groups of ", group_,
           " rows");
    read_example(example, {row_of(batch.inputs, row, length), row_of(batch.targets, row, length),
                           row_of(batch.positions, row, length)});
  }
}

Batch Dataset::batch(int64_t first, int64_t count) const {
  Batch result;
  read(first, count, result);
  return result;
}

WindowDataset::WindowDataset(std::shared_ptr<const TokenSource> tokens, TokenRange range,
                             int64_t sequence_length, DatasetOrder order)
    : Dataset(order), tokens_(std::move(tokens)), range_(range), sequence_length_(sequence_length) {
  const int64_t needed = window_tokens(sequence_length);
  if (range.begin < 0 || range.end < range.begin || range.end > tokens_->size())
    fail(Status::out_of_range, "expected a range within ", tokens_->size(), " tokens, seen ",
         range.begin, " to ", range.end);
  if (range.size() < needed)
    fail(Status::invalid_data, "expected at least ", needed, " tokens for sequences of ",
         sequence_length, ", seen ", range.size());
  count_ = (range.size() - 1) / sequence_length;
}

void WindowDataset::read_example(int64_t row_index, const ExampleRow& row) const {
  if (row_index < 0 || row_index >= count_)
    fail(Status::out_of_range, "expected an example below ", count_, ", seen ", row_index);
  const int64_t begin = range_.begin + row_index * sequence_length_;
  tokens_->read(begin, row.inputs);
  tokens_->read(begin + 1, row.targets);
  std::iota(row.positions.begin(), row.positions.end(), 0);
}

std::string WindowDataset::fingerprint() const {
  std::call_once(fingerprint_once_, [&] {
    Fingerprint print("windows");
    print.number(sequence_length_);
    print.order(order());
    std::vector<int32_t> ids(1 << 16);
    for (int64_t begin = range_.begin; begin < range_.end;) {
      const int64_t size = std::min(range_.end - begin, static_cast<int64_t>(ids.size()));
      const auto part = std::span(ids).first(static_cast<size_t>(size));
      tokens_->read(begin, part);
      print.words(std::span<const int32_t>(part));
      begin += size;
    }
    fingerprint_ = print.hex_digest();
  });
  return fingerprint_;
}

DatasetSplit split_tokens(int64_t tokens, double validation_fraction, int64_t sequence_length) {
  if (!(validation_fraction >= 0.0 && validation_fraction < 1.0))
    fail(Status::invalid_argument, "expected a validation fraction from 0 to below 1, seen ",
         validation_fraction);
  const int64_t window = window_tokens(sequence_length);
  if (validation_fraction == 0.0) return {{0, tokens}, {tokens, tokens}};
  if (tokens < 2 * window)
    fail(Status::invalid_data, "expected at least ", 2 * window,
         " tokens for training and validation sequences of ", sequence_length, ", seen ", tokens);
  const auto wanted = static_cast<int64_t>(static_cast<double>(tokens) * validation_fraction);
  const int64_t boundary = tokens - std::clamp(wanted, window, tokens - window);
  return {{0, boundary}, {boundary, tokens}};
}

std::shared_ptr<const TokenSource> tokenize_text(const Tokenizer& tokenizer, std::string_view text,
                                                 const EncodeOptions& options) {
  return std::make_shared<TokenArray>(tokenizer.encode(text, options), tokenizer.vocab_size());
}

} // namespace anet::io
