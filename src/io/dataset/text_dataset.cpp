#include "io/dataset/text_dataset.h"

#include "base/status.h"
#include "io/dataset/record_encoder.h"
#include "io/dataset/segment_reader.h"

#include <algorithm>
#include <fcntl.h>
#include <limits>
#include <utility>

namespace anet::io {
namespace {

// What one thread gets at a time: enough to keep it busy, little enough to hold
// in memory.
constexpr int64_t batch_bytes = int64_t{4} << 20;
constexpr size_t batch_rows = 4096;
constexpr std::string_view white_space = " \t\r\n\f\v";

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](std::string_view suffix) { return path.ends_with(suffix); });
}

DataFormat format_of(const std::string& path, DataFormat wanted) {
  if (wanted != DataFormat::automatic) return wanted;
  if (ends_with_any(path, {".jsonl", ".ndjson", ".json"})) return DataFormat::jsonl;
  if (ends_with_any(path, {".bin", ".tokens"})) return DataFormat::tokens;
  return DataFormat::text;
}

// A row as it was read.
struct RawRow {
  std::string text;
  int64_t line = 0;
  int64_t blank_lines = 0; // this many stand here instead of a row
  bool too_long = false;
  TextPiece piece;
};

class Opening {
public:
  Opening(std::span<const std::string> paths, const Tokenizer& tokenizer,
          const TextDatasetOptions& options, FileSystem& files);
  TextDataset run();

private:
  void check_options() const;
  void measure_files();
  void read_segments(DataFormat format);
  void read_tokens();
  void take(const Segment& segment);
  void encode_batch();
  void add(const RawRow& raw, EncodedRow&& row);
  void add_usable(const EncodedRow& row, int64_t line);
  void report_unusable(int64_t line, RowProblem problem, std::string message);
  void report_progress(int64_t bytes_of_file);
  RowPlace place(int64_t line) const { return {result_.files[file_], line}; }

  const Tokenizer& tokenizer_;
  const TextDatasetOptions& options_;
  FileSystem& files_;
  RecordEncoder encoder_;
  ExampleStoreWriter writer_;
  TextDataset result_;
  bool json_ = false;         // the file has lines of it
  size_t file_ = 0;           // the one that is read
  int64_t bytes_before_ = 0;  // of the files before it
  std::vector<RawRow> batch_; // rows that wait to be encoded
  int64_t batch_size_ = 0;    // bytes
  RawRow blank_;              // lines that count if a row follows
};

Opening::Opening(std::span<const std::string> paths, const Tokenizer& tokenizer,
                 const TextDatasetOptions& options, FileSystem& files)
    : tokenizer_(tokenizer), options_(options), files_(files), encoder_(tokenizer, options),
      writer_(tokenizer.vocab_size(), options.store, files) {
  result_.files.assign(paths.begin(), paths.end());
}

void Opening::check_options() const {
  if (result_.files.empty())
    fail(Status::invalid_argument, "expected at least one file, seen none");
  if (options_.max_line_bytes < 1 || options_.max_document_bytes < 4)
    fail(Status::invalid_argument, "expected max_line_bytes of at least 1 and max_document_bytes ",
         "of at least 4, seen ", options_.max_line_bytes, " and ", options_.max_document_bytes);
  if (options_.max_reported < 0 || options_.round_trips < 0)
    fail(Status::invalid_argument, "expected max_reported and round_trips of at least 0, seen ",
         options_.max_reported, " and ", options_.round_trips);
}

// Finds out beforehand what cannot be opened.
void Opening::measure_files() {
  for (const std::string& path : result_.files) {
    const FileInfo info = FileDescriptor(path, O_RDONLY, files_).info();
    if (info.kind == FileKind::directory)
      fail(Status::invalid_argument, "expected a file, seen a directory '", path, "'");
    result_.report.bytes += info.size;
  }
}

