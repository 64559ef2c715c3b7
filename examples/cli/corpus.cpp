#include "corpus.h"

#include "data.h"
#include "loading.h"
#include "text.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace cli {
namespace fs = std::filesystem;
namespace {

anet_data_part part_of(const std::string& path, const std::string& part) {
  if (!fs::is_directory(path) || part == "train") return ANET_DATA_TRAIN; // a file is one part
  return part == "valid" ? ANET_DATA_VALIDATION : ANET_DATA_TEST;
}

Corpus open_windows(const std::string& path, const std::string& part,
                    const CorpusOptions& options) {
  Corpus corpus;
  corpus.path = DataFlags::single_file(path, part);
  if (corpus.path.empty())
    throw Failure("windows need one file; of '" + path + "', the part " + part +
                  " has none or several: --layout packed reads them");
  auto windows = initialised<anet_dataset_options>();
  windows.sequence_length = options.sequence_length;
  windows.seed = options.seed;
  windows.sequential = options.sequential ? 1 : 0;
  const std::string& format = (*options.flags)["format"];
  if (format == "tokens" || (format.empty() && is_token_file(corpus.path))) {
    windows.vocab_size = options.vocab_size;
    corpus.rows = create<Dataset>(anet_dataset_open_tokens, corpus.path.c_str(), &windows);
  } else {
    corpus.rows = create<Dataset>(anet_dataset_open_text, corpus.path.c_str(),
                                  options.text->require_tokenizer().get(), &windows);
  }
  return corpus;
}

Json report_of(const Examples& examples) {
  return json_parse(call_text(anet_examples_get_report, examples.get()), "report of examples");
}

Corpus lay_out(Examples examples, const std::string& path, const CorpusOptions& options) {
  Corpus corpus;
  corpus.path = path;
  corpus.examples = std::move(examples);
  corpus.rows = make_rows(corpus.examples, path, options);
  corpus.layout =
      json_parse(call_text(anet_dataset_get_report, corpus.rows.get()), "report of rows");
  return corpus;
}

void say_unusable(const Json& report) {
  const std::string text = unusable_rows(report.get(), 5);
  if (!text.empty()) std::fprintf(stderr, "%s\n", text.c_str());
}

CorpusOptions for_validation(CorpusOptions options) {
  options.seed = 0;
  options.sequential = true;
  return options;
}

void split_windows(double split, CorpusPair& pair) {
  anet_dataset* train = nullptr;
  anet_dataset* validation = nullptr;
  call(anet_dataset_split, pair.train.rows.get(), split, &train, &validation);
  pair.validation = Corpus{};
  pair.validation->path = pair.train.path;
  pair.validation->rows.reset(validation);
  pair.train.rows.reset(train);
}

// Both parts have the report of the whole.
CorpusPair split_examples(const std::string& path, double split, const CorpusOptions& options) {
  const Examples all = open_examples(path, "train", options);
  Json report = report_of(all);
  say_unusable(report);
  anet_examples* train = nullptr;
  anet_examples* validation = nullptr;
  if (anet_examples_count(all.get()) < 2)
    throw Failure(ANET_E_INVALID_DATA,
                  "'" + path +
                      "' has one example, of which none can be kept aside: --split 0 trains " +
                      "on it, --document-separator makes several of a text");
  call(anet_examples_split, all.get(), split, &train, &validation);
  Examples rest(validation);
  CorpusPair pair;
  pair.train = lay_out(Examples(train), path, options);
  pair.validation = lay_out(std::move(rest), path, for_validation(options));
  pair.validation->report = json_copy(report.get());
  pair.train.report = std::move(report);
  return pair;
}

} // namespace

double Corpus::density() const { return layout ? json_number(layout.get(), "density") : 1.0; }

bool has_part(const std::string& path, const std::string& part) {
  if (!fs::is_directory(path)) return false;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    for (const char* const separator : {".", "-"}) {
      if (name.rfind(part + separator, 0) == 0) return true;
      if (part == "valid" && name.rfind(std::string("validation") + separator, 0) == 0) return true;
    }
  }
  return false;
}

