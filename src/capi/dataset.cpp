#include "capi/dataset.h"

#include "base/file.h"
#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"
#include "capi/tokenizer.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace anet::capi {

io::TokenFormat token_format_of(int32_t token_bytes) {
  if (token_bytes == 0) return io::TokenFormat::automatic;
  if (token_bytes == 2) return io::TokenFormat::uint16;
  if (token_bytes == 4) return io::TokenFormat::uint32;
  fail(Status::unsupported_option, "expected options.token_bytes of 0, 2 or 4, seen ", token_bytes);
}

namespace {

struct DatasetOptions {
  int64_t sequence_length = 0;
  int32_t vocab_size = 0;
  io::TokenFormat format = io::TokenFormat::automatic;
  io::DatasetOrder order;
};

DatasetOptions read_options(const anet_dataset_options* source) {
  const anet_dataset_options options = read_struct(source, "options");
  if (options.sequence_length < 1)
    fail(Status::invalid_argument, "expected options.sequence_length of at least 1, seen ",
         options.sequence_length);
  if (options.vocab_size < 0)
    fail(Status::invalid_argument, "expected options.vocab_size of at least 0, seen ",
         options.vocab_size);
  const bool sequential =
      check_flag(options.sequential, Status::unsupported_option, "options.sequential");
  return {options.sequence_length,
          options.vocab_size,
          token_format_of(options.token_bytes),
          {.shuffle = !sequential, .seed = options.seed}};
}

void check_vocab_size(const DatasetOptions& options) {
  if (options.vocab_size == 0)
    fail(Status::invalid_argument, "expected options.vocab_size for token ids, seen 0");
}

// Only files of token ids have a width.
void check_no_format(const DatasetOptions& options) {
  if (options.format != io::TokenFormat::automatic)
    fail(Status::unsupported_option, "expected options.token_bytes only for token files");
}

std::unique_ptr<anet_dataset> make(std::shared_ptr<const io::TokenSource> tokens,
                                   const DatasetOptions& options) {
  const io::TokenRange all{0, tokens->size()};
  return std::make_unique<anet_dataset>(WindowSource{std::move(tokens), all, options.order},
                                        options.sequence_length);
}

// The width that the caller gives is that of a bare file; a header knows better.
io::TokenFormat file_format(const std::string& path, const DatasetOptions& options) {
  using enum io::TokenFormat;
  if (options.format == automatic) return automatic;
  // Any vocabulary will do: no id is read.
  const io::TokenFormat found = io::TokenFile(path, 1 << 16).format();
  return found == llmc_uint16 || found == llmc_uint32 ? found : options.format;
}

std::unique_ptr<anet_dataset> open_tokens(const std::string& path, const DatasetOptions& options) {
  check_vocab_size(options);
  auto file =
      std::make_shared<const io::TokenFile>(path, options.vocab_size, file_format(path, options));
  file->check();
  return make(std::move(file), options);
}

std::unique_ptr<anet_dataset> open_text(const std::string& path, const io::Tokenizer& tokenizer,
                                        const DatasetOptions& options) {
  check_no_format(options);
  const int32_t limit = options.vocab_size == 0 ? tokenizer.vocab_size() : options.vocab_size;
  std::vector<int32_t> ids = tokenizer.encode(read_file(path));
  return make(std::make_shared<const io::TokenArray>(std::move(ids), limit), options);
}

std::unique_ptr<anet_dataset> create_tokens(std::span<const int32_t> ids,
                                            const DatasetOptions& options) {
  check_vocab_size(options);
  check_no_format(options);
  return make(std::make_shared<const io::TokenArray>(std::vector<int32_t>(ids.begin(), ids.end()),
                                                     options.vocab_size),
              options);
}

std::unique_ptr<anet_dataset> part(const anet_dataset& whole, io::TokenRange range) {
  WindowSource source = *whole.windows;
  source.range = {range.begin + source.range.begin, range.end + source.range.begin};
  return std::make_unique<anet_dataset>(std::move(source), whole.rows->sequence_length());
}

void split(const anet_dataset& dataset, double fraction, anet_dataset*& train,
           anet_dataset*& validation) {
  if (!dataset.windows)
    fail(Status::unsupported, "expected windows of tokens to split, seen rows of examples; split "
                              "the examples");
  if (!(fraction > 0 && fraction < 1))
    fail(Status::invalid_argument, "expected a fraction above 0 and below 1, seen ", fraction);
  const io::DatasetSplit ranges =
      io::split_tokens(dataset.windows->range.size(), fraction, dataset.rows->sequence_length());
  auto train_part = part(dataset, ranges.train);
  validation = part(dataset, ranges.validation).release();
  train = train_part.release();
}

// Where anet_dataset_read puts what it reads.
struct RowTargets {
  int32_t* tokens = nullptr;
  int32_t* targets = nullptr;
  int32_t* positions = nullptr; // nullable
  int32_t* parts = nullptr;     // nullable
};

void read(const io::Dataset& rows, uint64_t first, size_t count, const RowTargets& targets) {
  constexpr auto last = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (first > last || count > last - first)
    fail(Status::out_of_range, "expected rows below ", last, ", seen ", count, " from ", first,
         " on");
  io::Batch batch;
  rows.read(static_cast<int64_t>(first), static_cast<int64_t>(count), batch);
  std::copy(batch.inputs.begin(), batch.inputs.end(), targets.tokens);
  std::copy(batch.targets.begin(), batch.targets.end(), targets.targets);
  if (targets.positions != nullptr)
    std::copy(batch.positions.begin(), batch.positions.end(), targets.positions);
  if (targets.parts != nullptr) *targets.parts = static_cast<int32_t>(batch.parts);
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_dataset_open_tokens(const char* path, const anet_dataset_options* options,
                                     anet_dataset** dataset, anet_error** error) {
  return guard_create(dataset, "dataset", error,
                      [&] { return open_tokens(read_path(path, "path"), read_options(options)); });
}

anet_status anet_dataset_open_text(const char* path, const anet_tokenizer* tokenizer,
                                   const anet_dataset_options* options, anet_dataset** dataset,
                                   anet_error** error) {
  return guard_create(dataset, "dataset", error, [&] {
    const anet_tokenizer& handle = check_handle(tokenizer, "tokenizer");
    return open_text(read_path(path, "path"), *handle.tokenizer, read_options(options));
  });
}

anet_status anet_dataset_create_tokens(const int32_t* ids, size_t count,
                                       const anet_dataset_options* options, anet_dataset** dataset,
                                       anet_error** error) {
  return guard_create(dataset, "dataset", error, [&] {
    return create_tokens(read_array(ids, count, "ids"), read_options(options));
  });
}

anet_status anet_dataset_split(const anet_dataset* dataset, double fraction, anet_dataset** train,
                               anet_dataset** validation, anet_error** error) {
  if (train != nullptr) *train = nullptr;
  if (validation != nullptr) *validation = nullptr;
  return guard(error, [&] {
    const anet_dataset& handle = check_handle(dataset, "dataset");
    split(handle, fraction, require(train, "train"), require(validation, "validation"));
  });
}

uint64_t anet_dataset_window_count(const anet_dataset* dataset) {
  return is_valid(dataset) ? static_cast<uint64_t>(dataset->rows->count()) : 0;
}

int32_t anet_dataset_sequence_length(const anet_dataset* dataset) {
  return is_valid(dataset) ? static_cast<int32_t>(dataset->rows->sequence_length()) : 0;
}

anet_status anet_dataset_get_fingerprint(const anet_dataset* dataset, char* text, size_t capacity,
                                         size_t* length, anet_error** error) {
  return guard(error, [&] {
    const anet_dataset& handle = check_handle(dataset, "dataset");
    require(length, "length");
    copy_string(handle.rows->fingerprint(), text, capacity, length, "text");
  });
}

anet_status anet_dataset_read(const anet_dataset* dataset, uint64_t first, size_t count,
                              int32_t* tokens, int32_t* targets, int32_t* positions, int32_t* parts,
                              anet_error** error) {
  return guard(error, [&] {
    const anet_dataset& handle = check_handle(dataset, "dataset");
    if (count == 0) return;
    read(*handle.rows, first, count,
         {&require(tokens, "tokens"), &require(targets, "targets"), positions, parts});
  });
}

void anet_dataset_retain(anet_dataset* dataset) { retain_handle(dataset); }

void anet_dataset_release(anet_dataset* dataset) { release_handle(dataset); }