TextDataset Opening::run() {
  check_options();
  measure_files();
  for (file_ = 0; file_ < result_.files.size(); ++file_) {
    const DataFormat format = format_of(result_.files[file_], options_.format);
    if (format == DataFormat::tokens)
      read_tokens();
    else
      read_segments(format);
  }
  const DataReport& report = result_.report;
  if (report.examples == 0) {
    const std::string first =
        report.unusable.empty() ? "" : concat("; the first: ", report.unusable[0].to_string());
    fail(Status::invalid_data, "expected at least one row that can be used in '", result_.files[0],
         "'", result_.files.size() > 1 ? " and others" : "", ", seen none of ", report.rows, first);
  }
  result_.examples = writer_.finish();
  return std::move(result_);
}

void Opening::read_segments(DataFormat format) {
  json_ = format == DataFormat::jsonl;
  SegmentOptions options;
  options.delimiter = json_ ? "\n" : options_.document_separator;
  options.max_bytes = json_ ? options_.max_line_bytes : options_.max_document_bytes;
  options.long_segments = json_ ? LongSegment::skip : LongSegment::cut;
  SegmentReader reader(result_.files[file_], options, files_);
  const int threads = options_.threads == nullptr ? 1 : options_.threads->threads();
  blank_ = {};
  while (const std::optional<Segment> segment = reader.next()) {
    take(*segment);
    if (batch_size_ < batch_bytes * threads && batch_.size() < batch_rows * threads) continue;
    encode_batch();
    report_progress(reader.bytes_done());
  }
  encode_batch();
  report_progress(reader.bytes_done());
  bytes_before_ += reader.bytes_done();
}

void Opening::take(const Segment& segment) {
  std::string_view text = segment.text;
  if (!segment.too_long && text.find_first_not_of(white_space) == std::string_view::npos) {
    // Of what is left of a document that was cut, nothing is missed.
    if (!segment.begins) return;
    if (blank_.blank_lines++ == 0) blank_.line = segment.line;
    return;
  }
  if (blank_.blank_lines > 0) batch_.push_back(std::exchange(blank_, {}));
  if (json_ && text.ends_with('\r')) text.remove_suffix(1);
  batch_.push_back({.text = std::string(text),
                    .line = segment.line,
                    .blank_lines = 0,
                    .too_long = segment.too_long,
                    .piece = {segment.begins, segment.ends}});
  batch_size_ += static_cast<int64_t>(text.size());
}

void Opening::encode_batch() {
  std::vector<EncodedRow> rows(batch_.size());
  const int64_t rows_before = result_.report.rows;
  const auto encode = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const RawRow& raw = batch_[static_cast<size_t>(i)];
      if (raw.too_long || raw.blank_lines > 0) continue;
      rows[static_cast<size_t>(i)] =
          json_ ? encoder_.encode_json(raw.text, rows_before + i < options_.round_trips)
                : encoder_.encode_text(raw.text, raw.piece);
    }
  };
  const auto count = static_cast<int64_t>(batch_.size());
  if (options_.threads != nullptr)
    options_.threads->run(count, encode);
  else
    encode(0, count);
  for (size_t i = 0; i < rows.size(); ++i) add(batch_[i], std::move(rows[i]));
  batch_.clear();
  batch_size_ = 0;
}

void Opening::add(const RawRow& raw, EncodedRow&& row) {
  for (int64_t i = 0; i < raw.blank_lines; ++i)
    report_unusable(raw.line + (json_ ? i : 0), RowProblem::blank, "blank, with more behind it");
  if (raw.blank_lines > 0) return;
  if (raw.too_long) {
    report_unusable(raw.line, RowProblem::too_long,
                    concat("expected at most ", options_.max_line_bytes, " bytes, seen more"));
    return;
  }
  DataReport& report = result_.report;
  if (row.spells_special) {
    ++report.spells_special;
    if (static_cast<int64_t>(report.special.size()) < options_.max_reported)
      report.special.push_back(place(raw.line));
  }
  if (row.problem)
    report_unusable(raw.line, *row.problem, std::move(row.message));
  else
    add_usable(row, raw.line);
}

