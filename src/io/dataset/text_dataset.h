// Files that people have (JSONL, text, token files) as training examples.
//
//   const DataFiles files = find_data_files("data");
//   const TextDataset train = open_text_dataset(files.train, tokenizer, options);
//   const ExampleDataset rows(train.examples, {.sequence_length = 512}, {.seed = 1});
//
// A .jsonl, .ndjson or .json file has one JSON object a line. Its keys decide, line by line, what
// it is; other keys are ignored:
//   {"ids": [1, 2], "mask": [0, 1]}                  token ids; the mask may be missing
//   {"messages": [{"role": .., "content": ..}], "tools": [..]}   needs a chat template
//   {"prompt": .., "completion": ..}                 strings, or lists of messages
//   {"text": ".."}
// A .bin or .tokens file holds token ids, cut into examples before each beginning-of-sequence token
// if it begins with one, else behind each end-of-sequence token. Any other file is text.
#pragma once

#include "base/thread_pool.h"
#include "io/dataset/chat_template.h"
#include "io/dataset/example_dataset.h"
#include "io/dataset/example_store.h"
#include "io/tokenizer/tokenizer.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::io {

// Files of a data set, sorted by name within each part.
struct DataFiles {
  std::vector<std::string> train;
  std::vector<std::string> validation;
  std::vector<std::string> test;
};

// A file is its own training part. In a directory: train.jsonl, valid.jsonl (or validation.jsonl)
// and test.jsonl; also with another suffix (.ndjson, .json, .txt, .bin, .tokens), and in several
// files, train-*.jsonl and so on. Throws file_not_found, naming what is there, without a training
// part.
DataFiles find_data_files(const std::string& path, FileSystem& files = FileSystem::real());

// Why a row cannot be used.
enum class RowProblem : int32_t {
  blank = 0, // an empty line between others
  too_long = 1,
  invalid_text = 2,     // bytes that are not UTF-8; NUL in a text file
  invalid_json = 3,     // also NUL and duplicate keys
  unknown_record = 4,   // no object, or one with none of the keys above
  invalid_field = 5,    // a key's value is not what it must be
  invalid_token = 6,    // an id that is not in the vocabulary
  chat_template = 7,    // there is none, or it refuses the conversation
  nothing_to_learn = 8, // no supervised token
};
inline constexpr size_t row_problem_count = 9;
const char* row_problem_name(RowProblem problem); // "invalid JSON"

// What a row is; documents of text files are text, cut pieces of token files are tokens.
enum class RecordKind : int32_t { text = 0, completion = 1, chat = 2, tokens = 3 };
inline constexpr size_t record_kind_count = 4;
const char* record_kind_name(RecordKind kind);

struct RowPlace {
  std::string file;
  int64_t line = 0;              // from 1 on; 0 in a file without lines
  std::string to_string() const; // "train.jsonl line 17"
};

struct UnusableRow {
  RowPlace place;
  RowProblem problem = RowProblem::blank;
  std::string message;           // "supervises 0 of 12 tokens"
  std::string to_string() const; // "train.jsonl line 17: supervises 0 of 12 tokens"
};

// What opening has found. Counts are of rows: lines, documents of text, cut pieces of token files.
struct DataReport {
  int64_t rows = 0;
  int64_t examples = 0; // rows that can be used
  int64_t bytes = 0;    // of all files
  std::array<int64_t, record_kind_count> kinds = {};
  std::array<int64_t, row_problem_count> problems = {};
  std::vector<UnusableRow> unusable; // the first of them
  int64_t ends_with_stop = 0;        // examples whose last token is a stop token
  // Rows whose text spells a special token ("<|im_end|>"): it forges a turn's end, or it is meant
  // and needs parse_special.
  int64_t spells_special = 0;
  std::vector<RowPlace> special; // the first of them
  // Conversations among the first rows: those whose tokens spell what the template rendered.
  int64_t round_trips = 0;
  int64_t round_trip_failures = 0;

  int64_t unusable_rows() const { return rows - examples; }
};

struct DataProgress {
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
  int64_t rows = 0;
};
// False ends the opening with Status::cancelled.
using DataCallback = std::function<bool(const DataProgress&)>;

enum class DataFormat : int32_t { automatic = 0, jsonl = 1, text = 2, tokens = 3 };

struct TextDatasetOptions {
  DataFormat format = DataFormat::automatic; // by suffix
  // Null: messages are refused, prompt and completion are joined as they are.
  std::shared_ptr<const ChatTemplate> chat_template;
  Json template_variables; // null or an object
  Supervision supervision = Supervision::assistant;
  // Tokens that end a turn; empty: the tokenizer's end-of-sequence token.
  std::vector<int32_t> stop_ids;
  // Around texts and joined completions. Unset: bos as the tokenizer itself does it, eos if it has
  // one. Templates write their own.
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  bool parse_special = false; // in texts, prompts and completions; see EncodeOptions
  std::string text_key = "text";
  std::string prompt_key = "prompt";
  std::string completion_key = "completion";
  std::string messages_key = "messages";
  std::string tools_key = "tools";
  // Between the documents of a text file; empty: the file is one document.
  std::string document_separator;
  TokenFormat token_format = TokenFormat::automatic;

  bool strict = false;                        // the first unusable row is an error (invalid_data)
  int64_t max_line_bytes = int64_t{16} << 20; // a longer line is unusable
  // A longer document of a text file becomes several examples, cut behind a line where there is
  // one; a longer one of a token file is cut at a quarter as many tokens.
  int64_t max_document_bytes = int64_t{4} << 20;
  int64_t max_reported = 100; // length of the report's lists
  int64_t round_trips = 0;    // rows to check for their round trip
  ExampleStoreOptions store;
  DataCallback progress;
  ThreadPool* threads = nullptr; // tokenises with these; the result is the same without
};

struct TextDataset {
  std::shared_ptr<const ExampleStore> examples;
  DataReport report;
  std::vector<std::string> files; // that RowOrigin.file counts
};

// Reads and tokenises all files once. Throws file_not_found, io and so on for files that cannot be
// read, disk_full when the temporary file does not fit, invalid_data when no row can be used or,
// with `strict`, at the first that cannot. Memory beside the store: a few lines.
TextDataset open_text_dataset(std::span<const std::string> paths, const Tokenizer& tokenizer,
                              const TextDatasetOptions& options = {},
                              FileSystem& files = FileSystem::real());

// Lengths in tokens.
struct LengthStatistics {
  int64_t minimum = 0;
  int64_t maximum = 0;
  double mean = 0.0;
  int64_t median = 0;
  int64_t percentile95 = 0;
};

struct ExampleStatistics {
  int64_t examples = 0;
  int64_t tokens = 0;
  int64_t supervised_tokens = 0;
  LengthStatistics lengths;
  LengthStatistics supervised; // tokens an example
  int64_t duplicates = 0;      // examples whose ids and mask an earlier one has
};

// Reads all examples; 24 bytes each while it runs.
ExampleStatistics example_statistics(const ExampleStore& examples);

// Consecutive tokens of one mask value as text, special tokens by their names.
struct MaskRun {
  std::string text;
  bool supervised = false;
  int64_t tokens = 0;
};

std::vector<MaskRun> mask_runs(const ExampleStore& examples, int64_t index,
                               const Tokenizer& tokenizer);

} // namespace anet::io
