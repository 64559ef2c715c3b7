// Data sets as the commands use them: rows for training and validation, with what was found while
// reading them.
#pragma once

#include "data_flags.h"
#include "json.h"
#include "text_source.h"

#include <optional>
#include <string>

namespace cli {

struct CorpusOptions {
  const DataFlags* flags = nullptr;
  const TextSource* text = nullptr;
  const Device* device = nullptr; // its threads tokenise
  Layout layout = Layout::windows;
  int32_t sequence_length = 0;
  int32_t batch_size = 1;
  int32_t vocab_size = 0; // the model's
  uint64_t seed = 0;
  bool sequential = false; // file order; for validation and evaluation
  int64_t round_trips = 0; // conversations whose tokens are decoded and compared
};

// One part. Windows have rows alone.
struct Corpus {
  std::string path; // what was read
  Dataset rows;
  Examples examples;
  Json report; // of all examples that were read with it; null for windows
  Json layout; // of the rows; null for windows

  double density() const; // share of the rows that is not padding; 1 for windows
};

// Whether `path` is a folder that has the part ("train", "valid", "test").
bool has_part(const std::string& path, const std::string& part);

// A file, or the part of a folder. Says on the standard error which rows cannot be used.
Corpus open_corpus(const std::string& path, const std::string& part, const CorpusOptions& options);

struct CorpusPair {
  Corpus train;
  std::optional<Corpus> validation;
};
// The validation part is the file or folder of that name if it is not empty, else the folder's own,
// else the last `split` of the data, if that is above 0.
CorpusPair open_corpus_pair(const std::string& path, const std::string& validation, double split,
                            const CorpusOptions& options);

// The tokens and masks of a part, without rows.
Examples open_examples(const std::string& path, const std::string& part,
                       const CorpusOptions& options);
Dataset make_rows(const Examples& examples, const std::string& path, const CorpusOptions& options);

// "12 of 400 rows of data cannot be used: 10 invalid JSON, 2 chat template", then the first with
// file, line and reason; "" when all can.
std::string unusable_rows(const cJSON* report, size_t shown);

// What the layout asks of the session.
void set_layout(const DataFlags& flags, Layout layout, anet_session_options& options);

} // namespace cli