void Opening::add_usable(const EncodedRow& row, int64_t line) {
  constexpr int64_t last_line = std::numeric_limits<uint32_t>::max();
  writer_.add(row.tokens.ids, row.tokens.supervised,
              {static_cast<uint32_t>(file_), static_cast<uint32_t>(std::min(line, last_line))});
  DataReport& report = result_.report;
  ++report.rows;
  ++report.examples;
  ++report.kinds[static_cast<size_t>(row.kind)];
  if (encoder_.ends_with_stop(row.tokens)) ++report.ends_with_stop;
  if (row.round_trip) ++(*row.round_trip ? report.round_trips : report.round_trip_failures);
}

void Opening::report_unusable(int64_t line, RowProblem problem, std::string message) {
  DataReport& report = result_.report;
  ++report.rows;
  ++report.problems[static_cast<size_t>(problem)];
  UnusableRow row{place(line), problem, std::move(message)};
  if (options_.strict)
    throw Error(Status::invalid_data, row.to_string(),
                {.domain = "data",
                 .line = static_cast<int32_t>(
                     std::min<int64_t>(line, std::numeric_limits<int32_t>::max()))});
  if (static_cast<int64_t>(report.unusable.size()) < options_.max_reported)
    report.unusable.push_back(std::move(row));
}

void Opening::report_progress(int64_t bytes_of_file) {
  if (!options_.progress) return;
  const DataReport& report = result_.report;
  if (!options_.progress({bytes_before_ + bytes_of_file, report.bytes, report.rows}))
    fail(Status::cancelled, "reading data was cancelled in '", result_.files[file_], "'");
}

void Opening::read_tokens() {
  const std::string& path = result_.files[file_];
  const TokenFile file(path, tokenizer_.vocab_size(), options_.token_format, files_);
  const int64_t bytes = FileDescriptor(path, O_RDONLY, files_).info().size;
  const auto longest = static_cast<size_t>(options_.max_document_bytes / 4);
  std::vector<int32_t> chunk(1 << 16);
  std::vector<int32_t> document;
  bool cuts_before_bos = false;
  const auto finish = [&] {
    if (!document.empty()) add({}, encoder_.encode_ids(std::exchange(document, {})));
  };
  for (int64_t begin = 0; begin < file.size(); begin += static_cast<int64_t>(chunk.size())) {
    chunk.resize(
        static_cast<size_t>(std::min(file.size() - begin, static_cast<int64_t>(chunk.size()))));
    file.read(begin, chunk);
    if (begin == 0) cuts_before_bos = tokenizer_.bos_id() == chunk[0];
    for (const int32_t id : chunk) {
      if (cuts_before_bos && id == *tokenizer_.bos_id()) finish();
      document.push_back(id);
      const bool ends = !cuts_before_bos && tokenizer_.eos_id() == id;
      if (ends || document.size() >= longest) finish();
    }
    report_progress(file.size() == 0 ? 0 : bytes / file.size() * begin);
  }
  finish();
  report_progress(bytes);
  bytes_before_ += bytes;
}

} // namespace

const char* row_problem_name(RowProblem problem) {
  switch (problem) {
  case RowProblem::blank:
    return "blank line";
  case RowProblem::too_long:
    return "line too long";
  case RowProblem::invalid_text:
    return "invalid UTF-8 or NUL";
  case RowProblem::invalid_json:
    return "invalid JSON";
  case RowProblem::unknown_record:
    return "unknown record";
  case RowProblem::invalid_field:
    return "invalid field";
  case RowProblem::invalid_token:
    return "invalid token";
  case RowProblem::chat_template:
    return "chat template";
  case RowProblem::nothing_to_learn:
    return "nothing to learn";
  }
  return "unknown";
}

const char* record_kind_name(RecordKind kind) {
  switch (kind) {
  case RecordKind::text:
    return "text";
  case RecordKind::completion:
    return "prompt and completion";
  case RecordKind::chat:
    return "messages";
  case RecordKind::tokens:
    return "token ids";
  }
  return "unknown";
}

std::string RowPlace::to_string() const { return line == 0 ? file : concat(file, " line ", line); }

std::string UnusableRow::to_string() const { return concat(place.to_string(), ": ", message); }

TextDataset open_text_dataset(std::span<const std::string> paths, const Tokenizer& tokenizer,
                              const TextDatasetOptions& options, FileSystem& files) {
  return Opening(paths, tokenizer, options, files).run();
}

} // namespace anet::io
