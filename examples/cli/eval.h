// Losses of models on data.
#pragma once

#include "adapter_flags.h"
#include "corpus.h"
#include "handles.h"
#include "text_source.h"

#include <cstdint>
#include <string>

namespace cli {

// What is measured, and in what rows.
struct EvalData {
  std::string path;
  std::string part; // of a folder; empty: test, if it is there, else valid
  TextFlags text;
  DataFlags rows;
  int64_t windows = 0; // 0: all
  int64_t batch_size = 8;
  int64_t sequence_length = 0; // 0: the model's context, at most 512
  anet_precision precision = ANET_PRECISION_DEFAULT;
  bool per_example = false; // a row holds one example
};

// `adapters` and `text` outlive it.
struct Measurement {
  Session session;
  Corpus data;
};
Measurement open_measurement(const Device& device, const Model& model,
                             const LoadedAdapters& adapters, const TextSource& text,
                             const EvalData& data);
anet_eval_result measure(const Measurement& measurement, uint64_t rows); // 0: all rows

// `eval --per-example`: one JSON object a line on the standard output, of each example of padded
// rows in file order, or of each window. The mean goes to the standard error.
void print_examples(const Session& session, const Corpus& data, uint64_t max_rows,
                    anet_long_examples long_examples);

} // namespace cli