Examples open_examples(const std::string& path, const std::string& part,
                       const CorpusOptions& options) {
  const TextSource& text = *options.text;
  Loading loading("reading " + path, Loading::Unit::bytes);
  anet_examples_options reading = options.flags->examples_options();
  reading.part = part_of(path, part);
  reading.chat_template = text.chat.get();
  reading.stop_ids = text.stop_ids.empty() ? nullptr : text.stop_ids.data();
  reading.stop_count = static_cast<uint32_t>(text.stop_ids.size());
  reading.round_trips = options.round_trips;
  reading.device = options.device == nullptr ? nullptr : options.device->get();
  reading.progress = Loading::on_progress;
  reading.user_data = &loading;
  try {
    return create<Examples>(anet_examples_open, path.c_str(), text.require_tokenizer().get(),
                            &reading);
  } catch (const Failure& failure) {
    if (text.chat_problem.empty() || failure.status != ANET_E_INVALID_DATA) throw;
    throw Failure(failure.status, failure.what() +
                                      std::string("; the model's chat template cannot be used: ") +
                                      text.chat_problem);
  }
}

Dataset make_rows(const Examples& examples, const std::string& path, const CorpusOptions& options) {
  auto rows = initialised<anet_rows_options>();
  rows.sequence_length = options.sequence_length;
  rows.long_examples = options.flags->long_examples(path);
  rows.seed = options.seed;
  rows.sequential = options.sequential ? 1 : 0;
  if (options.layout == Layout::packed) rows.layout = ANET_ROWS_PACKED;
  if (options.layout == Layout::bucketed) {
    rows.layout = ANET_ROWS_BUCKETED;
    rows.batch_size = options.batch_size;
    rows.length_buckets = options.flags->length_buckets(options.sequence_length);
  }
  return create<Dataset>(anet_dataset_create_rows, examples.get(), &rows);
}

Corpus open_corpus(const std::string& path, const std::string& part, const CorpusOptions& options) {
  if (options.layout == Layout::windows) return open_windows(path, part, options);
  Examples examples = open_examples(path, part, options);
  Json report = report_of(examples);
  say_unusable(report);
  Corpus corpus = lay_out(std::move(examples), path, options);
  corpus.report = std::move(report);
  return corpus;
}

CorpusPair open_corpus_pair(const std::string& path, const std::string& validation, double split,
                            const CorpusOptions& options) {
  const bool own_part = has_part(path, "valid");
  if (validation.empty() && !own_part && split > 0 && options.layout != Layout::windows)
    return split_examples(path, split, options);
  CorpusPair pair;
  pair.train = open_corpus(path, "train", options);
  if (!validation.empty() || own_part) {
    pair.validation =
        open_corpus(validation.empty() ? path : validation, "valid", for_validation(options));
  } else if (split > 0) {
    split_windows(split, pair);
  }
  return pair;
}

std::string unusable_rows(const cJSON* report, size_t shown) {
  const uint64_t count = json_count(report, "unusable_rows");
  if (count == 0) return "";
  std::string kinds;
  const cJSON* problems = cJSON_GetObjectItemCaseSensitive(report, "problems");
  for (const cJSON* item = problems == nullptr ? nullptr : problems->child; item != nullptr;
       item = item->next)
    kinds += (kinds.empty() ? "" : ", ") + format_number(item->valuedouble, 0) + " " + item->string;
  std::string text = std::to_string(count) + " of " + std::to_string(json_count(report, "rows")) +
                     " rows cannot be used: " + kinds;
  const cJSON* rows = cJSON_GetObjectItemCaseSensitive(report, "unusable");
  size_t number = 0;
  for (const cJSON* row = rows == nullptr ? nullptr : rows->child; row != nullptr && number < shown;
       row = row->next, ++number) {
    const uint64_t line = json_count(row, "line");
    text += "\n  " + json_string(row, "file") + (line > 0 ? ":" + std::to_string(line) : "") +
            ": " + printable(json_string(row, "message"));
  }
  if (count > number) text += "\n  and " + std::to_string(count - number) + " more";
  return text;
}

void set_layout(const DataFlags& flags, Layout layout, anet_session_options& options) {
  options.documents = layout == Layout::packed ? 1 : 0;
  options.length_buckets =
      layout == Layout::bucketed ? flags.length_buckets(options.sequence_length) : 0;
}

} // namespace cli
